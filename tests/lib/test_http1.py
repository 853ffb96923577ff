"""Our own HTTP client against servers that do what they should not (S1, S3)."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from aiassist.lib import http1
from aiassist.lib.egress import (
    AnswerMalformed,
    Caps,
    Destination,
    EgressTimeout,
    Unreachable,
    open_destination,
)

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"


class Server:
    """Answers each request with the next of its scripts; bytes are sent as they are."""

    def __init__(self, *scripts: bytes, closes: bool = False) -> None:
        self.scripts = list(scripts)
        self.closes = closes
        self.requests: list[bytes] = []
        self.n_connections = self.n_open = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.n_connections += 1
        self.n_open += 1
        self.writers.append(writer)
        try:
            while self.scripts:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                self.requests.append(head + body)
                writer.write(self.scripts.pop(0))
                await writer.drain()
                if self.closes:
                    break
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.n_open -= 1
            writer.close()


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Destination]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield Destination("raw", f"http://127.0.0.1:{port}/base")
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()


async def read(to: Destination, caps: Caps | None = None, **more: Any) -> bytes:
    async with open_destination(to, "POST", "x", json={}, caps=caps, **more) as answer:
        return await answer.read(100_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        HELLO,
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HELLO,
    ],
)
async def test_every_form_of_an_answer_is_read_and_the_connection_kept(
    answer: bytes,
) -> None:
    server = Server(answer, answer)
    async with running(server) as to:
        assert await read(to) == b"hello"
        assert await read(to) == b"hello"
    assert server.n_connections == 1


async def test_who_has_read_the_last_word_need_not_wait_for_the_bodys_end() -> None:
    """Many servers send it in a packet of its own, after the last event."""
    start = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    server = Server(start, HELLO, HELLO)
    async with running(server) as to:
        for says_so in (True, False):
            async with open_destination(to, "POST", "x", json={}) as answer:
                assert await anext(answer.chunks()) == b"hello"
                answer.has_said_all = says_so
            if says_so:
                server.writers[0].write(b"0\r\n\r\n")
                async with asyncio.timeout(5):
                    while not http1.pool()._n_idle:
                        await asyncio.sleep(0.005)
                assert await read(to) == b"hello"
                assert server.n_connections == 1
                server.scripts.insert(0, start)
        assert await read(to) == b"hello"
    assert server.n_connections == 2


async def test_what_never_ends_after_its_last_word_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "LINGER_SECONDS", 0.05)
    server = Server(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    async with running(server) as to:
        async with open_destination(to, "POST", "x", json={}) as answer:
            assert await anext(answer.chunks()) == b"hello"
            answer.has_said_all = True
        server.writers[0].write(b"5\r\nhello\r\n")
        async with asyncio.timeout(5):
            while server.n_open:
                await asyncio.sleep(0.01)


async def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    server = Server(b"HTTP/1.0 200 OK\r\n\r\nhello", closes=True)
    async with running(server) as to:
        assert await read(to) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        HELLO + HELLO,  # an answer to what nobody asked
        OK + b"X: " + b"x" * 200_000,  # a head without end
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 200_000,
    ],
)
async def test_s3_what_is_no_answer_is_one_typed_error(answer: bytes) -> None:
    server = Server(answer)
    async with running(server) as to:
        with pytest.raises(AnswerMalformed):
            await read(to)
        await _until(lambda: server.n_open == 0)


async def test_s3_a_body_cut_short_is_malformed() -> None:
    server = Server(OK + b"Content-Length: 9\r\n\r\nhello", closes=True)
    async with running(server) as to:
        with pytest.raises(AnswerMalformed):
            await read(to)


async def test_a_connection_dropped_without_an_answer_is_unreachable() -> None:
    async with running(Server(b"", closes=True)) as to:
        with pytest.raises(Unreachable):
            await read(to)


async def test_t9_what_comes_unasked_between_two_calls_answers_neither() -> None:
    server = Server(HELLO)
    async with running(server) as to:
        await read(to)
        server.writers[0].write(OK + b"Content-Length: 4\r\n\r\nevil")
        await _until(lambda: server.n_open == 0)
        server.scripts.append(HELLO)
        assert await read(to) == b"hello"
    assert server.n_connections == 2


async def test_t9_an_answer_half_read_is_never_the_next_ones() -> None:
    server = Server(OK + b"Content-Length: 9\r\n\r\nhalf", HELLO)
    async with running(server) as to:
        async with open_destination(to, "POST", "x", json={}) as answer:
            async with aclosing(answer.chunks()) as chunks:
                assert await anext(chunks) == b"half"
        assert await read(to) == b"hello"
    assert server.n_connections == 2


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    server = Server(HELLO, HELLO, closes=True)
    async with running(server) as to:
        await read(to)
        await _until(lambda: server.n_open == 0)
        await asyncio.sleep(0.01)  # for the end to arrive on our side
        assert await read(to) == b"hello"
    assert server.n_connections == 2


async def test_a_connection_is_closed_when_the_server_says_so() -> None:
    last = OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    server = Server(last, HELLO)
    async with running(server) as to:
        await read(to)
        await read(to)
    assert server.n_connections == 2


async def test_s3_a_flood_is_not_read_ahead_of_its_reader() -> None:
    flood = OK + b"Content-Length: 60000000\r\n\r\n" + b"x" * 60_000_000
    server = Server(flood)
    async with running(server) as to:
        async with open_destination(to, "POST", "x", json={}) as answer:
            chunks: AsyncGenerator[bytes, None] = answer.chunks()
            await anext(chunks)
            await asyncio.sleep(0.05)
            left = server.writers[0].transport.get_write_buffer_size()
            assert left > 30_000_000, "it was read although nobody wanted it"
            n_bytes = 0
            async for piece in chunks:
                n_bytes += len(piece)
        assert n_bytes > 59_000_000


async def test_s2_each_phase_has_its_own_end() -> None:
    for script, phase in ((b"", "first_byte"), (OK + b"\r\n", "first_byte")):
        async with running(Server(script)) as to:
            with pytest.raises(EgressTimeout) as caught:
                await read(to, Caps(first_byte_seconds=0.05))
            assert caught.value.details["phase"] == phase


async def test_a_slow_reader_is_no_silent_server() -> None:
    """Only waiting counts: the time that we take ourselves is not the server's."""
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n"
    server = Server(answer)
    async with running(server) as to:
        caps = Caps(idle_seconds=0.05)
        async with open_destination(to, "POST", "x", json={}, caps=caps) as reply:
            chunks = reply.chunks()
            assert await anext(chunks) == b"he"
            server.writers[0].write(b"3\r\nllo\r\n0\r\n\r\n")
            await asyncio.sleep(0.15)
            assert await anext(chunks) == b"llo"
            assert await anext(chunks, None) is None


async def test_a_header_cannot_hold_another_one() -> None:
    server = Server(*[HELLO] * 4)
    async with running(server) as to:
        for headers in ({"X": "a\r\nEvil: 1"}, {"X\r\nEvil": "1"}, {"X": "a\0"}):
            with pytest.raises(ValueError, match="not a header"):
                await read(to, headers=headers)
        for path in ("a b", "a\r\nEvil: 1", "ü", "a\tb"):
            async with open_destination(to, "POST", path, json={}) as reply:
                await reply.read()
    assert not any(b"\nevil" in request.lower() for request in server.requests)
    assert [r.split(b"\r\n")[0] for r in server.requests] == [
        b"POST /base/a%20b HTTP/1.1",
        b"POST /base/a%0D%0AEvil:%201 HTTP/1.1",
        b"POST /base/%C3%BC HTTP/1.1",
        b"POST /base/a%09b HTTP/1.1",
    ]


async def test_an_account_in_the_address_is_sent_as_basic() -> None:
    server = Server(HELLO)
    async with running(server) as to:
        url = to.base_url.replace("//", "//me:s%40fe@")
        await read(Destination("raw", url))
    assert b"\r\nAuthorization: Basic bWU6c0BmZQ==\r\n" in server.requests[0]
    assert b"me:" not in server.requests[0].split(b"\r\n\r\n")[0]


async def test_too_many_connections_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "MAX_CONNECTIONS", 1)
    server = Server(OK + b"Content-Length: 9\r\n\r\nhalf")
    async with running(server) as to:
        async with open_destination(to, "POST", "x", json={}):
            began = time.monotonic()
            with pytest.raises(EgressTimeout) as caught:
                await read(to)
    assert caught.value.details["phase"] == "connect"
    assert time.monotonic() - began < 3


async def test_connections_that_nobody_uses_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "IDLE_SECONDS", 0.05)
    server = Server(HELLO)
    async with running(server) as to:
        await read(to)
        assert server.n_open == 1
        await _until(lambda: server.n_open == 0)


async def _until(check: Any, seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.005)
