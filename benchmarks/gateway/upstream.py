"""The provider's stand-in: `python -m benchmarks.gateway.upstream PORT`.

Speaks OpenAI's chat completions: 50 tokens 20 ms apart, or at once when the body does
not ask for a stream. Written on the bare protocol, so that it is never what is slow.
"""

import asyncio
import json
import sys

N_TOKENS = 50
PAUSE_SECONDS = 0.02
MODEL = "bench-model"
USAGE = {"prompt_tokens": 12, "completion_tokens": N_TOKENS, "total_tokens": 62}


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return _framed(b"data: " + json.dumps(body).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _plain(body: object) -> bytes:
    data = json.dumps(body).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(len(data)).encode() + b"\r\n\r\n" + data
    )


MODELS = _plain({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
WHOLE = _plain(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word " * N_TOKENS},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
TOKEN = _chunk({"content": "word "})
END = (
    _chunk({}, "stop")
    + _framed(
        b"data: "
        + json.dumps(
            {"object": "chat.completion.chunk", "choices": [], "usage": USAGE}
        ).encode()
        + b"\n\n"
    )
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Provider(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._n_sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._data = b""
        assert self._transport is not None
        if head.startswith(b"GET"):
            self._transport.write(MODELS)
        elif b'"stream":true' in body.replace(b" ", b""):
            self._n_sent = 0
            self._transport.write(HEAD + _chunk({"role": "assistant", "content": ""}))
            self._next()
        else:
            self._transport.write(WHOLE)

    def _next(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._n_sent == N_TOKENS:
            self._transport.write(END)
            return
        self._n_sent += 1
        self._transport.write(TOKEN)
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._next)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
