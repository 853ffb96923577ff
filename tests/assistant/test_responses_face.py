"""/v1/responses: what Codex and OpenAI's newer clients send and expect."""

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import openai as sdk
import pytest

from assistant.models import AIModel
from tests.assistant.asking import record_after, records_of, streaming
from tests.fakes import responses as fake
from tests.fakes.providers import (
    CUT,
    FakeProvider,
    Script,
    openai_stream,
    openai_tool_call,
)
from tests.support.people import Person

RESPONSES = "/v1/responses"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTION: Any = {"type": "function", "name": "read_file", "parameters": SCHEMA}


@pytest.fixture
def client(asgi_server: str, pro: Person) -> Iterator[sdk.OpenAI]:
    with sdk.OpenAI(
        base_url=f"{asgi_server}/v1", api_key=pro.key, max_retries=0, timeout=15
    ) as made:
        yield made


def post(person: Person, **body: Any) -> Any:
    given = {"model": "auto", "input": "Hi"} | body
    return person.api.post(
        RESPONSES, json.dumps(given), content_type="application/json"
    )


def events(site: str, person: Person, **body: Any) -> list[Any]:
    given = {"model": "auto", "input": "Hi"} | body
    with streaming(site, person, RESPONSES, **given) as response:
        lines = [line for line in response.iter_lines() if line]
    bodies = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert [f"event: {body['type']}" for body in bodies] == lines[::2]
    assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))
    return bodies


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def calls(*named: tuple[str, str]) -> Script:
    """One chunk with all calls, after a thought and a word."""
    found = [
        {
            "index": i,
            "id": f"c{i}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for i, (name, arguments) in enumerate(named)
    ]
    return Script(
        [
            chunk({"reasoning_content": "Hmm."}),
            chunk({"content": "Both."}),
            chunk({"tool_calls": found}),
            chunk({}, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )


def test_the_client_gets_a_response_whole_and_streamed_alike(
    client: sdk.OpenAI, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    whole = client.responses.create(model="auto", input="Hi", instructions="Be brief.")
    with client.responses.stream(model="auto", input="Hi") as stream:
        deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
        streamed = stream.get_final_response()

    assert whole.output_text == streamed.output_text == "Hello"
    assert deltas == ["Hel", "lo"]
    assert whole.usage is not None
    assert streamed.usage == whole.usage
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (7, 2)
    assert whole.status == "completed"
    assert whole.model == "openai/gpt-6-sol"
    assert openai.chats[0].body["messages"][0] == {
        "role": "system",
        "content": "Be brief.",
    }


def test_the_client_runs_a_tool(client: sdk.OpenAI, openai: FakeProvider) -> None:
    openai.will(openai_tool_call("read_file", '{"path": "a.py"}'), openai_stream("Ok"))
    said: Any = [{"role": "user", "content": "Read a.py"}]

    asked = client.responses.create(model="auto", input=said, tools=[FUNCTION])
    call: Any = asked.output[0]
    said += [item.model_dump(exclude_none=True) for item in asked.output]
    said.append(
        {"type": "function_call_output", "call_id": call.call_id, "output": "x = 1"}
    )
    done = client.responses.create(model="auto", input=said, tools=[FUNCTION])

    assert (call.type, call.name) == ("function_call", "read_file")
    assert json.loads(call.arguments) == {"path": "a.py"}
    assert done.output_text == "Ok"
    sent = openai.chats[1].body
    assert sent["messages"][1]["tool_calls"][0]["id"] == "call_1"
    assert sent["messages"][2] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "x = 1",
    }
    assert sent["tools"][0]["function"]["name"] == "read_file"


def test_the_events_come_in_openais_order(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(calls(("read_file", "{}"), ("read_file", '{"path": "b"}')))

    found = events(asgi_server, pro, tools=[FUNCTION])

    assert [body["type"].removeprefix("response.") for body in found] == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    added = [b for b in found if b["type"] == "response.output_item.added"]
    done = [b for b in found if b["type"] == "response.output_item.done"]
    assert [b["output_index"] for b in added] == [0, 1, 2, 3]
    assert [b["output_index"] for b in done] == [0, 1, 2, 3]
    assert found[-1]["response"]["output"] == [b["item"] for b in done]
    assert [item["type"] for item in found[-1]["response"]["output"]] == [
        *("reasoning", "message", "function_call", "function_call"),
    ]
    assert found[0]["response"]["output"] == []
    assert found[0]["response"]["status"] == "in_progress"


def test_namespaces_and_custom_tools_come_back_as_they_were_given(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(
        calls(("crm__find", '{"id": 1}'), ("apply_patch", '{"input": "*** Begin"}'))
    )
    given = [
        {
            "type": "namespace",
            "name": "crm",
            "description": "Customers.",
            "tools": [{"type": "function", "name": "find", "parameters": SCHEMA}],
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Patches.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        {"type": "web_search"},
    ]

    answered = post(pro, tools=given, tool_choice="auto").json()
    found, patched = answered["output"][2:]
    said = [
        {"role": "user", "content": "Hi"},
        *answered["output"],
        {"type": "function_call_output", "call_id": "c0", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
    ]
    post(pro, input=said, tools=given)

    assert (found["namespace"], found["name"]) == ("crm", "find")
    assert patched["type"] == "custom_tool_call"
    assert (patched["name"], patched["input"]) == ("apply_patch", "*** Begin")
    first, second = (seen.body for seen in openai.chats)
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert names == ["crm__find", "apply_patch"]
    assert "start: x" in first["tools"][1]["function"]["description"]
    user, assistant, one, two = second["messages"]
    assert assistant["content"] == "Both."
    assert [c["function"]["name"] for c in assistant["tool_calls"]] == names
    assert json.loads(assistant["tool_calls"][1]["function"]["arguments"]) == {
        "input": "*** Begin"
    }
    assert [one["tool_call_id"], two["tool_call_id"]] == ["c0", "c1"]


def test_demands_are_made_in_chats_words(pro: Person, openai: FakeProvider) -> None:
    wanted = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    post(
        pro,
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA"},
                ],
            }
        ],
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "read_file"},
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": wanted, "verbosity": "low"},
        max_output_tokens=50,
        store=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        safety_identifier="s",
    )

    sent = openai.chats[0].body
    assert sent["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AA"},
    }
    assert sent["tool_choice"]["function"] == {"name": "read_file"}
    assert sent["parallel_tool_calls"] is False
    assert sent["reasoning_effort"] == "low"
    assert sent["response_format"]["json_schema"] == {
        "name": "a",
        "schema": SCHEMA,
        "strict": True,
    }
    assert sent["max_tokens"] == 50
    assert sent["verbosity"] == "low"
    assert (sent["prompt_cache_key"], sent["safety_identifier"]) == ("k", "s")
    assert not {"store", "include", "text", "reasoning", "input"} & set(sent)


def test_an_answer_that_was_cut_is_incomplete(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Half", finish="length"))

    answered = post(pro).json()

    assert answered["status"] == "incomplete"
    assert answered["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_stream_that_breaks_fails_and_never_completes(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("Half an", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    found = events(asgi_server, pro)

    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["status"] == "failed"
    assert found[-1]["response"]["error"]["code"].startswith("provider_")
    assert "response.completed" not in {body["type"] for body in found}
    assert record_after(pro).status == "error"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input.0"),
        ({"input": [{"role": "user"}]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"instructions": 5}, "instructions"),
        ({"tools": {}}, "tools"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"model": None}, "model"),
    ],
)
def test_q10_a_bad_field_is_an_invalid_request(
    changes: dict[str, Any], param: str, pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, **changes)

    assert answered.status_code == 400
    error = answered.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert records_of(pro) == []
    assert openai.chats == []


@pytest.fixture
def over_responses(openai: FakeProvider, pro: Person) -> str:
    """A model whose place speaks this face's own wire."""
    model = AIModel.objects.get(name="gpt-6-sol")
    model.upstreams.create(
        name="own", provider="openai-responses", upstream_name="gpt-6-sol"
    )
    return "openai/gpt-6-sol"


def test_the_same_wire_upstream_is_passed_on_event_by_event(
    asgi_server: str, pro: Person, openai: FakeProvider, over_responses: str
) -> None:
    items = (
        fake.thought("Hm."),
        fake.message("Hel", "lo"),
        fake.call("read_file", "{}"),
    )
    openai.will(fake.streamed(*items))

    found = events(asgi_server, pro, model=over_responses, tools=[FUNCTION])

    upstream = fake.events(*items)
    for event in (*upstream[:2], upstream[-1]):
        event["response"]["model"] = over_responses
    upstream[-1]["response"]["usage"] = fake.USAGE | {"cost": ANY}
    assert found == upstream
    assert found[0]["response"]["tools"][0]["parameters"] == {"model": "x"}
    assert found[-1]["response"]["usage"]["cost"] > 0
    record = record_after(pro)
    assert (record.tokens_in, record.tokens_out, record.upstream) == (7, 2, "own")
    assert not record.estimated


def test_the_same_wire_upstream_is_told_what_the_client_sent(
    client: sdk.OpenAI, openai: FakeProvider, over_responses: str
) -> None:
    """But nothing that costs extra, or that would be kept there."""
    sealed = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"}
    said: Any = [{"role": "user", "content": "Hi"}, sealed]
    custom: Any = {"type": "custom", "name": "patch", "format": {"type": "text"}}
    openai.will(fake.at_once(fake.message("Hello")))

    made = client.responses.create(
        model=over_responses,
        input=said,
        reasoning={"effort": "high", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        tools=[custom, {"type": "web_search"}],
        service_tier="priority",
        metadata={"who": "alice"},
        store=True,
    )

    assert made.output_text == "Hello"
    assert made.model == over_responses
    assert made.usage is not None
    assert made.usage.input_tokens_details.cached_tokens == 3
    assert openai.chats[-1].path == "/openai/v1/responses"
    body = openai.chats[-1].body
    assert body.pop("max_output_tokens") > 0
    assert body == {
        "model": "gpt-6-sol",
        "input": said,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "tools": [custom],
        "store": False,
    }


def test_s3_the_same_wire_upstream_that_breaks_off_ends_in_a_failure(
    asgi_server: str, pro: Person, openai: FakeProvider, over_responses: str
) -> None:
    steps = fake.responses_stream("Hel", "lo").steps
    openai.will(Script([*steps[:5], CUT]))

    found = events(asgi_server, pro, model=over_responses)

    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["id"] == "resp_upstream"
    assert found[-1]["response"]["error"]["code"] == "provider_malformed"
    record = record_after(pro)
    assert (record.status, record.estimated) == ("error", True)
    assert record.tokens_out > 0


@pytest.mark.parametrize(
    "item",
    [
        {"type": "local_shell_call_output", "output": "x" * 50},
        {"type": "compaction", "encrypted_content": "x"},
    ],
)
def test_q10_an_input_that_cannot_be_judged_is_not_passed_on(
    item: dict[str, Any], pro: Person, openai: FakeProvider, over_responses: str
) -> None:
    """Its size would count for nothing."""
    openai.will(fake.responses_stream("Hi"))

    answered = post(
        pro, model=over_responses, input=[{"role": "user", "content": "Hi"}, item]
    )

    assert answered.status_code == 200
    sent = openai.chats[-1].body["input"]
    assert [each["type"] for each in sent] == ["message"]


def test_a_workspaces_code_is_told_over_the_same_wire_with_its_citations(
    pro: Person, openai: FakeProvider, over_responses: str, vectors: Any
) -> None:
    from tests.assistant.code import indexed  # noqa: PLC0415 - loads the engine

    workspace = indexed(pro)
    openai.will(fake.responses_stream("Hi"))
    asked = "How is a retry delay computed?"

    body = post(
        pro, model=over_responses, input=asked, workspace_id=workspace.pk
    ).json()

    assert body["citations"][0]["path"] == "src/retries.py"
    assert body["output"][0]["content"][0]["text"] == "Hi"
    code, question = openai.chats[-1].body["input"]
    assert "retry_delay" in code["content"]
    assert question["content"] == asked
