"""Breakers of several processes: what one learns, all heed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiassist.lib import shared_breaker
from aiassist.lib.redis import client
from aiassist.lib.redis_pipe import pipe
from aiassist.lib.shared_breaker import FAILURES, KEY, SharedBreakers, open_now
from tests.support.ports import wait_for
from tests.support.processes import Process, django_env, python

NAME = "openai/gpt@eu"


class Clock:
    """The monotonic clock, and how far a test has moved it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_breaker, "REST_MS", 200)
    monkeypatch.setattr(shared_breaker, "REFRESH_SECONDS", 0.05)


def trip(breakers: SharedBreakers) -> None:
    for _ in range(FAILURES):
        breakers.failed(NAME)


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.01)


async def told() -> None:
    """Wait until all that was sent before has been answered."""
    await pipe().send("return 1")


async def test_it_opens_after_some_failures_in_a_row() -> None:
    breakers = SharedBreakers()
    breakers.failed(NAME)
    breakers.succeeded(NAME)
    for _ in range(FAILURES - 1):
        breakers.failed(NAME)
    assert await breakers.admits(NAME)

    breakers.failed(NAME)
    assert not await breakers.admits(NAME)
    assert await breakers.admits("another")


async def test_another_process_learns_of_it_and_of_its_end(quick: None) -> None:
    one, other = SharedBreakers(), SharedBreakers()
    assert await other.admits(NAME)
    assert await one.admits(NAME)
    trip(one)

    await until(lambda: _is(other, False))
    await until(lambda: one.admits(NAME))  # the rest is over: this is the probe
    assert not await other.admits(NAME)
    one.succeeded(NAME)
    await until(lambda: other.admits(NAME))
    assert client().hlen(KEY) == 0


async def _is(breakers: SharedBreakers, admits: bool) -> bool:
    return (await breakers.admits(NAME)) is admits


async def test_one_of_all_probes(quick: None) -> None:
    processes = [SharedBreakers() for _ in range(8)]
    trip(processes[0])
    await told()
    await asyncio.gather(*(breakers.admits(NAME) for breakers in processes))
    await asyncio.sleep(0.3)

    asked = [b.admits(NAME) for b in processes for _ in range(5)]
    assert sum(await asyncio.gather(*asked)) == 1


async def test_a_failed_probe_doubles_the_rest(quick: None) -> None:
    breakers = SharedBreakers()
    trip(breakers)
    await told()
    for expected in (0.2, 0.4, 0.8):
        assert open_now()[NAME][0] == pytest.approx(expected, abs=0.1)
        await until(lambda: breakers.admits(NAME))
        breakers.failed(NAME)
        await told()


async def test_without_redis_each_process_goes_by_itself(
    settings: Any,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    clock = Clock()
    one, other = SharedBreakers(clock), SharedBreakers(clock)
    trip(one)

    assert not await one.admits(NAME)
    assert await other.admits(NAME)
    clock.ahead = 6.0
    assert await one.admits(NAME)
    assert not await one.admits(NAME), "the probe is under way"
    one.succeeded(NAME)
    assert await one.admits(NAME)


async def test_a_call_asks_redis_nothing(quick: None) -> None:
    """However many are made: a timer reads, and reads for all."""
    breakers = SharedBreakers()
    await breakers.admits(NAME)
    before = _n_commands()
    for _ in range(2000):
        assert await breakers.admits(NAME)
        breakers.succeeded(NAME)

    assert _n_commands() - before < 20


def _n_commands() -> int:
    told: Any = client().info("stats")
    return int(told["total_commands_processed"])


_OTHER_PROCESS = """
import asyncio, sys, django; django.setup()
from aiassist.lib.shared_breaker import breakers
async def main():
    was = None
    while True:
        now = await breakers.admits(sys.argv[1])
        if now is not was:
            print("admits" if now else "rests", flush=True)
        was = now
        await asyncio.sleep(0.02)
asyncio.run(main())
"""


async def test_a_real_process_heeds_it_within_a_second(tmp_path: Path) -> None:
    command = python("-c", _OTHER_PROCESS, NAME)
    other = Process(command, log=tmp_path / "log", env=django_env())
    with other:
        await asyncio.to_thread(
            wait_for, lambda: "admits" in other.output, seconds=20.0
        )
        breakers = SharedBreakers()
        trip(breakers)
        began = time.monotonic()
        await told()
        await asyncio.to_thread(wait_for, lambda: "rests" in other.output)
        assert time.monotonic() - began < 4
        breakers._tell(shared_breaker._CLOSE, KEY, NAME)
        await asyncio.to_thread(wait_for, lambda: other.output.count("admits") == 2)
