"""A stream that fails tells its error and then ends with its connection (S3).

Read byte by byte from the socket, as clients' libraries differ in what they forgive.
"""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai as openai_sdk
import pytest

from tests.assistant.asking import record_after
from tests.fakes.providers import CUT, FakeProvider, Script, openai_stream
from tests.support.people import Person

HI = [{"role": "user", "content": "Hi"}]
CODE = {"code": "x = 1", "language": "python"}
OWN = "/api/v1/assistant"
STREAMED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/completions": {"prompt": "x = "},
    "/v1/messages": {"messages": HI, "max_tokens": 9},
    "/v1/responses": {"input": "Hi"},
    f"{OWN}/chat": {"message": "Hi"},
    f"{OWN}/explain": CODE,
    f"{OWN}/generate": {"instruction": "Sort it", "language": "python"},
    f"{OWN}/complete": {"prefix": "x = ", "language": "python"},
}
DOORS = {"lean": "", "Django": "Origin: https://elsewhere.example\r\n"}
WHOLE = openai_stream("Half", " an")
BROKEN = Script([*WHOLE.steps[:2], CUT])


def raw(site: str, person: Person, path: str, door: str) -> bytes:
    """Ask on one connection; return all that comes until it closes or falls silent."""
    body = json.dumps({"model": "gpt-6-sol", "stream": True, **STREAMED[path]})
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {person.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{DOORS[door]}\r\n"
    )
    address = urlsplit(site)
    with socket.create_connection((address.hostname, address.port), 10) as link:
        link.sendall((head + body).encode())
        said = b""
        while piece := link.recv(65_536):
            said += piece
            if said.endswith(b"0\r\n\r\n"):
                link.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                return said + link.recv(65_536)
    return said


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", STREAMED)
def test_s3_after_a_failure_the_connection_closes_without_an_end(
    path: str,
    door: str,
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    openai.will(BROKEN)

    said = raw(asgi_server, pro, path, door)

    assert said.startswith(b"HTTP/1.1 200 OK")
    *_, last, rest = said.split(b"\r\n")
    assert (rest, last.endswith(b"\n\n")) == (b"", True)  # one whole piece, no end
    assert b"error" in last and b"provider_" in last
    assert b"0\r\n\r\n" not in said
    assert record_after(pro).status == "error"
    assert "without completing" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("door", DOORS)
def test_a_whole_stream_ends_in_order_and_its_connection_stays(
    door: str, asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(WHOLE)

    said = raw(asgi_server, pro, "/v1/chat/completions", door)

    assert b"data: [DONE]\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK" in said


def test_the_openai_client_raises_what_the_stream_told(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(BROKEN)
    with openai_sdk.OpenAI(
        base_url=f"{asgi_server}/v1", api_key=pro.key, max_retries=0
    ) as client:
        heard = []
        with pytest.raises(openai_sdk.APIError, match="provider") as raised:
            for chunk in client.chat.completions.create(
                model="gpt-6-sol",
                messages=[{"role": "user", "content": "Hi"}],
                stream=True,
            ):
                heard.append(chunk.choices[0].delta.content)

        assert heard[-1] == "Half"
        assert not isinstance(raised.value, openai_sdk.APIConnectionError)
        kinds = []
        with pytest.raises(openai_sdk.APIConnectionError):
            for event in client.responses.create(
                model="gpt-6-sol", input="Hi", stream=True
            ):
                kinds.append(event.type)
        assert kinds[-1] == "response.failed"


def test_the_anthropic_client_raises_what_the_stream_told(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(BROKEN)
    with (
        anthropic.Anthropic(
            base_url=asgi_server, api_key=pro.key, max_retries=0
        ) as client,
        pytest.raises(anthropic.APIStatusError, match="provider"),
        client.messages.stream(
            model="gpt-6-sol",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi"}],
        ) as stream,
    ):
        list(stream.text_stream)
