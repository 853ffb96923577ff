"""The load: `python -m benchmarks.gateway.load '{"port": …}'`, a process of its own.

Prints one JSON line: how long each request took, and what failed.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from benchmarks.gateway.upstream import MODEL
from benchmarks.gateway.wire import Answer, connect, post

HOST = "127.0.0.1"


@dataclass
class Orders:
    """What to do."""

    port: int
    key: str
    stream: bool
    at_once: int  # requests that run at one time
    n_requests: int
    seconds: float = 60.0  # no new request is begun after this


@dataclass
class Result:
    """What came of it; times in seconds."""

    wall: float = 0.0
    n_failed: int = 0
    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)  # to the first byte of the body
    why: str = ""  # of the first failure


async def run(orders: Orders) -> Result:
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Say fifty words, please."}],
    }
    if orders.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    request = post(HOST, "/v1/chat/completions", json.dumps(body).encode(), orders.key)
    result, left = Result(), iter(range(orders.n_requests))
    gate = asyncio.Event()
    tasks = [
        asyncio.ensure_future(_worker(orders, request, left, gate, result))
        for _ in range(orders.at_once)
    ]
    await asyncio.sleep(1.0)  # every connection stands before the clock starts
    started = time.perf_counter()
    gate.set()
    await asyncio.gather(*tasks)
    result.wall = time.perf_counter() - started
    return result


async def _worker(
    orders: Orders,
    request: bytes,
    left: Iterator[int],
    gate: asyncio.Event,
    result: Result,
) -> None:
    connection = await connect(HOST, orders.port)
    await gate.wait()
    end = time.perf_counter() + orders.seconds
    for _ in left:
        if time.perf_counter() > end:
            return
        try:
            if connection.is_lost:
                connection = await connect(HOST, orders.port)
            async with asyncio.timeout(120):
                _note(orders, await connection.ask(request), result)
        except (OSError, TimeoutError) as error:
            result.n_failed += 1
            result.why = result.why or type(error).__name__
            connection.is_lost = True


def _note(orders: Orders, answer: Answer, result: Result) -> None:
    is_whole = b"[DONE]" in answer.tail if orders.stream else answer.n_bytes > 200
    if answer.status != 200 or not is_whole:
        result.n_failed += 1
        result.why = result.why or f"{answer.status} {answer.tail!r}"
        return
    result.whole.append(answer.ended_at - answer.asked_at)
    result.first.append(answer.first_at - answer.asked_at)


if __name__ == "__main__":
    import uvloop

    print(json.dumps(asdict(uvloop.run(run(Orders(**json.loads(sys.argv[1])))))))  # noqa: T201
