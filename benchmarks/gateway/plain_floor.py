"""The floor as one would write it on a day's notice: uvicorn, bare ASGI, aiohttp.

It knows no caller, counts nothing, reads nothing, as `benchmarks.gateway.floor`, which
has a socket of its own in the place of the client and parses next to nothing.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

_URL = f"http://127.0.0.1:{os.environ.get('UPSTREAM_PORT', '0')}/v1/chat/completions"
_clients: list[aiohttp.ClientSession] = []


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = {"Content-Type": "application/json"}
    async with _client().post(_URL, data=b"".join(parts), headers=headers) as answer:
        kind = answer.headers["Content-Type"].encode()
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(b"content-type", kind)],
            }
        )
        if kind != b"text/event-stream":
            await send({"type": "http.response.body", "body": await answer.read()})
            return
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _client() -> aiohttp.ClientSession:
    if not _clients:
        _clients.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    return _clients[0]
