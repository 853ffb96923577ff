"""/v1/messages: what Anthropic's clients send and expect, whoever answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import anthropic as sdk
import pytest

from tests.assistant.asking import record_after, records_of, streaming
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.fakes.providers import (
    CUT,
    FakeProvider,
    Script,
    anthropic_stream,
    anthropic_tool_call,
    failure,
    named_sse,
    openai_stream,
    openai_tool_call,
)
from tests.support.people import Person

MESSAGES = "/v1/messages"
HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL: Any = {"name": "read_file", "description": "Reads.", "input_schema": SCHEMA}


@pytest.fixture
def client(asgi_server: str, pro: Person) -> Iterator[sdk.Anthropic]:
    """Anthropic's own client, pointed at us."""
    with sdk.Anthropic(
        base_url=asgi_server, api_key=pro.key, max_retries=0, timeout=15
    ) as made:
        yield made


@pytest.fixture
def anthropic(provider: FakeProvider, settings: Any) -> FakeProvider:
    """The stand-in, configured as Anthropic."""
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    return provider


def test_an_effort_is_told_other_providers_in_their_words(
    pro: Person, openai: FakeProvider
) -> None:
    """Claude Code asks for one."""
    post(pro, output_config={"effort": "high"})

    assert "reasoning_effort" not in openai.chats[0].body, "a compatible server's"


def post(person: Person, path: str = MESSAGES, **body: Any) -> Any:
    given = {"model": "auto", "max_tokens": 99, "messages": HI} | body
    return person.api.post(path, json.dumps(given), content_type="application/json")


def events(site: str, person: Person, **body: Any) -> list[tuple[str, Any]]:
    """Return (event, data) of a whole stream."""
    given = {"model": "auto", "max_tokens": 99, "messages": HI} | body
    with streaming(site, person, MESSAGES, **given) as response:
        lines = [line for line in response.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    bodies = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert names == [body["type"] for body in bodies]
    return list(zip(names, bodies, strict=True))


def test_the_client_streams_from_another_vendor(
    client: sdk.Anthropic, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    with client.messages.stream(
        model="auto", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert pieces == ["Hel", "lo"]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 2)
    assert message.model == "openai/gpt-6-sol"


def test_the_client_runs_a_tool_at_another_vendor(
    client: sdk.Anthropic, openai: FakeProvider
) -> None:
    openai.will(openai_tool_call("read_file", '{"path": "a.py"}'), openai_stream("Ok"))
    messages: Any = [{"role": "user", "content": "Read a.py"}]

    asked = client.messages.create(
        model="auto", max_tokens=99, messages=messages, tools=[TOOL]
    )
    call: Any = asked.content[0]
    messages.append({"role": "assistant", "content": asked.content})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "x = 1"}
    messages.append({"role": "user", "content": [result]})
    done: Any = client.messages.create(
        model="auto", max_tokens=99, messages=messages, tools=[TOOL]
    )

    assert (asked.stop_reason, call.name, call.input) == (
        "tool_use",
        "read_file",
        {"path": "a.py"},
    )
    assert done.content[0].text == "Ok"
    sent = openai.chats[1].body
    assert sent["tools"][0]["function"]["parameters"] == SCHEMA
    assert sent["messages"][1]["tool_calls"][0]["id"] == "call_1"
    assert sent["messages"][2] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "x = 1",
    }


def test_the_beta_address_and_bearer_work(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    with sdk.Anthropic(
        base_url=asgi_server, auth_token=pro.key, api_key=None, max_retries=0
    ) as client:
        made: Any = client.beta.messages.create(
            model="auto", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
        )

    assert made.content[0].text == "Hello"


def test_the_events_come_in_anthropics_order(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    found = events(asgi_server, pro)

    start = found[0][1]["message"]
    assert start["content"] == []
    assert start["usage"]["output_tokens"] == 0
    assert [body for _, body in found[1:]] == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hel"},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "lo"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 7,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 2,
                "cost": 0.000034,
            },
        },
        {"type": "message_stop"},
    ]


def interleaved() -> Script:
    """A thought, a text and two calls whose pieces come in turns."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()

    def call(index: int, **function: str) -> bytes:
        opening = {"id": f"c{index}"} if "name" in function else {}
        return chunk({"tool_calls": [{"index": index, "function": function} | opening]})

    return Script(
        [
            chunk({"reasoning_content": "Hmm."}),
            chunk({"content": "Both."}),
            call(0, name="f", arguments='{"a"'),
            call(1, name="g", arguments='{"b"'),
            call(0, arguments=": 1}"),
            call(1, arguments=": 2}"),
            chunk({}, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )


def test_thoughts_text_and_calls_each_have_their_block(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(interleaved())
    asked: dict[str, Any] = {"tools": [TOOL], "thinking": {"type": "adaptive"}}

    found = events(asgi_server, pro, **asked)
    whole = post(pro, **asked).json()

    opened = [b["content_block"] for n, b in found if n == "content_block_start"]
    assert [block["type"] for block in opened] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert [b["index"] for n, b in found if n == "content_block_start"] == [0, 1, 2, 3]
    assert [b["index"] for n, b in found if n == "content_block_stop"] == [0, 1, 2, 3]
    told: dict[int, str] = {}
    for body in (b for n, b in found if n == "content_block_delta"):
        told.setdefault(body["index"], "")
        told[body["index"]] += body["delta"].get("partial_json", "")
    assert (told[2], told[3]) == ('{"a": 1}', '{"b": 2}')
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"
    assert [block["type"] for block in whole["content"]] == [b["type"] for b in opened]
    assert [b["input"] for b in whole["content"][2:]] == [{"a": 1}, {"b": 2}]


def test_thoughts_that_nobody_asked_for_are_kept_back(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(interleaved())

    kinds = [block["type"] for block in post(pro, tools=[TOOL]).json()["content"]]

    assert kinds == ["text", "tool_use", "tool_use"]


def test_anthropic_is_sent_the_body_as_it_came(
    pro: Person, anthropic: FakeProvider
) -> None:
    anthropic.will(anthropic_stream("Hello"))
    body: dict[str, Any] = {
        "system": [
            {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
        ],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}],
        "top_k": 5,
        "context_management": {"edits": []},
    }
    # These cost more, answer by another model or tell of other calls.
    costly = {
        "fallbacks": [{"model": "claude-opus-5-5"}],
        "fallback_credit_token": "t",
        "billing_policy": {"type": "billing_policy", "bill_to": "self"},
        "diagnostics": {"previous_message_id": "msg_of_somebody"},
        "service_tier": "priority",
    }

    pro.api.post(
        "/v1/messages?beta=true",
        json.dumps(
            body
            | {"model": "claude-sonnet-5-5", "max_tokens": 3000, "messages": HI}
            | {"metadata": {"user_id": "u"}}
            | costly
        ),
        content_type="application/json",
        headers={"anthropic-version": "2023-06-01", "anthropic-beta": "a,b"},
    )

    seen = anthropic.chats[0]
    assert seen.body == body | {
        "model": "claude-sonnet-5-5",
        "max_tokens": 3000,
        "messages": HI,
        "stream": True,
        "tools": [TOOL],  # what the vendor runs itself costs extra
    }
    assert seen.headers["anthropic-beta"] == "a,b"
    assert seen.headers["x-api-key"] == CANARY_KEY
    assert pro.key not in repr(seen)


def test_anthropics_own_events_pass_through(
    asgi_server: str, pro: Person, anthropic: FakeProvider
) -> None:
    anthropic.will(anthropic_tool_call("read_file", '{"path": "a.py"}'))

    found = events(asgi_server, pro, tools=[TOOL])
    whole = post(pro, tools=[TOOL]).json()

    steps = [s for s in anthropic_tool_call("read_file", '{"path": "a.py"}').steps]
    wanted = [json.loads(bytes(s).split(b"data: ")[1]) for s in steps]  # type: ignore[arg-type]
    wanted[0]["message"]["model"] = "anthropic/claude-sonnet-5-5"
    assert [body for _, body in found] == wanted
    assert whole["content"] == [
        {"type": "thinking", "thinking": "I must read.", "signature": "c2ln"},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "read_file",
            "input": {"path": "a.py"},
        },
    ]
    assert whole["stop_reason"] == "tool_use"
    assert whole["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert [r.tokens_in for r in records_of(pro)] == [7, 7]


def test_a_stream_that_breaks_ends_with_an_error_and_no_stop(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("Half an", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    found = events(asgi_server, pro)

    name, body = found[-1]
    assert name == "error"
    assert body["error"]["type"] == "api_error"
    assert "message_stop" not in [name for name, _ in found]
    assert record_after(pro).status == "error"


def test_q12_an_overloaded_anthropic_is_tried_again_before_anything_is_shown(
    asgi_server: str, pro: Person, anthropic: FakeProvider
) -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 7}}}
    error = {"type": "error", "error": {"type": "overloaded_error"}}
    anthropic.will(
        Script([named_sse(start), named_sse(error)]), anthropic_stream("Hello")
    )

    found = events(asgi_server, pro)

    assert [name for name, _ in found].count("message_start") == 1
    assert found[-1][0] == "message_stop"
    assert record_after(pro).status == "ok"


BAD = (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_tokens": None}, BAD),
        ({"messages": []}, BAD),
        ({"messages": [{"role": "robot"}]}, BAD),
        ({"messages": [{"role": "user", "content": 5}]}, BAD),
        ({"messages": [{"role": "user", "content": [5]}]}, BAD),
        ({"system": 5}, BAD),
        ({"tools": {}}, BAD),
        ({"temperature": 1.5}, BAD),
        ({"thread": {"type": "create"}}, BAD),
        ({"model": "nope"}, (404, "not_found_error")),
        ({"workspace_id": "workspace_nobodys"}, (404, "not_found_error")),
    ],
)
def test_q10_a_fault_of_the_client_is_told_in_anthropics_shape(
    changes: dict[str, Any], told: tuple[int, str], pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, **changes)

    body = answered.json()
    assert body["type"] == "error"
    assert (answered.status_code, body["error"]["type"]) == told
    assert body["request_id"].startswith("req")
    assert openai.chats == []
    assert records_of(pro) == []


def test_other_errors_have_anthropics_shape_too(
    alice: Person, pro: Person, openai: FakeProvider, client_without_key: Any
) -> None:
    openai.will(failure(401))
    answered = {
        401: client_without_key.post(MESSAGES, {}, format="json"),
        405: pro.api.get(MESSAGES),
        415: pro.api.generic("POST", MESSAGES, "x", content_type="text/plain"),
        404: pro.api.get("/v1/messages/batches"),
        400: post(pro, model="gpt-6-sol"),  # lasting, so no 5xx: clients would repeat
    }
    kinds = {
        401: "authentication_error",
        405: "invalid_request_error",
        415: "invalid_request_error",
        404: "not_found_error",
        400: "invalid_request_error",
    }

    for status, answer in answered.items():
        assert answer.status_code == status
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["type"] == kinds[status]


def test_a_used_up_quota_tells_when_to_come_back(alice: Person, settings: Any) -> None:
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up

    Tier.objects.filter(pk="free").update(requests_per_hour=0)
    answered = post(alice, model="extractive")

    assert answered.status_code == 429
    assert answered.json()["error"]["type"] == "rate_limit_error"
    assert int(answered.headers["Retry-After"]) > 0


def test_tokens_are_counted_for_nothing(pro: Person, openai: FakeProvider) -> None:
    path = f"{MESSAGES}/count_tokens"
    short = post(pro, path, max_tokens=None)
    longer = post(pro, path, system="Be brief. " * 20, tools=[TOOL])

    assert 0 < short.json()["input_tokens"] < longer.json()["input_tokens"]
    assert post(pro, path, model="nope").status_code == 404
    assert openai.chats == []
    assert records_of(pro) == []


def test_images_and_documents_reach_another_vendor(
    pro: Person, openai: FakeProvider
) -> None:
    def source(kind: str) -> dict[str, str]:
        return {"type": "base64", "media_type": kind, "data": "AAAA"}

    shown = [
        {"type": "image", "source": source("image/png")},
        {"type": "document", "source": source("application/pdf")},
        {"type": "text", "text": "What are they?"},
    ]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": shown[:1]}
    post(pro, messages=[{"role": "user", "content": [result, *shown]}])

    tool, user = openai.chats[0].body["messages"]
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": ""}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    url = "data:application/pdf;base64,AAAA"
    file = {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}
    text = {"type": "text", "text": "What are they?"}
    assert user["content"] == [image, image, file, text]


def test_tools_that_a_client_found_are_named_to_another_vendor(
    pro: Person, openai: FakeProvider
) -> None:
    found = [{"type": "tool_reference", "tool_name": "mcp__code__search"}]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": found}

    post(pro, messages=[{"role": "user", "content": [result]}])

    (told,) = openai.chats[0].body["messages"]
    assert (told["role"], told["tool_call_id"]) == ("tool", "c1")
    assert "mcp__code__search" in told["content"]


def test_a_prompt_too_long_is_told_in_the_words_that_clients_look_for(
    pro: Person, openai: FakeProvider
) -> None:
    long = [{"role": "user", "content": "word " * 40_000}]

    answered = post(pro, messages=long, max_tokens=99)

    error = answered.json()["error"]
    assert (answered.status_code, error["type"]) == (400, "invalid_request_error")
    assert re.match(
        r"prompt is too long: \d+ tokens > 16000 maximum\. ", error["message"]
    )
    assert openai.chats == []


def test_a_workspace_adds_code_to_anthropics_own_body(
    pro: Person, anthropic: FakeProvider, vectors: Any
) -> None:
    from tests.assistant.code import indexed  # noqa: PLC0415 - loads the engine

    anthropic.will(anthropic_stream("Hello"))
    workspace = indexed(pro)
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
    call = {"type": "tool_use", "id": "t", "name": "read_file", "input": {}}
    question = {"type": "text", "text": "How is the retry delay computed?"}
    messages = [
        {"role": "user", "content": [question]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]

    post(pro, messages=messages, tools=[TOOL], workspace_id=workspace.pk)

    sent = anthropic.chats[0].body["messages"]
    assert sent[1:] == messages[1:]
    code, asked = sent[0]["content"]
    assert "def retry_delay" in code["text"]
    assert asked == question


@pytest.fixture
def client_without_key() -> Any:
    from rest_framework.test import APIClient  # noqa: PLC0415 - needs Django set up

    return APIClient()


def test_u6_the_header_of_anthropics_clients_decides_like_the_others(
    alice: Person, charlie: Person, client_without_key: Any
) -> None:
    on_tier(charlie, "pro")
    given = {"model": "extractive", "max_tokens": 9, "messages": HI}
    answered = [
        client_without_key.post(MESSAGES, given, format="json", headers=headers)
        for headers in (
            {"x-api-key": alice.key},
            {"Authorization": f"Bearer {alice.key}"},
        )
    ]

    assert [a.status_code for a in answered] == [200, 200]
