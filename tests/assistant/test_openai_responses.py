"""OpenAI over responses, where its newest models think while they have tools."""

import json
from typing import Any

import pytest

from assistant.errors import (
    PromptTooLong,
    ProviderBusy,
    ProviderMalformed,
    ProviderRejected,
    ProviderUnavailable,
)
from assistant.providers import responses
from assistant.providers.base import ChatMessage, ChatRequest, Delta, Native
from assistant.providers.openai import OpenAIProvider
from tests.assistant.test_translation import ROUND, SEEN, TOOL
from tests.assistant.vendors import ask, configure, request
from tests.fakes import responses as fake
from tests.fakes.providers import CUT, FakeProvider, Script, named_sse, openai_stream

ARGUMENTS = '{"path": "a.py"}'


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    configure(settings)


def body_of(thinks: bool = False, effort: str = "", **changes: Any) -> dict[str, Any]:
    return responses.body_of(request(**changes), thinks=thinks, effort=effort)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize(
    ("model", "effort", "tools", "path"),
    [
        ("gpt-6-sol", None, True, "responses"),
        ("gpt-6-sol", "high", True, "responses"),
        ("gpt-6-sol", "none", True, "chat/completions"),
        ("gpt-6-sol", "high", False, "chat/completions"),
        ("gpt-5.6-luna", None, True, "responses"),
        ("gpt-5.4-mini", None, True, "chat/completions"),
        ("gpt-5.4-mini", "low", True, "responses"),
        ("gpt-5-mini", None, True, "responses"),
        ("gpt-5-chat-latest", None, True, "chat/completions"),
        ("gpt-4.1", None, True, "chat/completions"),
    ],
)
async def test_openais_own_models_think_with_tools_over_responses(
    *,
    model: str,
    effort: str | None,
    tools: bool,
    path: str,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At chat completions the newest refuse tools unless they do not think."""
    over = path == "responses"
    provider.will(fake.responses_stream("Hi") if over else openai_stream("Hi"))
    # The stand-in plays the vendor's own host.
    monkeypatch.setattr("assistant.providers.openai._OPENAI", "127.0.0.1")
    extra = {} if effort is None else {"reasoning_effort": effort}

    deltas = await ask(
        "openai", model=model, tools=(TOOL,) if tools else (), extra=extra
    )

    assert text_of(deltas) == "Hi"
    assert provider.chats[-1].path == f"/openai/v1/{path}"


async def test_elsewhere_a_request_stays_at_chat_unless_staff_say_otherwise(
    provider: FakeProvider,
) -> None:
    provider.at("chat/completions", openai_stream("Hi"))
    provider.at("responses", fake.responses_stream("Ho"))

    chat = await ask("openai", model="gpt-6-sol", tools=(TOOL,))
    over = await ask("openai", model="my-deployment", speaks="responses")

    assert (text_of(chat), text_of(over)) == ("Hi", "Ho")


async def test_thoughts_calls_words_and_usage_are_read(provider: FakeProvider) -> None:
    provider.will(
        fake.streamed(
            fake.thought("Hm."),
            fake.message("I ", "read."),
            fake.call("read_file", ARGUMENTS),
            fake.call("read_file", "{}", "call_2"),
        )
    )

    deltas = await ask("openai", speaks="responses", tools=(TOOL,))

    assert "".join(d.reasoning for d in deltas) == "Hm."
    assert text_of(deltas) == "I read."
    calls: dict[int, str] = {}
    for call in (call for delta in deltas for call in delta.tool_calls):
        told = call["function"]["arguments"]
        calls[call["index"]] = calls.get(call["index"], "") + told
    assert calls == {0: ARGUMENTS, 1: "{}"}
    ids = [c["id"] for d in deltas for c in d.tool_calls if "id" in c]
    assert ids == ["call_1", "call_2"]
    assert deltas[-1].finish_reason == "tool_calls"
    usage = deltas[-1].usage
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.tokens_cached) == (7, 2, 3)
    assert all(d.says or d.finish_reason for d in deltas), "nothing opens it before"


async def test_arguments_that_come_whole_are_read(provider: FakeProvider) -> None:
    call = fake.call("read_file", ARGUMENTS)
    provider.will(fake.streamed([call[0], call[-1]]))

    deltas = await ask("openai", speaks="responses", tools=(TOOL,))

    told = [c["function"]["arguments"] for d in deltas for c in d.tool_calls]
    assert told == ["", ARGUMENTS]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter")],
)
async def test_an_incomplete_response_says_why(
    reason: str, told: str, provider: FakeProvider
) -> None:
    ending = {"incomplete_details": {"reason": reason}}
    provider.will(fake.streamed(fake.message("Hi"), status="incomplete", ending=ending))

    deltas = await ask("openai", speaks="responses")

    assert deltas[-1].finish_reason == told


FAILURES = [
    ("context_length_exceeded", PromptTooLong),
    ("rate_limit_exceeded", ProviderBusy),
    ("invalid_prompt", ProviderRejected),
    ("image_too_large", ProviderRejected),
    ("server_error", ProviderUnavailable),
    ("", ProviderUnavailable),
]


@pytest.mark.parametrize(("code", "kind"), FAILURES)
@pytest.mark.parametrize("native", [None, {"stream": True}, {}])
async def test_s3_a_failed_response_is_one_typed_error(
    code: str, kind: type[Exception], native: Any, provider: FakeProvider
) -> None:
    error = {"code": code, "message": "canary"}
    whole = native == {}
    make = fake.at_once if whole else fake.streamed
    provider.will(make(fake.message("Hi"), status="failed", ending={"error": error}))

    with pytest.raises(kind) as raised:
        await ask(
            "openai",
            speaks="responses",
            native=None if native is None else Native("openai", native),
        )

    assert type(raised.value) is kind
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("native", [None, Native("openai", {"stream": True})])
@pytest.mark.parametrize(
    "steps",
    [
        [named_sse(event) for event in fake.events(fake.message("Hi"))[:-1]],
        [named_sse(event) for event in fake.events(fake.message("Hi"))[:5]] + [CUT],
        [named_sse({"type": "error", "code": "server_error", "message": "x"})],
        [b"event: response.completed\ndata: {oops\n\n"],
        [b'data: {"type": "response.completed", "x": "' + b"x" * 9_000_000],
    ],
    ids=["no end", "cut", "error", "no json", "no end of a line"],
)
async def test_s3_a_stream_that_breaks_is_one_typed_error(
    steps: Any, native: Native | None, provider: FakeProvider
) -> None:
    provider.will(Script(steps))

    with pytest.raises((ProviderMalformed, ProviderUnavailable)):
        await ask("openai", speaks="responses", native=native)


async def test_s2_a_model_that_thinks_may_be_silent_for_longer(
    provider: FakeProvider, settings: Any
) -> None:
    """Its silence has an end all the same."""
    settings.PROVIDER_IDLE_TIMEOUT_SECONDS = 0.05
    settings.PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS = 0.05
    settings.PROVIDER_TOTAL_TIMEOUT_SECONDS = 3.0
    first, *rest = fake.responses_stream("Hi").steps
    provider.will(Script([first, 0.3, *rest]))
    asked: dict[str, Any] = {"speaks": "responses", "tools": (TOOL,)}

    assert text_of(await ask("openai", model="gpt-6-sol", **asked)) == "Hi"
    with pytest.raises(ProviderUnavailable):
        await ask("openai", model="llama", **asked)
    settings.PROVIDER_TOTAL_TIMEOUT_SECONDS = 0.4
    with pytest.raises(ProviderUnavailable):
        await ask("openai", model="gpt-6-sol", **asked)


def test_a_round_of_tools_is_told_in_items() -> None:
    body = body_of(messages=(ChatMessage("system", "Be brief."), *ROUND), tools=(TOOL,))

    call = {"type": "function_call", "name": "read_file", "arguments": ARGUMENTS}
    assert body["input"] == [
        {"type": "message", "role": "system", "content": "Be brief."},
        {"type": "message", "role": "user", "content": "Read both."},
        {"type": "message", "role": "assistant", "content": "I read."},
        {**call, "call_id": "c1"},
        {**call, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "x = 1"},
        {"type": "function_call_output", "call_id": "c2", "output": "y = 2"},
    ]
    function = TOOL["function"]
    assert isinstance(function, dict)
    assert body["tools"] == [{"type": "function", **function, "strict": False}]
    assert (body["stream"], body["store"]) == (True, False)


def test_pictures_and_documents_are_told_in_parts() -> None:
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}
    paper = ChatMessage("user", "", {"role": "user", "content": [pdf]})

    body = body_of(messages=(SEEN, paper))

    assert [item["content"] for item in body["input"]] == [
        [
            {"type": "input_text", "text": "What is it?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        ],
        [
            {
                "type": "input_file",
                "filename": "document.pdf",
                "file_data": "data:application/pdf;base64,AAAA",
            }
        ],
    ]


def test_knobs_are_told_in_its_words_and_what_it_lacks_is_left_out() -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    extra = {
        "verbosity": "low",
        "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "function": {"name": "read_file"}},
        "response_format": {"type": "json_schema", "json_schema": schema},
        "prompt_cache_key": "k",
        "seed": 7,
    }

    asked: dict[str, Any] = {"stop": ("x",), "temperature": 0.5}
    body = body_of(effort="low", tools=(TOOL,), extra=extra, **asked)

    assert body["reasoning"] == {"effort": "low"}
    assert body["tool_choice"] == {"type": "function", "name": "read_file"}
    assert body["text"] == {
        "verbosity": "low",
        "format": {"type": "json_schema", **schema},
    }
    assert (body["parallel_tool_calls"], body["prompt_cache_key"]) == (False, "k")
    assert body["max_output_tokens"] == 99
    assert body["temperature"] == 0.5
    assert not {"seed", "stop", "messages", "max_tokens", "include"} & body.keys()
    thinking = body_of(thinks=True, temperature=0.5, max_tokens=1)
    assert "temperature" not in thinking
    assert thinking["include"] == ["reasoning.encrypted_content"]
    assert thinking["max_output_tokens"] == 16
    asked = {"response_format": {"type": "json_object"}, "tool_choice": "required"}
    body = body_of(tools=(TOOL,), extra=asked)
    assert (body["text"]["format"], body["tool_choice"]) == (
        {"type": "json_object"},
        "required",
    )


async def test_sealed_thoughts_come_with_the_next_word_and_go_back_in_their_place(
    provider: FakeProvider,
) -> None:
    provider.will(fake.responses_tool_call("read_file", ARGUMENTS))

    deltas = await ask("openai", speaks="responses", tools=(TOOL,))

    (kept,) = (d.extra["reasoning_details"] for d in deltas if d.extra)
    wire = {**(ROUND[1].wire or {}), "reasoning_details": kept}
    body = body_of(messages=(ROUND[0], ChatMessage("assistant", "I read.", wire)))
    assert [item["type"] for item in body["input"]] == [
        *("message", "reasoning", "message", "function_call", "function_call")
    ]
    assert body["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": fake.SEALED,
    }


async def test_sealed_thoughts_are_not_told_at_chat(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which refuses a field that it does not know."""
    monkeypatch.setattr("assistant.providers.openai._OPENAI", "127.0.0.1")
    wire = {"role": "assistant", "content": "Hm", "reasoning_details": [{"data": "x"}]}
    provider.will(openai_stream("Hi"))

    await ask("openai", messages=(ChatMessage("assistant", "Hm", wire),))

    (sent,) = provider.chats[-1].body["messages"]
    assert sent == {"role": "assistant", "content": "Hm"}


async def test_a_clients_own_body_goes_on_as_it_came_and_its_events_come_back(
    provider: FakeProvider,
) -> None:
    script = fake.responses_tool_call("read_file", ARGUMENTS)
    provider.will(script)
    body = {"stream": True, "input": "Hi", "model": "alias", "truncation": "auto"}

    deltas = await ask("openai", speaks="responses", native=Native("openai", body))

    wired = b"".join(delta.wire for delta in deltas)
    sent = [step for step in script.steps[:-1] if isinstance(step, bytes)]
    assert wired == b"".join(sent)
    last = deltas[-1]
    assert last.native[0]["type"] == "response.completed"
    assert (last.finish_reason, last.usage is not None) == ("tool_calls", True)
    assert provider.chats[-1].body == {
        "input": "Hi",
        "truncation": "auto",
        "stream": True,
        "store": False,
        "model": "some-model",
        "max_output_tokens": 99,
    }


async def test_its_events_are_held_back_until_something_is_said(
    provider: FakeProvider,
) -> None:
    """Until then another place can be asked."""
    opened, *_, done = fake.thought()
    provider.will(fake.streamed([opened, done], fake.message("Hi")))
    native = Native("openai", {"stream": True, "input": "Hi"})
    stream = OpenAIProvider().stream(
        ChatRequest("m", (), 99, native=native, speaks="responses")
    )

    first = await anext(stream)
    await stream.aclose()

    assert b"response.created" in first.wire
    assert b"Hi" in first.wire


async def test_an_answer_without_a_word_is_passed_on_from_its_beginning(
    provider: FakeProvider,
) -> None:
    opened, *_, done = fake.thought()
    provider.will(fake.streamed([opened, done]))
    native = Native("openai", {"stream": True, "input": "Hi"})

    first, last = await ask("openai", speaks="responses", native=native)

    assert b"response.created" in first.wire
    assert last.finish_reason == "stop"


async def test_a_whole_answer_is_asked_for_whole(provider: FakeProvider) -> None:
    provider.will(fake.at_once(fake.message("Hello")))

    (delta,) = await ask(
        "openai", speaks="responses", native=Native("openai", {"input": "Hi"})
    )

    assert delta.whole is not None
    assert delta.whole["output"][0]["content"][0]["text"] == "Hello"
    assert "stream" not in provider.chats[-1].body
    assert json.dumps(delta.whole).count("Hello") == 1
