"""A scripted stand-in for language model providers, on a real socket.

It speaks HTTP byte by byte, so that it can do what servers should not: hang before
the headers, stall, cut a frame, send a line without end, echo what it was sent. It
records each request and when its connection was closed.

    fake = FakeProvider().start()
    fake.will(openai_stream("Hel", "lo", usage=(7, 2)))
    fake.will(failure(429, retry_after=1), openai_stream("then this"))
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.ports import wait_for


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    raw_body: bytes
    arrived_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None  # the client closed the connection; None: not yet
    n_bytes_sent: int = 0
    is_served: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.raw_body)


# A step: bytes to send, seconds to wait, or one of these.
HOLD = "hold"  # until the client closes the connection
CUT = "cut"  # close the connection without ending the body
ECHO = "echo"  # send back everything the request held
REPEAT = "repeat"  # answer with the last message, as a chunk of OpenAI's
Step = bytes | float | str


@dataclass
class Script:
    """One answer. `before` is waited before the headers leave, in seconds."""

    steps: Sequence[Step]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    before: float = 0.0


def openai_stream(
    *pieces: str,
    usage: tuple[int, int] | None = (7, 2),
    finish: str = "stop",
    done: bool = True,
    pause: float = 0.0,
) -> Script:
    """A chat completion in OpenAI's chunks; `pause` seconds before each piece."""
    steps: list[Step] = [_chunk({"role": "assistant", "content": ""})]
    for piece in pieces:
        if pause:
            steps.append(pause)
        steps.append(_chunk({"content": piece}))
    if finish:
        steps.append(_chunk({}, finish))
    if usage is not None:
        counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        steps.append(sse({"choices": [], "usage": counts}))
    if done:
        steps.append(b"data: [DONE]\n\n")
    return Script(steps)


def openai_tool_call(name: str, arguments: str) -> Script:
    """A tool call, its arguments in two pieces."""
    half = len(arguments) // 2
    first = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": arguments[:half]},
    }
    second = {"index": 0, "function": {"arguments": arguments[half:]}}
    return Script(
        [
            _chunk({"role": "assistant", "content": None, "tool_calls": [first]}),
            _chunk({"tool_calls": [second]}),
            _chunk({}, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )


def anthropic_stream(*pieces: str, usage: tuple[int, int] = (7, 2)) -> Script:
    """A message in Anthropic's events."""

    def named(body: dict[str, Any]) -> bytes:
        return f"event: {body['type']}\n".encode() + sse(body)

    start = {"id": "msg_x", "usage": {"input_tokens": usage[0], "output_tokens": 1}}
    block = {"type": "text", "text": ""}
    return Script(
        [
            named({"type": "message_start", "message": start}),
            named({"type": "content_block_start", "index": 0, "content_block": block}),
            named({"type": "ping"}),
            *(
                named(
                    {
                        "type": "content_block_delta",
                        "index": 0,
                        "delta": {"type": "text_delta", "text": piece},
                    }
                )
                for piece in pieces
            ),
            named({"type": "content_block_stop", "index": 0}),
            named(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": usage[1]},
                }
            ),
            named({"type": "message_stop"}),
        ]
    )


def named_sse(body: dict[str, Any]) -> bytes:
    """One event with its name, as Anthropic sends them."""
    return f"event: {body['type']}\n".encode() + sse(body)


def anthropic_blocks(
    *blocks: tuple[dict[str, Any], *tuple[dict[str, Any], ...]],
    stop_reason: str = "end_turn",
    usage: dict[str, int] | None = None,
) -> Script:
    """A message of such blocks: (how it starts, then its deltas)."""
    start: dict[str, Any] = {
        "id": "msg_x",
        "type": "message",
        "role": "assistant",
        "model": "upstream",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": (usage or {"input_tokens": 7}) | {"output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, (opening, *deltas) in enumerate(blocks):
        events.append(
            {"type": "content_block_start", "index": index, "content_block": opening}
        )
        events += (
            {"type": "content_block_delta", "index": index, "delta": delta}
            for delta in deltas
        )
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": stop_reason, "stop_sequence": None}
    events.append(
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 2}}
    )
    return Script([*map(named_sse, events), named_sse({"type": "message_stop"})])


def anthropic_tool_call(name: str, arguments: str) -> Script:
    """A thought, then a tool call, its arguments in two pieces."""
    half = len(arguments) // 2
    return anthropic_blocks(
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "I must read."},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        (
            {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}},
            {"type": "input_json_delta", "partial_json": arguments[:half]},
            {"type": "input_json_delta", "partial_json": arguments[half:]},
        ),
        stop_reason="tool_use",
    )


def google_tool_call(name: str, arguments: str) -> Script:
    """A thought, then a tool call with its signature."""
    call = {"functionCall": {"name": name, "args": json.loads(arguments)}}
    parts: list[dict[str, Any]] = [
        {"text": "I must read.", "thought": True},
        call | {"thoughtSignature": "c2ln"},
    ]
    content = {"role": "model", "parts": parts}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 2}
    candidate = {"content": content, "finishReason": "STOP"}
    return Script([sse({"candidates": [candidate], "usageMetadata": usage})])


def ollama_tool_call(name: str, arguments: str) -> Script:
    """A thought, then a tool call, then the end in a line of its own."""
    call = {"function": {"name": name, "arguments": json.loads(arguments)}}
    message = {"role": "assistant", "content": ""}
    lines: list[dict[str, Any]] = [
        {"message": message | {"thinking": "I must read."}, "done": False},
        {"message": message | {"tool_calls": [call]}, "done": False},
        {"message": message, "done": True, "done_reason": "stop"}
        | {"prompt_eval_count": 7, "eval_count": 2},
    ]
    return Script(
        [json.dumps(line).encode() + b"\n" for line in lines],
        content_type="application/x-ndjson",
    )


def google_stream(*pieces: str, usage: tuple[int, int] = (7, 2)) -> Script:
    """A generated content in Gemini's chunks."""
    last = len(pieces) - 1

    def chunk(index: int, piece: str) -> bytes:
        candidate: dict[str, Any] = {
            "content": {"role": "model", "parts": [{"text": piece}]}
        }
        body: dict[str, Any] = {"candidates": [candidate]}
        if index == last:
            candidate["finishReason"] = "STOP"
            body["usageMetadata"] = {
                "promptTokenCount": usage[0],
                "candidatesTokenCount": usage[1],
            }
        return sse(body)

    return Script([chunk(index, piece) for index, piece in enumerate(pieces)])


def ollama_stream(*pieces: str, usage: tuple[int, int] | None = (7, 2)) -> Script:
    """A chat in Ollama's lines."""
    last: dict[str, Any] = {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
    }
    if usage is not None:
        last |= {"prompt_eval_count": usage[0], "eval_count": usage[1]}
    lines = [
        {"message": {"role": "assistant", "content": piece}, "done": False}
        for piece in pieces
    ]
    return Script(
        [json.dumps(line).encode() + b"\n" for line in [*lines, last]],
        content_type="application/x-ndjson",
    )


def failure(status: int, *, retry_after: int | None = None) -> Script:
    """A refusal that echoes the request, credential and all, as some servers do."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Script([ECHO], status, "application/json", headers)


def html_page() -> Script:
    """What a captive portal or a broken proxy says, with 200."""
    return Script([b"<html><body>Welcome</body></html>"], content_type="text/html")


def sse(body: object) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


class FakeProvider:
    """The server: `url`, the `requests` it saw, and what it `will` answer."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.models: list[str] = []  # what Ollama's /api/tags lists
        self.openai_models: list[str] = []  # what a compatible server's /models lists
        self.n_connections = self.n_connections_open = 0
        self.default: Script = openai_stream("Hello")
        self.decide: Callable[[Seen], Script] | None = None  # before all that it will
        self._taken: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []
        self._scripts: deque[Script] = deque()
        self._by_path: dict[str, Script] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def chats(self) -> list[Seen]:
        """The prompts it was sent."""
        return [seen for seen in self.requests if seen.method == "POST"]

    def will(self, *scripts: Script) -> None:
        """Answer the next prompts so; the last one is kept for all after."""
        self._scripts.extend(scripts)
        self.default = scripts[-1]

    def at(self, part: str, script: Script) -> None:
        """Answer every prompt whose path holds `part` so."""
        self._by_path[part] = script

    def start(self, port: int = 0) -> "FakeProvider":
        """Answer from now on; on a free port if none is given."""
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._take, "127.0.0.1", port), self._loop
        )
        self._server = started.result(10)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        async def end() -> None:
            for door in self._server.sockets:
                self._loop.remove_reader(door)
            for _ in range(3):  # until who was accepted is taken
                await asyncio.sleep(0)
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _, writer in self._taken:  # some hold words that nobody read
                writer.transport.abort()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def wait_until(self, check: Callable[[], bool], seconds: float = 10.0) -> None:
        """Poll until `check` holds; fails after `seconds`."""
        wait_for(check, seconds=seconds)

    @property
    def open_chats(self) -> list[Seen]:
        """Prompts that are still being answered."""
        return [seen for seen in self.chats if not seen.is_served]

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Noted here, as a task that is cancelled before its first step closes nothing.
        task = asyncio.ensure_future(self._connection(reader, writer))
        self._taken.append((task, writer))

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.n_connections += 1
        self.n_connections_open += 1
        try:
            while (seen := await _read_request(reader)) is not None:
                self.requests.append(seen)
                if not await self._answer(seen, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        except asyncio.CancelledError:
            return
        finally:
            self.n_connections_open -= 1
            writer.close()

    def _listing(self, path: str) -> Script:
        listed: dict[str, Any] = {"data": [{"id": name} for name in self.openai_models]}
        if path.endswith("/api/tags"):
            listed = {"models": [{"name": name} for name in self.models]}
        return Script([json.dumps(listed).encode()], content_type="application/json")

    def _script_for(self, seen: Seen) -> Script:
        if seen.method == "GET":
            return self._listing(seen.path)
        if self.decide is not None:
            return self.decide(seen)
        for part, script in self._by_path.items():
            if part in seen.path:
                return script
        return self._scripts.popleft() if self._scripts else self.default

    async def _answer(
        self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Play the script; False when the connection is over."""
        closing = asyncio.ensure_future(reader.read(1))
        playing = asyncio.ensure_future(self._play(seen, writer))
        await asyncio.wait({closing, playing}, return_when=asyncio.FIRST_COMPLETED)
        went_well = playing.done() and not playing.cancelled() and playing.result()
        if not playing.done():
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        if closing.done() or not went_well:
            seen.closed_at = time.monotonic()
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        seen.is_served = True
        return seen.closed_at is None

    async def _play(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self._script_for(seen)
        if script.before:
            await asyncio.sleep(script.before)
        head = {
            "Content-Type": script.content_type,
            "Transfer-Encoding": "chunked",
            **script.headers,
        }
        lines = [f"HTTP/1.1 {script.status} Whatever"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            for step in script.steps:
                if not await _take_step(step, seen, writer):
                    return False
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            return False
        return True


async def _take_step(step: Step, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    if isinstance(step, float | int):
        await asyncio.sleep(step)
    elif step == HOLD:
        await asyncio.Event().wait()
    elif step == CUT:
        writer.transport.abort()
        return False
    else:
        data = (
            {ECHO: _echo, REPEAT: _repeat}[step](seen)
            if isinstance(step, str)
            else step
        )
        assert isinstance(data, bytes)
        if data:
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            seen.n_bytes_sent += len(data)
        await writer.drain()
    return True


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in rest if line):
        known = headers.get(name.strip().lower())
        own = value.strip()
        headers[name.strip().lower()] = own if known is None else f"{known}, {own}"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


def _echo(seen: Seen) -> bytes:
    return json.dumps(
        {
            "error": {"message": f"bad: {seen.headers} {seen.raw_body!r}"},
        }
    ).encode()


def _repeat(seen: Seen) -> bytes:
    return _chunk({"content": seen.body["messages"][-1]["content"]})


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "chatcmpl-x", "model": "upstream", "choices": [choice]})
