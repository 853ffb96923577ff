"""The practical floor: an ASGI app that passes the body on and the answer back.

Run by uvicorn as the product is. It knows no caller, counts nothing, reads nothing.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

_HOST, _PORT = "127.0.0.1", int(os.environ.get("UPSTREAM_PORT", "0"))
_idle: list["_Upstream"] = []


class _Upstream(asyncio.Protocol):
    """A connection to the provider; pieces of its answer go into a queue."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.put_nowait(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.pieces.put_nowait(b"")


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    upstream = _idle.pop() if _idle else await _open()
    upstream.transport.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\n"
        b"Content-Type: application/json\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )
    data = b""
    while b"\r\n\r\n" not in data:
        data += await upstream.pieces.get()
    head, _, data = data.partition(b"\r\n\r\n")
    length = _length(head)
    kind = b"application/json" if length is not None else b"text/event-stream"
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", kind)],
        }
    )
    if length is None:
        await _stream(upstream, data, send)
    else:
        while len(data) < length:
            data += await upstream.pieces.get()
        await send({"type": "http.response.body", "body": data})
    _idle.append(upstream)


async def _stream(upstream: _Upstream, data: bytes, send: Any) -> None:
    is_open = True
    while is_open:
        is_open = not data.endswith(b"0\r\n\r\n")
        if body := _unframed(data):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if is_open:
            data = await upstream.pieces.get()
    await send({"type": "http.response.body", "body": b""})


def _unframed(data: bytes) -> bytes:
    """Take the chunks' frames off; the stand-in never splits one."""
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        parts.append(data[:n])
        data = data[n + 2 :]
    return b"".join(parts)


def _length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return None


async def _open() -> _Upstream:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(_Upstream, _HOST, _PORT)
    return made
