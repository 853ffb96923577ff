"""Settle what was reserved: one immutable record per call, or nothing at all.

`settle` turns a hold into a usage record; `release` gives it back, for a call that
cost nothing (a provider that failed before its first token). Exactly one of both
counts, the first one. A settled call is kept in Redis and in this process until a
batch of them is written (`outbox`); a call that the database admitted is
settled there at once. The sweeper settles what a dead process left behind, as
`abandoned`.
"""

import json
import logging
from datetime import datetime
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

from django.conf import settings
from django.db import (
    DatabaseError,
    transaction,
)

from accounts.models import User
from aiassist.lib import clock, jsons
from aiassist.lib.db import in_background, surely
from aiassist.lib.metrics import count_settlement
from aiassist.lib.records import record
from billing.metering import holds, scripts, windows
from billing.metering.admission import Admission
from billing.metering.outbox import (
    ORPHANED_AFTER_SECONDS,
    SettledCall,
    drain,
    outbox,
    settled_call,
    write_calls,
)
from billing.models import Quota, Reservation, UsageRecord

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Status = Literal["ok", "error", "cancelled"]


@record(frozen=True, slots=True)
class Settlement:
    """What a call really cost."""

    provider: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd_micros: int = 0
    estimated: bool = False  # the provider did not tell; we counted
    status: Status = "ok"
    latency_ms: int = 0
    first_token_ms: int | None = None
    workspace_id: str = ""
    upstream: str = ""  # the place that answered, where a model has several
    own_key: bool = False  # the user's own key paid for it
    fallback: str = ""  # see UsageRecord.Fallback


def settle(admission: Admission, settlement: Settlement) -> bool:
    """Record the call's cost and free its slot. False: it was ended before."""
    if not admission.end():
        return False
    _count(settlement)
    call = _call_of(admission, settlement)
    if admission.by_database:
        surely(_settle_row, call)
        _end_ghost(admission)
    elif not settings.USAGE_WRITE_SECONDS:
        write_calls([call])
        _free(admission)
    else:
        user_id, hold_id = admission.user_id, admission.reservation_id
        _keep(admission, call, windows.settle(user_id, hold_id, json.dumps(call)))
    return True


async def asettle(admission: Admission, settlement: Settlement) -> None:
    """Do as `settle`, to the end even when the caller is cancelled meanwhile.

    While Redis is there, no thread and no database is asked.
    """
    if admission.by_database or not settings.USAGE_WRITE_SECONDS:
        await in_background(settle, admission, settlement)
    elif admission.end():
        _count(settlement)
        call = _call_of(admission, settlement)
        user_id, hold_id = admission.user_id, admission.reservation_id
        sent = windows.send(
            *(scripts.SETTLE, user_id, hold_id, jsons.dumps(call)),
            told=partial(_settled, admission, call),
        )
        if await windows.answer_of(sent) is None:
            await in_background(outbox.write_soon)


def _settled(admission: Admission, call: SettledCall, answer: Any) -> None:
    """Keep the call in this process, whoever waits or has gone."""
    if answer is None:
        outbox.owe(admission.user_id, admission.reservation_id)
    outbox.add(call, windows.settled(answer)[1] if answer else "")


def release(admission: Admission) -> bool:
    """Give the call back: no cost, no count, no slot. False: it was ended before."""
    if not admission.end():
        return False
    user_id, hold_id = admission.user_id, admission.reservation_id
    if admission.by_database:
        if surely(_release_row, hold_id, user_id) is None:
            return False
        _end_ghost(admission)
        return True
    return bool(_give_back(user_id, hold_id))


async def arelease(admission: Admission) -> None:
    """Do as `release`, to the end even when the caller is cancelled meanwhile."""
    if admission.by_database:
        await in_background(release, admission)
    elif admission.end():
        user_id, hold_id = admission.user_id, admission.reservation_id
        told = partial(_released, user_id, hold_id)
        await windows.answer_of(
            windows.send(scripts.RELEASE, user_id, hold_id, told=told)
        )


def _released(user_id: str, hold_id: str, answer: Any) -> None:
    if answer is None:
        outbox.owe(user_id, hold_id, gives_back=True)


def sweep_reservations(*, now: datetime | None = None, at_most: int = 1000) -> int:
    """Settle the holds whose processes died; return how many there were.

    They count and are marked `abandoned` and estimated: nobody knows what they cost.
    """
    moment = now or clock.now()
    drain(older_than_seconds=ORPHANED_AFTER_SECONDS)
    return _sweep_redis(moment, at_most) + _sweep_rows(moment, at_most)


def ledger_counts(user: User, *, now: datetime) -> tuple[int, int]:
    """Add up the ledger: calls admitted in the hour and in the day of `now`.

    Running calls and settled records; what was released is in neither. Calls whose
    process and Redis died at once are in the user's quota row only.
    """
    outbox.write()
    drain()
    # Records first: a call that settles in between must not be seen twice.
    used = UsageRecord.objects.for_user(user.pk).spending_quota()
    recorded = set(
        used.admitted_in(*clock.day_window(now)).values_list(
            "reservation_id", "admitted_at"
        )
    )
    held = Reservation.objects.for_user(user.pk).values_list("pk", "admitted_at")
    running = holds.open_holds(user.pk)
    in_redis = [(h.reservation_id, h.admitted_at) for h in running]
    admitted = dict([*in_redis, *held, *recorded])

    def within(start: datetime, end: datetime) -> int:
        return sum(start <= at < end for at in admitted.values())

    return within(*clock.hour_window(now)), within(*clock.day_window(now))


def _count(done: Settlement) -> None:
    count_settlement(
        provider=done.provider,
        model=done.model,
        tokens_in=max(0, done.tokens_in),
        tokens_out=max(0, done.tokens_out),
        cost_usd_micros=max(0, done.cost_usd_micros),
    )


def _call_of(admission: Admission, done: Settlement) -> SettledCall:
    call = admission.call
    return settled_call(
        reservation_id=call.reservation_id,
        user_id=call.user_id,
        request_id=call.request_id,
        key_id=call.key_id,
        workspace_id=done.workspace_id,
        tier_code=call.tier.code,
        endpoint=call.endpoint,
        feature=call.feature,
        provider=done.provider,
        model=done.model,
        upstream=done.upstream,
        own_key=done.own_key,
        fallback=done.fallback,
        tokens_in=done.tokens_in,
        tokens_out=done.tokens_out,
        cost_usd_micros=done.cost_usd_micros,
        estimated=done.estimated,
        status=done.status,
        latency_ms=done.latency_ms,
        first_token_ms=done.first_token_ms,
        admitted_at=admission.started_at.isoformat(),
    )


def _keep(
    admission: Admission, call: SettledCall, settled: tuple[bool, str] | None
) -> None:
    """Leave a settled call to the next batch; without Redis write it at once."""
    if settled is not None:
        outbox.add(call, settled[1])
        return
    outbox.owe(admission.user_id, admission.reservation_id)
    outbox.add(call, "")
    outbox.write_soon()


def _free(admission: Admission) -> None:
    user_id, hold_id = admission.user_id, admission.reservation_id
    if windows.settle(user_id, hold_id, "") is None:
        outbox.owe(user_id, hold_id)


def _end_ghost(admission: Admission) -> None:
    """End the hold that Redis may have made after all, when it woke up.

    Its call was counted apart from this one, unless both are of one grant.
    """
    if admission.of_grant:
        _free(admission)
    else:
        _give_back(admission.user_id, admission.reservation_id)


def _give_back(user_id: str, hold_id: str) -> bool | None:
    given_back = windows.give_back(user_id, hold_id)
    if given_back is None:
        outbox.owe(user_id, hold_id, gives_back=True)
    return given_back


def _sweep_redis(moment: datetime, at_most: int) -> int:
    lost = holds.ended_by(moment, at_most=at_most)
    if lost:
        write_calls([_abandoned(hold.reservation_id, hold) for hold in lost])
    for hold in lost:
        windows.settle(hold.user_id, hold.reservation_id, "")
    return len(lost)


def _sweep_rows(moment: datetime, at_most: int) -> int:
    stale = Reservation.objects.stale_at(moment).order_by("expires_at")[:at_most]
    n_settled = 0
    for held in stale:
        try:
            _settle_row(_abandoned(held.pk, held))
        except DatabaseError:
            # One hold that cannot be settled must not keep the others.
            logger.exception("could not settle %s", held.pk)
            continue
        n_settled += 1
    return n_settled


def _abandoned(reservation_id: str, held: holds.Hold | Reservation) -> SettledCall:
    return settled_call(
        reservation_id=reservation_id,
        user_id=held.user_id,
        request_id=held.request_id,
        key_id=held.key_id,
        tier_code=held.tier_code,
        endpoint=held.endpoint,
        feature=held.feature,
        admitted_at=held.admitted_at.isoformat(),
        workspace_id="",
        provider="",
        model="",
        upstream="",
        own_key=False,
        fallback="",
        tokens_in=0,
        tokens_out=0,
        cost_usd_micros=0,
        estimated=True,
        status=UsageRecord.Status.ABANDONED,
        latency_ms=0,
        first_token_ms=None,
    )


@transaction.atomic
def _settle_row(call: SettledCall) -> None:
    """Record a call that the database admitted, and remove its hold."""
    write_calls([call])
    Reservation.objects.filter(pk=call["reservation_id"]).delete()


@transaction.atomic
def _release_row(reservation_id: str, user_id: str) -> datetime | None:
    """Remove the reservation and its counts; None when it is gone already."""
    # The same order of locks as in admission: first the quota, then the hold.
    quota = Quota.objects.select_for_update().filter(pk=user_id).first()
    held = Reservation.objects.select_for_update().filter(pk=reservation_id).first()
    if held is None or quota is None:
        return None
    held.delete()
    quota.take_back(held.admitted_at)
    quota.save()
    return held.admitted_at
