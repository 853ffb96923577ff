"""What clients send in rarer shapes arrives at the vendor, and what it answers too."""

import json
from typing import Any

import pytest

from tests.assistant.asking import streaming
from tests.assistant.code import indexed
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.assistant.vendors import STREAMS
from tests.fakes.providers import (
    FakeProvider,
    Script,
    anthropic_blocks,
    anthropic_stream,
    anthropic_tool_call,
    openai_stream,
)
from tests.support.people import Person

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
HI = [{"role": "user", "content": "Hi"}]
PNG = "https://example.com/a.png"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTION: Any = {"type": "function", "name": "read_file", "parameters": SCHEMA}
NEEDED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HI},
    MESSAGES: {"messages": HI, "max_tokens": 99},
    RESPONSES: {"input": "Hi"},
    "/v1/completions": {"prompt": "def f("},
}


@pytest.fixture
def anthropic(provider: FakeProvider, settings: Any) -> FakeProvider:
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    return provider


def post(person: Person, path: str, **body: Any) -> Any:
    given = {"model": "auto"} | NEEDED[path] | body
    answer = person.api.post(path, json.dumps(given), content_type="application/json")
    assert answer.status_code == 200, answer.text
    return answer.json()


def sent(provider: FakeProvider, person: Person, path: str, **body: Any) -> Any:
    """Return what OpenAI is sent for such a body."""
    post(person, path, **body)
    return provider.chats[-1].body


def chunks(site: str, person: Person, **body: Any) -> list[Any]:
    """Return the bodies of a streamed chat, without the last mark."""
    given = {"model": "auto", "messages": HI} | body
    with streaming(site, person, CHAT, **given) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def chunk(delta: dict[str, Any], finish: str | None = None, **choice: Any) -> bytes:
    choice |= {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


# OpenAI's chat


def test_a_server_that_only_streams_is_put_together(
    pro: Person, openai: FakeProvider
) -> None:
    call = {"index": 0, "id": "c1", "type": "function"}
    name, rest = {"name": "read_file", "arguments": "{"}, {"arguments": "}"}
    steps = [
        chunk({"reasoning_content": "Hm", "content": "A"}, logprobs={"content": [1]}),
        chunk({"reasoning_content": "m.", "content": "B"}, logprobs={"content": [2]}),
        chunk({"tool_calls": [{**call, "function": name}]}),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"tool_calls": [{"index": 0, "function": rest}]}),
        chunk({"mood": "calm"}),
        chunk({"mood": "done"}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
    openai.will(Script(steps))

    (choice,) = post(pro, CHAT)["choices"]

    assert choice["message"] == {
        "role": "assistant",
        "content": "AB",
        "refusal": None,
        "reasoning_content": "Hmm.",
        "mood": "calmdone",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "read_file", "arguments": "{}"},
            }
        ],
    }
    assert choice["logprobs"] == {"content": [1, 2]}
    assert choice["finish_reason"] == "tool_calls"


def test_another_vendors_thoughts_and_calls_come_in_chunks(
    asgi_server: str, pro: Person, anthropic: FakeProvider
) -> None:
    anthropic.will(anthropic_tool_call("read_file", '{"path": "a.py"}'))

    found = chunks(asgi_server, pro)
    (whole,) = post(pro, CHAT)["choices"]

    deltas = [choice["delta"] for body in found for choice in body["choices"]]
    thought = "".join(delta.get("reasoning_content", "") for delta in deltas)
    pieces = [call for delta in deltas for call in delta.get("tool_calls", [])]
    told = "".join(piece["function"].get("arguments", "") for piece in pieces)
    assert thought == whole["message"]["reasoning_content"] == "I must read."
    assert json.loads(told) == {"path": "a.py"}
    (call,) = whole["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"path": "a.py"}
    assert whole["message"]["content"] is None


def test_citations_come_with_the_first_chunk(
    asgi_server: str, alice: Person, vectors: Any
) -> None:
    workspace = indexed(alice)
    ask = [{"role": "user", "content": "How is retry_delay computed?"}]

    found = chunks(asgi_server, alice, messages=ask, workspace_id=workspace.pk)

    assert found[0]["citations"][0]["path"] == "src/retries.py"
    assert not any("citations" in body for body in found[1:])


def test_frames_that_name_no_model_are_passed_on_as_they_are(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([chunk({"content": "Hello"}), chunk({}, "stop")]))

    found = chunks(asgi_server, pro)

    assert found[0] == json.loads(chunk({"content": "Hello"})[6:])


@pytest.mark.parametrize("vendor", STREAMS)
def test_the_knobs_of_a_call_reach_each_vendor(
    vendor: str, pro: Person, provider: FakeProvider, settings: Any
) -> None:
    if vendor == "ollama":
        provider.models = ["llama3.2:3b"]
    else:
        setattr(settings, f"{vendor.upper()}_API_KEY", CANARY_KEY)
    provider.will(STREAMS[vendor]("x"))

    body = sent(provider, pro, CHAT, temperature=0.5, top_p=0.9, stop=["END", "FIN"])

    told = {**body, **body.get("options", {}), **body.get("generationConfig", {})}
    takes = vendor != "anthropic"  # its newer models refuse both
    assert told.get("temperature") == (0.5 if takes else None)
    assert told.get("top_p", told.get("topP")) == (0.9 if takes else None)
    names = ("stop", "stop_sequences", "stopSequences")
    assert [told[name] for name in names if name in told] == [["END", "FIN"]]


def test_a_developers_message_is_a_systems_to_compatible_servers(
    pro: Person, openai: FakeProvider
) -> None:
    parts = [{"type": "text", "text": "Be brief."}]
    spoken = [{"role": "developer", "content": parts, "name": "ed"}, *HI]

    body = sent(openai, pro, CHAT, messages=spoken)

    assert body["messages"][0] == {"role": "system", "content": parts, "name": "ed"}


# Anthropic's messages


def test_messages_in_every_shape_reach_another_vendor(
    pro: Person, openai: FakeProvider
) -> None:
    text_file = {"type": "text", "media_type": "text/plain", "data": "From a file."}
    messages = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": [{"type": "text", "text": "Two."}]},
        {
            "role": "user",
            "content": [
                {"type": "document", "source": text_file},
                {"type": "image", "source": {"type": "url", "url": PNG}},
            ],
        },
    ]

    body = sent(openai, pro, MESSAGES, messages=messages)

    assert body["messages"] == [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From a file."},
                {"type": "image_url", "image_url": {"url": PNG}},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (
            {"type": "tool", "name": "read_file"},
            {"type": "function", "function": {"name": "read_file"}},
        ),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
    ],
)
def test_anthropics_choice_of_tools_is_told_another_vendor(
    pro: Person, openai: FakeProvider, choice: Any, told: Any
) -> None:
    tool = {"name": "read_file", "input_schema": SCHEMA}
    choice = {**choice, "disable_parallel_tool_use": True}

    body = sent(openai, pro, MESSAGES, tools=[tool], tool_choice=choice)

    assert (body["tool_choice"], body["parallel_tool_calls"]) == (told, False)


def test_a_schema_in_anthropics_words_is_demanded_of_another_vendor(
    pro: Person, openai: FakeProvider
) -> None:
    wanted = {"format": {"type": "json_schema", "schema": SCHEMA}}

    body = sent(openai, pro, MESSAGES, output_config=wanted)

    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    }


def test_citations_of_anthropics_own_stay_in_a_whole_answer(
    pro: Person, anthropic: FakeProvider
) -> None:
    cited = {"type": "char_location", "cited_text": "x"}
    anthropic.will(
        anthropic_blocks(
            (
                {"type": "text", "text": ""},
                {"type": "text_delta", "text": "So "},
                {"type": "citations_delta", "citation": cited},
                {"type": "citations_delta", "citation": {**cited, "cited_text": "y"}},
            )
        )
    )

    (block,) = post(pro, MESSAGES)["content"]

    assert block["text"] == "So "
    assert [each["cited_text"] for each in block["citations"]] == ["x", "y"]


def test_a_plain_question_to_anthropic_gets_its_code_too(
    pro: Person, anthropic: FakeProvider, vectors: Any
) -> None:
    workspace = indexed(pro)
    ask = [{"role": "user", "content": "How is retry_delay computed?"}]
    anthropic.will(anthropic_stream("So."))

    post(pro, MESSAGES, messages=ask, workspace_id=workspace.pk)

    code, question = anthropic.chats[-1].body["messages"][0]["content"]
    assert "src/retries.py" in code["text"]
    assert question == {"type": "text", "text": "How is retry_delay computed?"}


# OpenAI's responses


def test_items_in_every_shape_reach_chat(pro: Person, openai: FakeProvider) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "read_file"}
    two = {**call, "call_id": "c2"}
    seen = {"type": "function_call_output"}
    picture = {"type": "input_image", "image_url": PNG}
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "developer", "content": [picture]},
        {"role": "user", "content": [{"type": "input_file", **file}]},
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "I may not."}],
        },
        {"role": "user", "content": "Then read it."},
        {"type": "something_new"},
        call,
        two,
        {**seen, "call_id": "c1", "output": [picture]},
        {**seen, "call_id": "c2", "output": "So."},
        {**call, "call_id": "c3"},
        {**seen, "call_id": "c3", "output": [picture]},
    ]

    body = sent(openai, pro, RESPONSES, input=items, tools=[FUNCTION])

    read_file = {"name": "read_file", "arguments": "{}"}
    calls = [{"id": f"c{n}", "type": "function", "function": read_file} for n in "123"]
    shown = [{"type": "image_url", "image_url": {"url": PNG}}]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": shown},
        {"role": "user", "content": [{"type": "file", "file": file}]},
        {"role": "assistant", "content": "I may not."},
        {"role": "user", "content": "Then read it."},
        {"role": "assistant", "content": None, "tool_calls": calls[:2]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
        {"role": "tool", "tool_call_id": "c2", "content": "So."},
        {"role": "user", "content": shown},
        {"role": "assistant", "content": None, "tool_calls": calls[2:]},
        {"role": "tool", "tool_call_id": "c3", "content": ""},
        {"role": "user", "content": shown},
    ]


def test_strict_tools_and_json_are_demanded_in_chats_words(
    pro: Person, openai: FakeProvider
) -> None:
    body = sent(
        openai,
        pro,
        RESPONSES,
        tools=[{**FUNCTION, "strict": True}],
        text={"format": {"type": "json_object"}},
    )

    assert body["tools"][0]["function"]["strict"] is True
    assert body["response_format"] == {"type": "json_object"}


def test_a_response_says_what_code_it_rests_on(alice: Person, vectors: Any) -> None:
    workspace = indexed(alice)

    answer = post(
        alice,
        RESPONSES,
        input="How is retry_delay computed?",
        workspace_id=workspace.pk,
    )

    assert answer["citations"][0]["path"] == "src/retries.py"


def test_a_thought_in_pieces_is_one_item_and_empty_pieces_are_none(
    pro: Person, openai: FakeProvider
) -> None:
    call = {"index": 0, "id": "c1", "type": "function"}
    steps = [
        chunk({"reasoning_content": "Hm"}),
        chunk({"reasoning_content": "m."}),
        chunk({"tool_calls": [{**call, "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    ]
    openai.will(Script(steps))

    thought, called = post(pro, RESPONSES, tools=[{**FUNCTION, "name": "f"}])["output"]

    assert thought["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert (called["name"], called["arguments"]) == ("f", "{}")


# OpenAI's completions


def test_a_prompt_may_come_in_a_list_of_one(pro: Person, openai: FakeProvider) -> None:
    openai.will(openai_stream("x)"))

    body = sent(openai, pro, "/v1/completions", prompt=["def add("])

    assert "def add(" in json.dumps(body)


def test_a_stream_of_a_completion_has_usage_only_when_asked_for(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    on_tier(pro, "enterprise")
    openai.will(openai_stream("x"))
    given = {"model": "auto", "prompt": "def f("}
    with streaming(asgi_server, pro, "/v1/completions", **given) as response:
        lines = [line for line in response.iter_lines() if line]

    assert lines[-1] == "data: [DONE]"
    assert not any(json.loads(line[6:]).get("usage") for line in lines[:-1])
