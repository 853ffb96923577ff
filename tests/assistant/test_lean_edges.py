"""The lean door at its edges: bodies in pieces, callers that leave, plain http."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from assistant import floods
from assistant.lean import LeanFaces
from tests.assistant.asking import open_holds, record_after, records_of
from tests.fakes.providers import HOLD, FakeProvider, Script, failure, openai_stream
from tests.support.people import Person
from tests.support.ports import wait_for

PATH = "/v1/chat/completions"
CHAT = {"model": "gpt-6-sol", "messages": [{"role": "user", "content": "Hi"}]}


def dial(site: str, person: Person, body: bytes, *, length: int) -> socket.socket:
    """Send a request that claims `length` bytes of body; close what is returned."""
    place = urlsplit(site)
    link = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {place.netloc}\r\nX-API-Key: {person.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    link.sendall(head.encode() + body)
    return link


def test_a_body_may_come_in_pieces(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    def pieces() -> Iterator[bytes]:
        raw = json.dumps(CHAT).encode()
        yield raw[:10]
        yield raw[10:]

    headers = {"X-API-Key": pro.key, "Content-Type": "application/json"}
    answer = httpx2.post(asgi_server + PATH, content=pieces(), headers=headers)

    assert answer.json()["choices"][0]["message"]["content"] == "Hello"


def test_s1_who_leaves_while_sending_holds_nothing(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    raw = json.dumps(CHAT).encode()
    with closing(dial(asgi_server, pro, raw[:10], length=len(raw))):
        wait_for(lambda: open_holds(pro) == 1, what="the admission")

    wait_for(lambda: open_holds(pro) == 0, seconds=2, what="the release")
    assert (records_of(pro), openai.chats) == ([], [])


def test_q2_a_whole_answer_that_nobody_waits_for_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([*openai_stream("Some").steps[:2], HOLD]))
    raw = json.dumps(CHAT).encode()
    with closing(dial(asgi_server, pro, raw, length=len(raw))):
        openai.wait_until(lambda: bool(openai.chats))

    assert record_after(pro).status == "cancelled"
    openai.wait_until(lambda: openai.chats[0].closed_at is not None, 2)


def test_q12_a_failed_whole_answer_tells_that_nothing_was_spent(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(400))
    headers = {"X-API-Key": pro.key}

    answer = httpx2.post(asgi_server + PATH, json=CHAT, headers=headers, timeout=20)

    assert answer.status_code >= 400
    assert answer.headers["x-ratelimit-remaining-requests"] == "500"
    assert records_of(pro) == []


@pytest.mark.parametrize(
    ("scheme", "forwarded", "believed", "is_secure"),
    [
        ("https", "", False, True),
        ("http", "", False, False),
        ("http", "https", False, False),
        ("http", "https", True, True),
        ("http", "https, http", True, True),
        ("http", "http", True, False),
        ("http", "", True, False),
    ],
)
async def test_plain_http_is_left_to_django_which_redirects(
    settings: Any, scheme: str, forwarded: str, believed: bool, is_secure: bool
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = (
        ("HTTP_X_FORWARDED_PROTO", "https") if believed else None
    )
    headers = {
        "host": "testserver",
        "content-type": "application/json",
        "x-api-key": "aia_no-such-key",
    } | ({"x-forwarded-proto": forwarded} if forwarded else {})
    answered: list[str] = []

    async def django(scope: Any, receive: Any, send: Any) -> None:
        answered.append("Django")

    async def send(message: Any) -> None:
        if "status" in message:
            answered.append(f"lean {message['status']}")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    await LeanFaces(django)(
        {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "scheme": scheme,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        },
        receive,
        send,
    )

    assert answered == (["lean 401"] if is_secure else ["Django"])


def test_a_flood_of_invented_keys_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(floods, "_MAX_COUNTED", 100)
    counted = floods.Floods()

    for n in range(1000):
        counted.count({"x-api-key": f"invented {n}"})

    assert len(counted._counts) <= 100
