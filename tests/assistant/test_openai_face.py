"""/v1: what OpenAI's clients send and expect, to the letter."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai as sdk
import pytest

from tests.assistant.asking import record_after, records_of, released_after, streaming
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.fakes.providers import (
    CUT,
    HOLD,
    FakeProvider,
    Script,
    anthropic_stream,
    failure,
    openai_stream,
    openai_tool_call,
)
from tests.support.people import Person

COMPLETIONS = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def client(asgi_server: str, pro: Person) -> Iterator[sdk.OpenAI]:
    """OpenAI's own client, pointed at us."""
    with sdk.OpenAI(
        base_url=f"{asgi_server}/v1", api_key=pro.key, max_retries=0, timeout=15
    ) as made:
        yield made


def post(person: Person, **body: Any) -> Any:
    return person.api.post(
        COMPLETIONS, json.dumps(body), content_type="application/json"
    )


def lines_of(response: httpx2.Response) -> list[str]:
    return [line for line in response.iter_lines() if line]


def test_the_client_streams_a_chat(client: sdk.OpenAI, openai: FakeProvider) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    chunks = list(
        client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    texts = [c.choices[0].delta.content for c in chunks if c.choices]
    assert texts == ["", "Hel", "lo", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 9
    assert {c.model for c in chunks} == {"openai/gpt-6-sol"}
    assert len({c.id for c in chunks}) == 1


def test_the_client_gets_a_whole_chat(client: sdk.OpenAI, openai: FakeProvider) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    made = client.chat.completions.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Hi"}]
    )

    assert made.choices[0].message.content == "Hello"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (7, 2)
    assert made.model == "openai/gpt-6-luna"


def test_the_client_lists_and_reads_models(
    client: sdk.OpenAI, openai: FakeProvider
) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert list(listed)[:1] == ["openai/gpt-6-sol"]
    assert list(listed)[-1] == "extractive"
    read = client.models.retrieve("openai/gpt-6-sol")
    assert read.id == "openai/gpt-6-sol"
    extra = read.model_extra or {}
    assert extra["context_length"] == 16_000
    assert extra["pricing"] == {"prompt": "0.000002", "completion": "0.00001"}


def test_the_client_runs_a_tool(client: sdk.OpenAI, openai: FakeProvider) -> None:
    openai.will(openai_tool_call("read_file", '{"path": "a.py"}'), openai_stream("Ok"))
    tool: Any = {"type": "function", "function": {"name": "read_file"}}
    messages: Any = [{"role": "user", "content": "Read a.py"}]

    asked = client.chat.completions.create(
        model="auto", messages=messages, tools=[tool], tool_choice="auto"
    )
    call: Any = (asked.choices[0].message.tool_calls or [])[0]
    messages.append(asked.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "x = 1"})
    done = client.chat.completions.create(model="auto", messages=messages, tools=[tool])

    assert asked.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == (
        "read_file",
        '{"path": "a.py"}',
    )
    assert done.choices[0].message.content == "Ok"
    sent = openai.chats[1].body["messages"]
    assert sent[1]["tool_calls"][0]["id"] == "call_1"
    assert sent[2] == {"role": "tool", "tool_call_id": "call_1", "content": "x = 1"}
    assert openai.chats[0].body["tool_choice"] == "auto"


def test_a_streamed_tool_call_passes_through(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_tool_call("read_file", '{"path": "a.py"}'))
    tool = {"type": "function", "function": {"name": "read_file"}}

    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI, tools=[tool]
    ) as response:
        chunks = [json.loads(line[6:]) for line in lines_of(response)[:-1]]

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert calls[0]["function"]["name"] == "read_file"
    assert "".join(c["function"]["arguments"] for c in calls) == '{"path": "a.py"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_first_chunk_comes_with_the_first_token(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("first", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, HOLD]))  # more never comes

    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI
    ) as response:
        lines = response.iter_lines()
        assert any('"content": "first"' in line for line in lines)
    assert record_after(pro).status == "cancelled"


def test_bytes_of_the_same_wire_are_passed_on_undecoded(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """White space, unknown members and odd frame borders included."""
    frames = [
        b'data: {"id": "up_1",  "model":"m\\"1", "created": 5, "choices": '
        b'[{"delta": {"role": "assistant", "content": ""}}], "new": [1]}\n\n',
        b'data: {"id": "up_1", "model":"m\\"1", "choices": [{"delta": '
        b'{"content": "say \\"model\\":\\"m\\" \\ud83d\\ude00"}}], "usage": null}\n\n',
        b'data: {"id": "up_1", "choices": [{"delta": {"content": "!"}, '
        b'"finish_reason": "eos"}]}\n\n',
        b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
        b"\n\ndata: [DONE]\n\n",
    ]
    raw = b"".join(frames)
    openai.will(Script([raw[i : i + 11] for i in range(0, len(raw), 11)]))

    with streaming(
        asgi_server,
        pro,
        COMPLETIONS,
        model="auto",
        messages=HI,
        stream_options={"include_usage": True},
    ) as response:
        lines = lines_of(response)

    ours = b'"model":"openai/gpt-6-sol"'
    for line, frame in zip(lines, frames[:2], strict=False):
        assert line.encode() == frame.strip().replace(b'"model":"m\\"1"', ours)
    rest = [json.loads(line[6:]) for line in lines[2:-1]]
    assert [c["choices"][0]["delta"] for c in rest[:2]] == [{"content": "!"}, {}]
    assert rest[1]["choices"][0]["finish_reason"] == "stop"
    assert {c["id"] for c in rest} == {"up_1"}
    assert rest[2]["usage"]["total_tokens"] == 7
    assert rest[2]["usage"]["cost"] == 0.000046
    assert lines[-1] == "data: [DONE]"
    record = record_after(pro)
    assert (record.tokens_in, record.tokens_out) == (3, 4)


def test_a_whole_answer_is_asked_for_whole(pro: Person, openai: FakeProvider) -> None:
    message = {"role": "assistant", "content": "Hello", "annotations": [{"n": 1}]}
    given = {
        "id": "up_1",
        "object": "chat.completion",
        "model": "upstream",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "system_fingerprint": "fp",
    }
    openai.will(Script([json.dumps(given).encode()], content_type="application/json"))

    answered = post(pro, model="auto", messages=HI).json()

    assert openai.chats[0].body["stream"] is False
    assert "stream_options" not in openai.chats[0].body
    assert answered["choices"] == given["choices"]
    assert answered["system_fingerprint"] == "fp"
    assert answered["model"] == "openai/gpt-6-sol"
    assert answered["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cost": 0.000034,
    }


@pytest.mark.parametrize(
    "body", [{}, {"error": {"message": "no"}}, {"choices": [{"message": {}}]}, []]
)
def test_s3_a_whole_answer_that_is_none_is_an_error(
    body: object, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([json.dumps(body).encode()], content_type="application/json"))

    answered = post(pro, model="auto", messages=HI, fallback=False)

    assert answered.status_code == 502
    released_after(pro)


def test_heartbeats_are_comments(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from assistant.gateway import turn  # noqa: PLC0415 - needs Django set up

    monkeypatch.setattr(turn, "HEARTBEAT_SECONDS", 0.1)
    openai.will(openai_stream("one", "two", pause=0.4))

    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI
    ) as response:
        lines = lines_of(response)

    assert lines.count(": keep-alive") >= 2
    assert lines[-1] == "data: [DONE]"


def test_a_stream_without_include_usage_has_no_usage_chunk(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI
    ) as response:
        lines = lines_of(response)

    assert lines[-1] == "data: [DONE]"
    assert all('"usage"' not in line for line in lines)


def test_unknown_fields_go_on_to_the_same_wire_and_costly_ones_do_not(
    pro: Person, openai: FakeProvider
) -> None:
    post(
        pro,
        model="auto",
        messages=HI,
        seed=7,
        response_format={"type": "json_object"},
        reasoning_effort="low",
        service_tier="priority",
        store=True,
        prompt_cache_retention="24h",
        workspace_id=None,
        fallback=False,
    )

    sent = openai.chats[0].body
    assert sent["seed"] == 7
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["reasoning_effort"] == "low"
    kept_back = {"service_tier", "store", "prompt_cache_retention"}
    assert not (kept_back | {"workspace_id", "fallback"}) & set(sent)


def test_unknown_fields_are_kept_from_other_wires(
    pro: Person, provider: FakeProvider, settings: Any
) -> None:
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    provider.will(anthropic_stream("Hello"))

    answered = post(pro, model="claude-sonnet-5-5", messages=HI, seed=7)

    assert answered.json()["choices"][0]["message"]["content"] == "Hello"
    assert "seed" not in provider.chats[0].body


def test_images_pass_through_to_a_provider_that_takes_them(
    pro: Person, openai: FakeProvider, settings: Any
) -> None:
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    settings.GOOGLE_API_KEY = CANARY_KEY
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}
    ]

    taken = post(pro, model="gpt-6-sol", messages=messages)
    refused = [
        post(pro, model=model, messages=messages)
        for model in ("gemini-2.5-pro", "extractive")
    ]

    assert taken.status_code == 200
    assert openai.chats[0].body["messages"] == messages
    assert len(openai.chats) == 1
    for answered in refused:
        assert answered.status_code == 400
        assert answered.json()["error"]["code"] == "unsupported_parameter"


def test_tools_are_refused_where_they_would_be_lost(alice: Person) -> None:
    tool = {"type": "function", "function": {"name": "f"}}

    answered = post(alice, model="extractive", messages=HI, tools=[tool])

    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == "tools"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": HI * 2001}, "messages"),
        ({"messages": [{"content": "Hi"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages.0.content"),
        ({"n": 5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"workspace_id": "workspace_\x00"}, "workspace_id"),
        ({"stream": True, "n": 2}, "n"),
        ({"tools": {}}, "tools"),
    ],
)
def test_q10_a_bad_field_is_an_invalid_request(
    changes: dict[str, Any], param: str, pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, **({"model": "auto", "messages": HI} | changes))

    assert answered.status_code == 400
    error = answered.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert openai.chats == []
    assert records_of(pro) == []


def test_an_unknown_model_is_404_and_lists_the_others(
    pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, model="gpt-nonsense", messages=HI)

    assert answered.status_code == 404
    error = answered.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "'openai/gpt-6-sol'" in error["message"]
    assert openai.chats == []


def test_too_long_a_prompt_has_openais_code(pro: Person, openai: FakeProvider) -> None:
    answered = post(
        pro, model="auto", messages=[{"role": "user", "content": "w " * 40_000}]
    )

    assert answered.status_code == 400
    assert answered.json()["error"]["code"] == "context_length_exceeded"


def test_a_wrong_key_is_openais_401(client: sdk.OpenAI) -> None:
    with pytest.raises(sdk.AuthenticationError) as caught:
        client.with_options(api_key="sk-wrong").models.list()

    assert caught.value.code == "invalid_api_key"


def test_no_key_is_401_in_the_same_shape(db: None, client_without_key: Any) -> None:
    answered = client_without_key.get("/v1/models")

    assert answered.status_code == 401
    assert answered.json()["error"]["code"] == "invalid_api_key"


def test_a_used_up_quota_is_openais_429(
    asgi_server: str, alice: Person, client: sdk.OpenAI, openai: FakeProvider
) -> None:
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up

    Tier.objects.filter(pk="pro").update(requests_per_hour=0)

    with pytest.raises(sdk.RateLimitError) as caught:
        client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Hi"}]
        )

    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/v1/models/nope/nope", "/v1/nothing"])
def test_an_unknown_path_is_404_in_the_same_shape(path: str, alice: Person) -> None:
    answered = alice.api.get(path)

    assert answered.status_code == 404
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "kind", "body", "status"),
    [
        ("get", "application/json", "", 405),
        ("post", "text/plain", "hello", 415),
        ("post", "application/json", "{not json", 400),
        ("post", "application/json", "[]", 400),
        ("post", "application/json", '"text"', 400),
    ],
)
def test_a_wrong_request_is_answered_in_the_same_shape(
    method: str, kind: str, body: str, status: int, alice: Person
) -> None:
    answered = alice.api.generic(method.upper(), COMPLETIONS, body, content_type=kind)

    assert answered.status_code == status
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}


def test_q12_a_failing_provider_is_told_by_the_status_even_of_a_stream(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """Clients try again by the status; a 200 with an error inside ends them."""
    openai.will(failure(500))

    with streaming(
        asgi_server, pro, COMPLETIONS, model="gpt-6-sol", messages=HI
    ) as response:
        body = json.loads(response.read())

    assert response.status_code == 502
    assert body["error"]["type"] == "server_error"
    released_after(pro)


def test_a_stream_that_breaks_ends_with_an_error_and_no_done(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("Half an", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI
    ) as response:
        lines = lines_of(response)

    assert "[DONE]" not in lines[-1]
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["type"] == (
        "server_error"
    )
    assert record_after(pro).status == "error"


def test_the_client_raises_when_a_stream_breaks(
    client: sdk.OpenAI, openai: FakeProvider
) -> None:
    steps = openai_stream("Half an", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    with pytest.raises(sdk.APIError):
        list(
            client.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": "Hi"}],
                stream=True,
            )
        )


def test_a_fallback_is_told_in_a_header(
    asgi_server: str, pro: Person, openai: FakeProvider, settings: Any
) -> None:
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    openai.at("/openai", failure(401))
    openai.at("/anthropic", anthropic_stream("Hello"))

    with streaming(
        asgi_server, pro, COMPLETIONS, model="auto", messages=HI
    ) as response:
        lines = lines_of(response)

    assert response.headers["x-fallback-from"] == "openai/gpt-6-sol"
    assert response.headers["x-model"] == "anthropic/claude-sonnet-5-5"
    assert '"model":"anthropic/claude-sonnet-5-5"' in lines[1]


def test_t2_a_strangers_workspace_is_404_by_body_and_by_header(
    alice: Person, charlie: Person
) -> None:
    on_tier(charlie, "pro")

    by_body = post(charlie, model="auto", messages=HI, workspace_id=alice.workspace.pk)
    by_header = charlie.api.post(
        COMPLETIONS,
        {"model": "auto", "messages": HI},
        format="json",
        headers={"X-Workspace-Id": alice.workspace.pk},
    )

    assert (by_body.status_code, by_header.status_code) == (404, 404)
    assert by_body.json() == by_header.json()


@pytest.mark.parametrize("odd", ["a b", "workspace_", "workspace_a-b", "workspace_a\n"])
def test_what_cannot_be_a_workspaces_id_is_a_bad_request(pro: Person, odd: str) -> None:
    answer = post(pro, model="auto", messages=HI, workspace_id=odd)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "workspace_id"


def test_a_workspace_adds_code_by_body_and_by_header(
    pro: Person, openai: FakeProvider, vectors: Any
) -> None:
    from tests.assistant.code import indexed  # noqa: PLC0415 - loads the engine

    workspace = indexed(pro)
    ask = [{"role": "user", "content": "How is the retry delay computed?"}]

    by_body = post(pro, model="auto", messages=ask, workspace_id=workspace.pk)
    pro.api.post(
        COMPLETIONS,
        {"model": "auto", "messages": ask},
        format="json",
        headers={"X-Workspace-Id": workspace.pk},
    )

    for seen in openai.chats:
        retrieved, question = seen.body["messages"]
        assert "def retry_delay" in retrieved["content"]
        assert question == ask[0]
    assert by_body.json()["citations"][0]["path"] == "src/retries.py"


@pytest.fixture
def client_without_key() -> Any:
    from rest_framework.test import APIClient  # noqa: PLC0415 - needs Django set up

    return APIClient()
