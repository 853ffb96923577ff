"""The lean door: answers as Django's does, and asks far less for it."""

import json
from typing import Any

import httpx2
import pytest

from assistant.floods import FAILURES_PER_MINUTE, Floods
from tests.assistant.asking import (
    events_of,
    open_holds,
    record_after,
    records_of,
    streaming,
)
from tests.fakes.providers import CUT, FakeProvider, Script, openai_stream
from tests.support.people import Person
from tests.support.ports import wait_for

HI = [{"role": "user", "content": "Hi"}]
LONG = [{"role": "user", "content": "x " * 2**15}]
CHAT = {"model": "gpt-6-sol", "messages": HI}
MESSAGE = {**CHAT, "max_tokens": 9}
VARYING = {"id", "created", "created_at", "request_id", "usage"} | {
    *("message_id", "conversation_id"),
}
OWN = "/api/v1/assistant"
CODE = {"code": "x = 1", "language": "python"}


def send(site: str, path: str, body: Any, **headers: str) -> httpx2.Response:
    raw = body if isinstance(body, str) else json.dumps(body)
    given = {"content-type": "application/json", **headers}
    return httpx2.post(site + path, content=raw, headers=given, timeout=20)


def both(site: str, path: str, body: Any, **headers: str) -> list[httpx2.Response]:
    """Send it to the lean door, and with a browser's header to Django's."""
    other = headers | {"origin": "https://elsewhere.example"}
    return [send(site, path, body, **headers), send(site, path, body, **other)]


def steady(body: Any) -> Any:
    """Leave out what differs between any two answers."""
    if isinstance(body, dict):
        return {k: steady(v) for k, v in body.items() if k not in VARYING}
    return [steady(v) for v in body] if isinstance(body, list) else body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"model": "nope"}),
        ("/v1/chat/completions", CHAT | {"n": 3}),
        ("/v1/chat/completions", CHAT | {"workspace_id": "workspace_nobodys"}),
        ("/v1/chat/completions", "{not json"),
        ("/v1/chat/completions", "[]"),
        ("/v1/chat/completions", '{"model": "\\ud800"}'),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [HI[0] | {"content": "x " * 2**15}]},
        ),
        ("/v1/completions", {"model": "gpt-6-sol", "prompt": "x = "}),
        ("/v1/completions", {"segments": {"prefix": "x = "}, "language": "python"}),
        ("/v1/messages", MESSAGE),
        ("/v1/messages", MESSAGE | {"model": "nope"}),
        ("/v1/messages", "{not json"),
        ("/v1/responses", {"model": "gpt-6-sol", "input": "Hi"}),
        ("/v1/responses", {"model": "gpt-6-sol", "input": []}),
        (f"{OWN}/chat", {"message": "Hi"}),
        (f"{OWN}/chat", {"messages": HI, "model": "gpt-6-sol"}),
        (f"{OWN}/chat", {"message": "Hi", "messages": HI}),
        (f"{OWN}/chat", {"message": "Hi", "conversation_id": "conv_nobodys"}),
        (f"{OWN}/chat", {"message": "Hi", "workspace_id": "workspace_nobodys"}),
        (f"{OWN}/chat", {"message": "Hi", "model": "nope"}),
        (f"{OWN}/chat", "{not json"),
        (f"{OWN}/chat", "[]"),
        (f"{OWN}/chat", '{"message": "Hi", "temperature": 1e999}'),
        (f"{OWN}/explain", CODE),
        (f"{OWN}/explain", CODE | {"language": "no language"}),
        (f"{OWN}/generate", {"instruction": "Sort it", "language": "python"}),
        (f"{OWN}/complete", {"prefix": "x = ", "language": "python"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_both_doors_answer_alike(
    path: str, body: Any, asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    lean, django = both(asgi_server, path, body, **{"x-api-key": pro.key})

    assert lean.status_code == django.status_code
    assert steady(lean.json()) == steady(django.json())
    if lean.status_code == 200:  # the lean one admits first, so it can always tell
        assert "x-ratelimit-limit-requests" in django.headers
    assert lean.headers["x-ratelimit-limit-requests"] == "500"
    kept = ("content-type", "x-content-type-options")
    for name in (*kept, "cross-origin-resource-policy", "referrer-policy"):
        assert lean.headers.get(name) == django.headers.get(name), name
    assert lean.headers["x-request-id"].startswith("req_")
    for answer in (lean, django):  # Anthropic's clients read it under this name
        told = answer.headers["x-request-id"] if path == "/v1/messages" else None
        assert answer.headers.get("request-id") == told
    wait_for(lambda: open_holds(pro) == 0, what="the holds")
    assert len(records_of(pro)) == (2 if lean.status_code == 200 else 0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{OWN}/chat", {"message": "Hi"}),
        (f"{OWN}/chat", {"messages": HI}),
        (f"{OWN}/complete", {"prefix": "x = ", "language": "python"}),
    ],
    ids=["kept", "not kept", "complete"],
)
@pytest.mark.parametrize("breaks", [False, True], ids=["whole", "broken"])
def test_both_doors_stream_the_assistants_events_alike(
    path: str,
    body: Any,
    breaks: bool,
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
) -> None:
    whole = openai_stream("Hello", " you")
    openai.will(Script([*whole.steps[:2], CUT]) if breaks else whole)

    found = []
    for headers in ({}, {"origin": "https://elsewhere.example"}):
        with streaming(asgi_server, pro, path, headers, **body) as answer:
            assert answer.headers["content-type"] == EVENTS
            found.append([(e.name, steady(e.data)) for e in events_of(answer)])

    lean, django = found
    assert lean == django
    assert (lean[0][0], lean[-1][0]) == ("context", "error" if breaks else "done")


EVENTS = "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("path", ["/v1/chat/completions", f"{OWN}/chat"])
@pytest.mark.parametrize(
    "credential",
    [
        {"x-api-key": "aia_wrong"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer " + "x" * 5000},
        {"x-api-key": "a", "authorization": "Bearer b"},
    ],
    ids=["typo", "scheme", "length", "two"],
)
def test_u5_both_doors_refuse_alike(
    path: str, credential: dict[str, str], asgi_server: str, db: None
) -> None:
    lean, django = both(asgi_server, path, MESSAGE, **credential)

    assert lean.status_code == django.status_code
    assert lean.status_code in (400, 401)
    assert steady(lean.json()) == steady(django.json())
    challenge = lean.headers.get("www-authenticate")
    assert challenge == django.headers.get("www-authenticate")


def test_what_it_does_not_understand_goes_on_to_django(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    key = {"x-api-key": pro.key}
    path = "/v1/chat/completions"
    text = send(asgi_server, path, "hello", **key, **{"content-type": "text/plain"})
    host = send(asgi_server, path, CHAT, **key, host="elsewhere.example")

    assert (text.status_code, host.status_code) == (415, 400)
    assert httpx2.get(asgi_server + path, headers=key).status_code == 405
    assert send(asgi_server, path, CHAT).status_code == 401


def test_a_body_beyond_the_limit_is_refused_while_it_comes(
    asgi_server: str, pro: Person, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = CHAT | {"messages": [{"role": "user", "content": "x" * 2000}]}

    answered = send(asgi_server, "/v1/chat/completions", body, **{"x-api-key": pro.key})

    assert answered.status_code == 413
    assert open_holds(pro) == 0


def test_a_crash_is_answered_in_the_faces_shape_and_logged_without_words(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from assistant import lean  # noqa: PLC0415 - needs Django set up

    def crash(*args: Any) -> None:
        raise RuntimeError("my secret prompt")

    monkeypatch.setattr(lean, "body_of", crash)
    answered = send(asgi_server, "/v1/messages", MESSAGE, **{"x-api-key": pro.key})

    assert answered.status_code == 500
    assert answered.json()["error"]["type"] == "api_error"
    assert "my secret prompt" not in answered.text + caplog.text
    assert open_holds(pro) == 0


def test_a_flood_of_failing_calls_is_held_back() -> None:
    floods, alices = Floods(), {"x-api-key": "a"}
    for _ in range(FAILURES_PER_MINUTE):
        floods.check(alices)
        floods.count(alices)

    with pytest.raises(Exception, match="Too many failing calls"):
        floods.check(alices)
    floods.check({"x-api-key": "b"})


def test_the_ledgers_latency_runs_from_the_door(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("a", "b", pause=0.15))

    send(asgi_server, "/v1/chat/completions", CHAT, **{"x-api-key": pro.key})

    assert record_after(pro).latency_ms >= 300
