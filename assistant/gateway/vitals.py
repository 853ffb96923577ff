"""How each upstream does, for the staff's page: its last failure, its last answer.

Kept in Redis for a week and told in the background, so that no call waits for it:
every failure, and an answer every few seconds.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from aiassist.lib.db import lends_its_thread
from aiassist.lib.redis import RedisDown, client
from aiassist.lib.redis_pipe import pipe

KEY = "upstreams"
TOLD_SECONDS = 5.0  # between two answers of one upstream that a process tells of
_KEPT_SECONDS = 7 * 86_400
_WRITE = """
redis.call('HSET', ARGV[1], ARGV[2], ARGV[3])
return redis.call('EXPIRE', ARGV[1], ARGV[4])
"""

_told_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is known of one upstream. Moments are POSIX seconds, 0: never."""

    failed_at: float = 0.0
    failed_with: str = ""  # an error's code
    answered_at: float = 0.0
    first_token_ms: int = 0  # of the last answer that was told of


def note_success(name: str, first_token_seconds: float) -> None:
    """Tell of an answer, unless one was told of just now."""
    now = time.monotonic()
    if now - _told_at.get(name, -TOLD_SECONDS) < TOLD_SECONDS:
        return
    _told_at[name] = now
    _write(f"ok {name}", [time.time(), round(first_token_seconds * 1000)])


def note_failure(name: str, code: str) -> None:
    """Tell of a failure by its kind alone."""
    _write(f"failed {name}", [time.time(), code])


def vitals() -> dict[str, Vitals]:
    """Return what is known, by the upstream's name. Raises RedisDown's errors."""
    server: Any = client()
    kept = {name: json.loads(text) for name, text in server.hgetall(KEY).items()}
    names = {name.partition(" ")[2] for name in kept}
    found = {}
    for name in names:
        failed_at, failed_with = kept.get(f"failed {name}", (0.0, ""))
        answered_at, took_ms = kept.get(f"ok {name}", (0.0, 0))
        found[name] = Vitals(failed_at, failed_with, answered_at, took_ms)
    return found


def _write(field: str, value: list[Any]) -> None:
    args = (KEY, field, json.dumps(value), _KEPT_SECONDS)
    if lends_its_thread(asyncio.get_running_loop()):
        try:
            client().eval(_WRITE, 0, *args)
        except RedisDown:
            return
    else:
        pipe().send(_WRITE, *args).add_done_callback(_forget)


def _forget(telling: "asyncio.Future[Any]") -> None:
    if not telling.cancelled():
        telling.exception()
