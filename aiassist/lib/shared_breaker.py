"""Circuit breakers of all processes together: what one finds dead, all leave alone.

A breaker is closed until `FAILURES` calls in a row failed in one process. Then it is
open for a while, twice as long with each time, and after that one call of one process
may try (the *probe*); its verdict closes or opens for everybody.

Redis keeps who is open. No call asks it: each event loop reads all of them on a timer,
so that another process's breaker is known within `REFRESH_SECONDS`. Only a process
that wants to probe asks, and only who has something to tell writes. Without Redis
each process goes by what it has seen itself.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from aiassist.lib.db import lends_its_thread
from aiassist.lib.redis import RedisDown, client
from aiassist.lib.redis_pipe import pipe

logger = logging.getLogger(__name__)

FAILURES = 3  # in a row
REST_MS, MAX_REST_MS = 5_000, 60_000
PROBE_MS = 15_000  # a probe that has told nothing by then is given up
REFRESH_SECONDS = 0.5
_AWAY_SECONDS = 2.0  # between two looks while Redis is away
_FORGOTTEN_MS = 3_600_000  # nobody has asked for it since: its model is gone

# A hash: name → how often it opened in a row | until when | until when a probe runs
KEY = "breakers"

_SHARED = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read(text)
  local n, ends, probe = string.match(text, '^(%d+)|(%d+)|(%d+)$')
  return tonumber(n), tonumber(ends), tonumber(probe)
end
"""
# key, name, rest, longest rest → how long it rests, how often it opened
_OPEN = (
    _SHARED
    + """
local n, kept = 0, redis.call('HGET', ARGV[1], ARGV[2])
if kept then
  local times, ends = read(kept)
  if ends > now then return {ends - now, times} end
  n = times
end
local rest = math.min(tonumber(ARGV[3]) * 2 ^ n, tonumber(ARGV[4]))
redis.call('HSET', ARGV[1], ARGV[2],
  string.format('%d|%d|0', n + 1, now + rest))
return {rest, n + 1}
"""
)
# key, name, how long a probe may take → 0: somebody probes, 1: you do, 2: it is closed
_PROBE = (
    _SHARED
    + """
local kept = redis.call('HGET', ARGV[1], ARGV[2])
if not kept then return 2 end
local n, ends, probe = read(kept)
if ends > now or probe > now then return 0 end
redis.call('HSET', ARGV[1], ARGV[2],
  string.format('%d|%d|%d', n, ends, now + tonumber(ARGV[3])))
return 1
"""
)
_CLOSE = "return redis.call('HDEL', ARGV[1], ARGV[2])"
# key, age at which they are forgotten → name, rest, times, name, rest, times, …
_READ = (
    _SHARED
    + """
local told, kept = {}, redis.call('HGETALL', ARGV[1])
for i = 1, #kept, 2 do
  local n, ends = read(kept[i + 1])
  if ends + tonumber(ARGV[2]) < now then
    redis.call('HDEL', ARGV[1], kept[i])
  else
    told[#told + 1] = kept[i]
    told[#told + 1] = math.max(0, ends - now)
    told[#told + 1] = n
  end
end
return told
"""
)


@dataclass(slots=True)
class Open:
    """What this process knows of an open breaker. Moments are monotonic seconds."""

    until: float
    times: int  # how often it opened in a row
    probe_until: float = 0.0
    is_shared: bool = False  # Redis knows of it


class SharedBreakers:
    """One process's view of all breakers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Open] = {}
        self._failures: dict[str, int] = {}
        # Each loop that watches, and what ends its timer with it.
        self._watched: WeakKeyDictionary[
            asyncio.AbstractEventLoop, AsyncGenerator[None, None]
        ] = WeakKeyDictionary()
        self._read_at = 0.0

    async def admits(self, name: str) -> bool:
        """Whether to call; the one that is let through to an open one is its probe."""
        await self._watch()
        known = self._open.get(name)
        if known is None:
            return True
        now = self._clock()
        if now < known.until or now < known.probe_until:
            return False
        known.probe_until = now + PROBE_MS / 1000
        answer = await self._told(_PROBE, KEY, name, PROBE_MS)
        if answer == 2:
            if known.is_shared:  # its probe went well elsewhere
                self._open.pop(name, None)
            return True
        return answer is None or answer == 1

    def succeeded(self, name: str) -> None:
        """Note a call that the other side answered."""
        if self._failures:
            self._failures.pop(name, None)
        if not self._open:
            return
        known = self._open.get(name)
        # What was under way when it opened says nothing about now.
        if known is not None and self._clock() >= known.until:
            del self._open[name]
            self._tell(_CLOSE, KEY, name)

    def failed(self, name: str) -> None:
        """Note a call that the other side did not answer."""
        now, known = self._clock(), self._open.get(name)
        if known is not None and now < known.until:
            return
        n_failures = self._failures.get(name, 0) + 1
        if known is None and n_failures < FAILURES:
            self._failures[name] = n_failures
            return
        self._failures.pop(name, None)
        times = known.times if known else 0
        rest_ms = min(REST_MS * 2**times, MAX_REST_MS)
        self._open[name] = opened = Open(now + rest_ms / 1000, times + 1)
        logger.warning(
            "breaker opened", extra={"breaker": name, "seconds": rest_ms / 1000}
        )
        self._tell(
            *(_OPEN, KEY, name, REST_MS, MAX_REST_MS),
            then=partial(self._confirmed, opened),
        )

    def rest_seconds(self, name: str) -> float:
        """Return how long it still rests, 0 for a closed one."""
        known = self._open.get(name)
        return max(0.0, known.until - self._clock()) if known else 0.0

    def forget(self) -> None:
        """Close all, in this process."""
        self._open.clear()
        self._failures.clear()
        self._watched.clear()
        self._read_at = 0.0

    def _confirmed(self, opened: Open, answer: Sequence[int]) -> None:
        rest_ms, opened.times = answer
        opened.until = self._clock() + rest_ms / 1000
        opened.is_shared = True

    async def _watch(self) -> None:
        """See to it that this loop learns what others find; wait for the first time."""
        loop = asyncio.get_running_loop()
        if lends_its_thread(loop):
            if self._clock() >= self._read_at + REFRESH_SECONDS:
                self._read_at = self._clock()
                self._tell(_READ, KEY, _FORGOTTEN_MS, then=self._learn)
        elif loop not in self._watched:
            self._watched[loop] = keeper = self._until_it_ends(loop)
            await anext(keeper)
            try:
                self._learn(await pipe().send(_READ, KEY, _FORGOTTEN_MS))
            except RedisDown:
                self._later(loop, _AWAY_SECONDS)
            else:
                self._later(loop, REFRESH_SECONDS)

    async def _until_it_ends(
        self, loop: asyncio.AbstractEventLoop
    ) -> AsyncGenerator[None, None]:
        """Stop watching when the loop ends, which ends all generators."""
        try:
            yield
        finally:
            self._watched.pop(loop, None)

    def _later(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop in self._watched:
            asking = pipe().send(_READ, KEY, _FORGOTTEN_MS)
            asking.add_done_callback(partial(self._looked, loop))

    def _looked(
        self, loop: asyncio.AbstractEventLoop, asking: "asyncio.Future[Any]"
    ) -> None:
        if asking.cancelled() or asking.exception() is not None:
            self._later(loop, _AWAY_SECONDS)
            return
        self._learn(asking.result())
        self._later(loop, REFRESH_SECONDS)

    def _learn(self, told: Sequence[Any]) -> None:
        """Take over what Redis knows; what it was never told of is kept."""
        now = self._clock()
        shared = {
            str(name): Open(now + int(rest_ms) / 1000, int(times), is_shared=True)
            for name, rest_ms, times in zip(*[iter(told)] * 3, strict=True)
        }
        if not shared and not self._open:
            return
        for name, known in list(self._open.items()):
            if name in shared:
                shared[name].probe_until = known.probe_until
            elif known.is_shared:
                del self._open[name]
        self._open.update(shared)

    async def _told(self, script: str, *args: str | int) -> Any:
        """Return Redis's answer, None while it is away."""
        try:
            if lends_its_thread(asyncio.get_running_loop()):
                return client().eval(script, 0, *args)
            return await pipe().send(script, *args)
        except RedisDown:
            return None

    def _tell(
        self,
        script: str,
        *args: str | int,
        then: Callable[[Any], None] = lambda answer: None,
    ) -> None:
        """Tell Redis without waiting; `then` gets its answer if there is one."""
        if lends_its_thread(asyncio.get_running_loop()):
            try:
                then(client().eval(script, 0, *args))
            except RedisDown:
                return
        else:
            pipe().send(script, *args).add_done_callback(partial(_hand_over, then))


def _hand_over(then: Callable[[Any], None], asking: "asyncio.Future[Any]") -> None:
    if not asking.cancelled() and asking.exception() is None:
        then(asking.result())


def open_now() -> dict[str, tuple[float, int]]:
    """Return each open one's rest in seconds and how often it opened, for a page.

    Asks Redis. Raises RedisDown's errors.
    """
    server: Any = client()
    told = server.eval(_READ, 0, KEY, _FORGOTTEN_MS)
    return {
        name: (rest_ms / 1000, times)
        for name, rest_ms, times in zip(*[iter(told)] * 3, strict=True)
    }


breakers = SharedBreakers()
