"""The front line in Redis: hour, day and slots judged in one call, or not at all.

Redis spends what the database has granted it (see `admission`); whatever is
lost here was counted there before. Each call has a blocking form and an async one;
both answer None when Redis is away. The scripts stand in `scripts`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import cache
from typing import Any, cast

from redis.commands.core import Script

from aiassist.lib.breaker import Breaker
from aiassist.lib.db import lends_its_thread
from aiassist.lib.records import record
from aiassist.lib.redis import RedisDown, client, client_that_never_repeats
from aiassist.lib.redis_pipe import pipe
from billing.metering import scripts

logger = logging.getLogger(__name__)

# A refusal is checked against the database once in so many seconds per user.
CONFIRM_SECONDS = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

breaker = Breaker()


Arg = int | str | bytes


class Verdict(IntEnum):
    REFUSED = 0
    TAKEN = 1
    ASK_DATABASE = 2  # the granted calls are used up
    STALE = 3  # what was to be put belongs to a lease or an hour that has ended


@dataclass(frozen=True, slots=True)
class Want:
    """One call that would like to be made."""

    user_id: str
    hold_id: str
    hold_ms: int
    meta: str  # what a sweeper needs to know of a call whose process died
    hour_limit: int
    day_limit: int
    slot_limit: int
    now_ms: int = 0  # 0: Redis's own clock


@record(frozen=True, slots=True)
class Taken:
    """Redis's verdict and its counts, this call included if it was taken."""

    verdict: Verdict
    at: datetime
    hour_used: int
    day_used: int
    concurrent: int
    lease: str  # names what Redis knows of the user; another one: it has forgotten
    left: int  # granted calls that are not used yet
    back: int  # granted calls of the day that will not be used, to be counted back
    block: int  # number of the last block that arrived


@dataclass(frozen=True, slots=True)
class Grant:
    """Calls that the database has counted and Redis may admit."""

    lease: str
    number: int  # of this grant, of the user's
    block: int  # number of the last one that was more than one call
    hour_start: datetime
    hour_used: int  # with the granted calls
    day_start: datetime
    day_used: int
    n_calls: int
    holds: tuple[tuple[str, datetime], ...]  # the database's own: id, end


@dataclass(frozen=True, slots=True)
class Kept:
    """What Redis holds of a user, without changing it."""

    lease: str  # "": nothing that is valid
    left: int
    back: int
    hour_start: datetime
    day_start: datetime
    concurrent: int


def take_args(want: Want) -> tuple[Arg, ...]:
    """Return the arguments of `scripts.TAKE`."""
    return (
        want.now_ms,
        want.user_id,
        want.hold_id,
        want.hold_ms,
        want.meta,
        want.hour_limit,
        want.day_limit,
        want.slot_limit,
        want.hold_id,
        CONFIRM_SECONDS * 1000,
    )


def take(want: Want) -> Taken | None:
    """Take one from every window and a slot, or nothing at all."""
    answer = _run(scripts.TAKE, *take_args(want))
    return None if answer is None else taken(answer)


def put(grant: Grant, want: Want) -> Taken | None:
    """Hand granted calls to Redis and take one, of them or of others there.

    Never sent twice: a grant that arrives twice would be spent twice.
    """
    holds = [part for hold_id, end in grant.holds for part in (ms(end), hold_id)]
    answer = _run(
        scripts.PUT,
        want.now_ms,
        want.user_id,
        grant.lease,
        grant.number,
        ms(grant.hour_start),
        grant.hour_used,
        ms(grant.day_start),
        grant.day_used,
        grant.n_calls,
        want.slot_limit,
        want.hold_id,
        want.hold_ms,
        want.meta,
        grant.block,
        *holds,
        once=True,
    )
    return None if answer is None else taken(answer)


def give_back(user_id: str, hold_id: str) -> bool | None:
    """Undo `take`: the slot and, while its windows run, the call.

    False: there is no such hold (any more). None: Redis is away.
    """
    answer = _run(scripts.RELEASE, user_id, hold_id)
    return None if answer is None else bool(answer)


def settle(user_id: str, hold_id: str, call: str) -> tuple[bool, str] | None:
    """End a hold and keep the settled call until it is in the database.

    Returns whether there was such a hold, and the call's id in the stream.
    """
    answer = _run(scripts.SETTLE, user_id, hold_id, call)
    return None if answer is None else settled(answer)


def peek(user_id: str, now: datetime, holds: Sequence[str] = ()) -> Kept | None:
    """Return what Redis holds; `holds` are the database's, counted once."""
    return _kept(_run(scripts.PEEK, ms(now), user_id, *holds))


def recall(user_id: str) -> Kept | None:
    """Take what is not spent out of Redis; return what there was."""
    return _kept(_run(scripts.RECALL, user_id, once=True))


def _kept(answer: Any) -> Kept | None:
    if answer is None:
        return None
    lease, left, back, hour_start, day_start, n_slots = cast(list[Any], answer)
    return Kept(lease, left, back, moment(hour_start), moment(day_start), n_slots)


def forget(user_id: str) -> int:
    """Remove a user's keys; return how many there were. Raises RedisDown's errors."""
    return int(_script(scripts.FORGET, False)(args=[user_id]))


def send(
    script: str, *args: Arg, told: Callable[[Any], None] | None = None
) -> "asyncio.Future[Any]":
    """Send a script from an event loop; see `answer_of`.

    `told` is called with the answer, None when Redis is away, whoever waits or has
    gone.
    """
    loop = asyncio.get_running_loop()
    # A loop that lends its thread serves one synchronous caller and ends with it.
    is_lent = lends_its_thread(loop)
    if not is_lent and breaker.allows():
        return pipe().send(script, *args, told=told)
    answering = loop.create_future()
    answering.set_result(_run(script, *args) if is_lent else None)
    if told is not None:
        told(answering.result())
    return answering


async def answer_of(answering: "asyncio.Future[Any]") -> Any:
    """Wait for a script's answer, None when Redis is away.

    Who waits may be cancelled; the script runs nevertheless.
    """
    try:
        answer = await answering
    except RedisDown as error:
        note_failure(error)
        return None
    if answer is not None:
        breaker.succeeded()
    return answer


def taken(answer: Any) -> Taken:
    """Read what TAKE and PUT answer."""
    verdict, at, *counts = answer
    return Taken(Verdict(verdict), moment(at), *counts)


def settled(answer: Any) -> tuple[bool, str]:
    """Read what SETTLE answers."""
    return bool(answer[0]), answer[1]


def ms(at: datetime) -> int:
    """Return POSIX milliseconds."""
    return (at - _EPOCH) // _MS


def moment(milliseconds: int) -> datetime:
    """Return the moment of POSIX milliseconds."""
    return _EPOCH + milliseconds * _MS


def note_failure(error: Exception) -> None:
    """Rest after a failed call, so that the next ones need not wait."""
    breaker.failed()
    logger.warning("Redis is away (%s); the database admits.", type(error).__name__)


def _run(script: str, *args: Arg, once: bool = False) -> Any:
    """Return the script's answer, None when Redis is away."""
    if not breaker.allows():
        return None
    try:
        answer = _script(script, once)(args=args)
    except RedisDown as error:
        note_failure(error)
        return None
    breaker.succeeded()
    return answer


def _script(source: str, once: bool) -> Script:
    return _registered(client_that_never_repeats() if once else client(), source)


@cache
def _registered(server: Any, source: str) -> Script:
    return cast(Script, server.register_script(source))
