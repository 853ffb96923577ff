"""Just enough HTTP/1.1, as cheaply as Python can: for the load and the stand-ins.

A measuring instrument must cost less than what it measures, so there is no library in
between: one protocol object per connection, bodies by length or by chunks.
"""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answer:
    """One answer, and when its parts came (`time.perf_counter`)."""

    status: int = 0
    asked_at: float = 0.0
    first_at: float = 0.0  # the first byte of the body
    ended_at: float = 0.0
    n_bytes: int = 0
    tail: bytes = b""  # the last bytes of the body
    pieces: list[bytes] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """A client's connection that asks one thing after the other."""

    def __init__(self, *, keep: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_lost = False
        self._keep = keep
        self._data = b""
        self._left: int | None = None  # None: chunked; -1: headers are not here yet
        self._answer = Answer()
        self._done: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        """Send a request; the future is the whole answer."""
        self._answer = Answer(asked_at=time.perf_counter())
        self._left, self._data = -1, b""
        self._done = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        if self._left == -1:
            self._data += data
            head, found, data = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            self._read_head(head.lower())
        if not data:
            return
        answer = self._answer
        answer.first_at = answer.first_at or time.perf_counter()
        answer.n_bytes += len(data)
        answer.tail = (answer.tail + data)[-64:]
        if self._keep:
            answer.pieces.append(data)
        if self._left is None:
            if answer.tail.endswith(b"0\r\n\r\n"):
                self._end()
        else:
            self._left -= len(data)
            if self._left <= 0:
                self._end()

    def _read_head(self, head: bytes) -> None:
        self._answer.status = int(head[9:12])
        self._left = None
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self._left = int(line[15:])

    def _end(self) -> None:
        done, self._done = self._done, None
        self._answer.ended_at = time.perf_counter()
        if done is not None and not done.done():
            done.set_result(self._answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server hung up"))


async def connect(host: str, port: int, *, keep: bool = False) -> Connection:
    """Open a connection."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection(keep=keep), host, port)
    return made


def post(host: str, path: str, body: bytes, key: str) -> bytes:
    """Return the bytes of a POST of JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
