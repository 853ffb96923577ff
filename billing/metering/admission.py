"""One admission: may this call be made? Judged together, or not at all.

Three limits are judged at once, per user and never per key: the clock hour and the
clock day in UTC, and the calls running at one time. Only the servers' clocks count.

**The database grants, Redis spends.** One Lua call in Redis (`windows`) judges
all three and takes from all three; no SQL is asked. It spends calls that the database
has granted it ahead: a twentieth of the limit at a time, counted in the user's `Quota`
row *before* Redis learns of them. When they are used up, one short transaction grants
the next. docs/developer/admission.md argues why this cannot overspend; in short:

- The row is an upper bound of what was admitted, and never above the limit.
- A grant reaches Redis once or never (it is not sent again), and only under the lease
  that asked for it. Redis makes up a new lease when it has forgotten a user.
- Counts of another life of Redis (an old snapshot after kill -9, a replica that lagged
  behind) are void: they carry the id of the process that wrote them.
- Redis away or frozen: the socket times out (`REDIS_TIMEOUT_SECONDS`), a circuit
  breaker spares the next requests the wait, and the database decides alone, by the
  same row. It refuses a full window before it takes the lock, so a flood does not
  queue.

What a lost lease had not spent stays counted: a twentieth of the limit at most, half
as much with the next loss in the same hour, and so on.

No connection is held once `admit` has returned (`aadmit` gives it back).
"""

import json
import time
from dataclasses import field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.principals import Principal
from aiassist.lib import clock
from aiassist.lib.db import in_db
from aiassist.lib.errors import QuotaExceeded
from aiassist.lib.metrics import count_admission
from aiassist.lib.records import record
from billing.metering import windows
from billing.metering.limits import LimitsSnapshot, refusal_of, snapshot
from billing.metering.refusals import note
from billing.metering.windows import Grant, Taken, Verdict, Want
from billing.models import Quota, Reservation, Tier
from billing.models.ledger import new_reservation_id
from billing.tiers.selectors import tier_of

# Redis gets a twentieth of the limit at a time: what a loss of it may cost a user.
BLOCKS = 20
# How long a granted block may take to Redis: a timeout, and a busy machine.
_ON_ITS_WAY = timedelta(seconds=2)
_PAUSE_SECONDS, _TRIES = 0.01, 100
_UNLIMITED = 10**9  # with RATE_LIMIT_ENABLED off everything is admitted and counted


@record(frozen=True, slots=True)
class Call:
    """A call that would like to be made."""

    reservation_id: str
    user_id: str
    key_id: str  # "": session or JWT
    tier: Tier
    feature: str
    endpoint: str
    request_id: str
    now: datetime | None  # None: by the server's clock
    enforced: bool
    is_final: bool = True  # False: who is refused here is judged once more elsewhere

    @property
    def hour_limit(self) -> int:
        return self.tier.requests_per_hour if self.enforced else _UNLIMITED

    @property
    def day_limit(self) -> int:
        return self.tier.requests_per_day if self.enforced else _UNLIMITED

    @property
    def slot_limit(self) -> int:
        return self.tier.max_concurrent if self.enforced else _UNLIMITED


@record(frozen=True, slots=True)
class Admission:
    """A call that may be made. Settle or release it in every exit path."""

    call: Call
    limits: LimitsSnapshot  # this call included
    started_at: datetime
    by_database: bool = False  # Redis was away: its hold is a row
    of_grant: bool = False  # it was counted with a grant for Redis
    _open: list[None] = field(default_factory=lambda: [None], repr=False)

    @property
    def reservation_id(self) -> str:
        return self.call.reservation_id

    @property
    def user_id(self) -> str:
        return self.call.user_id

    @property
    def tier(self) -> Tier:
        return self.call.tier

    def end(self) -> bool:
        """Whether this is the first to end it, of all threads that try."""
        try:
            self._open.pop()
        except IndexError:
            return False
        return True


def admit(
    principal: Principal,
    *,
    feature: str,
    endpoint: str,
    request_id: str,
    tier: Tier | None = None,
    now: datetime | None = None,
) -> Admission:
    """Reserve one call, or raise QuotaExceeded with what to do about it.

    `tier` is the user's if it is known. `now` is the server's clock unless a test
    stands at a window's edge.
    """
    call = new_call(
        principal,
        tier=tier or tier_of(principal.user),
        feature=feature,
        endpoint=endpoint,
        request_id=request_id,
        now=now,
    )
    return conclude_anew(call)


async def aadmit(
    principal: Principal, *, feature: str, endpoint: str, request_id: str
) -> Admission:
    """Do as `admit` from async code; hold no connection afterwards.

    `entry.aenter` is the way in that needs no thread.
    """
    return await in_db(
        admit, principal, feature=feature, endpoint=endpoint, request_id=request_id
    )


def conclude_anew(call: Call) -> Admission:
    """Ask Redis, then conclude."""
    return conclude(call, windows.take(want_of(call)))


def new_call(
    principal: Principal,
    *,
    tier: Tier,
    feature: str,
    endpoint: str,
    request_id: str,
    now: datetime | None = None,
) -> Call:
    """Describe a call; fields are cut to what their columns hold."""
    return Call(
        reservation_id=new_reservation_id(),
        user_id=principal.user_id,
        key_id=principal.key_id or "",
        tier=tier,
        feature=feature[:40],
        endpoint=endpoint[:120],
        request_id=request_id[:128],
        now=now,
        enforced=settings.RATE_LIMIT_ENABLED,
    )


def want_of(call: Call) -> Want:
    """Return what Redis is asked."""
    meta = (
        *(call.key_id, call.tier.code, call.endpoint, call.feature),
        call.request_id,
    )
    return Want(
        user_id=call.user_id,
        hold_id=call.reservation_id,
        hold_ms=int(settings.RESERVATION_SECONDS * 1000),
        meta=json.dumps(meta),
        hour_limit=call.hour_limit,
        day_limit=call.day_limit,
        slot_limit=call.slot_limit,
        now_ms=windows.ms(call.now) if call.now else 0,
    )


def conclude(call: Call, taken: Taken | None) -> Admission:
    """Turn Redis's verdict into an admission, or raise QuotaExceeded.

    Asks the database when Redis is away or has used up what it was granted.
    """
    try:
        admission = at_once(call, taken)
        if admission is None:
            admission = (
                _by_database(call) if taken is None else _with_new_grant(call, taken)
            )
    except QuotaExceeded as refusal:
        if call.is_final:
            count_admission(refusal.code, call.feature)
            note(call.user_id, call.tier, call.feature, refusal, now=call.now)
        raise
    count_admission("admitted", call.feature)
    return admission


def at_once(call: Call, taken: Taken | None) -> Admission | None:
    """Return what Redis alone could decide, None when the database is needed.

    Raises QuotaExceeded.
    """
    if taken is None or taken.verdict in (Verdict.ASK_DATABASE, Verdict.STALE):
        return None
    if taken.verdict is Verdict.TAKEN:
        return admission_of(call, taken)
    refusal = refusal_of(_limits_of(call, taken))
    if refusal is not None:
        raise refusal
    return None


def admission_of(call: Call, taken: Taken) -> Admission:
    """Return the admission of a call that Redis has taken."""
    return Admission(call, _limits_of(call, taken), taken.at)


def limits_for(user: User, *, now: datetime | None = None) -> LimitsSnapshot:
    """Return what the user's tier allows and what is left.

    Calls that Redis was granted and has not spent are left; while it is away nobody
    can make them, so they count as used.
    """
    tier, moment = tier_of(user), now or clock.now()
    quota = Quota.objects.filter(pk=user.pk).first() or _fresh_quota(user.pk, moment)
    moment = quota.roll_to(moment)
    holds = _holds(user.pk, moment)
    hour_used, day_used, concurrent = quota.hour_used, quota.day_used, len(holds)
    kept = windows.peek(user.pk, moment, [hold_id for hold_id, _ in holds])
    if kept is not None:
        concurrent = kept.concurrent
    if kept is not None and kept.lease and kept.lease == quota.lease:
        if kept.hour_start == quota.hour_start:
            hour_used -= kept.left
        if kept.day_start == quota.day_start:
            day_used -= kept.left + kept.back
    return snapshot(
        tier,
        moment,
        hour_used=max(0, hour_used),
        day_used=max(0, day_used),
        concurrent=concurrent,
        enforced=settings.RATE_LIMIT_ENABLED,
    )


def _with_new_grant(call: Call, taken: Taken) -> Admission:
    """Let the database grant Redis more calls, the first of which is this one."""
    moment = call.now or taken.at
    grant, refusal = _grant(call, taken, moment)
    put = windows.put(grant, want_of(call))
    if put is not None and put.verdict is Verdict.TAKEN:
        return admission_of(call, put)
    if refusal is not None:
        return _after_the_block(call, grant, refusal)
    if grant.n_calls < 1:
        return _by_database(call)
    if put is None or put.verdict is Verdict.STALE:
        # Redis has lost its lease, or itself, since it asked: the call was counted.
        return _hold_in_database(call, moment)
    # Others have taken the last slot, or all that was granted, meanwhile.
    if refusal := refusal_of(_limits_of(call, put)):
        raise refusal
    return _by_database(call)


def _after_the_block(call: Call, grant: Grant, refusal: QuotaExceeded) -> Admission:
    """Try again while a block that fills the window is on its way to Redis.

    Else calls that come together at the end of a window would be refused, although
    some of those that were granted are still to be had.
    """
    for _ in range(_TRIES):
        taken = windows.take(want_of(call))
        if taken is not None and taken.verdict is Verdict.TAKEN:
            return admission_of(call, taken)
        if taken is None or taken.lease != grant.lease or taken.block == grant.block:
            break
        time.sleep(_PAUSE_SECONDS)
    raise refusal


@transaction.atomic
def _grant(
    call: Call, taken: Taken, now: datetime
) -> tuple[Grant, QuotaExceeded | None]:
    """Count calls that Redis may admit from now on; none if there is no room."""
    quota = _locked_quota(call.user_id, now)
    moment = quota.roll_to(now)
    if quota.lease != taken.lease:
        # What it had not spent stays counted: nobody knows how much that was.
        if quota.lease and quota.hour_used:
            quota.losses = min(quota.losses + 1, 99)
        quota.lease, quota.block, quota.block_at = taken.lease, 0, None
    elif clock.day_window(taken.at)[0] == quota.day_start:
        quota.day_used = max(0, quota.day_used - taken.back)
    on_its_way = quota.block != taken.block and not _is_lost(quota)
    n_calls = _block(call, quota, is_first=not on_its_way)
    refusal = None
    if n_calls < 1:
        limits = _limits(call, quota, moment, spare=taken.left)
        refusal, n_calls = refusal_of(limits), 0
    quota.hour_used += n_calls
    quota.day_used += n_calls
    quota.version += 1
    if n_calls > 1:
        quota.block, quota.block_at = quota.version, clock.now()
    quota.save()
    return _grant_of(quota, n_calls, _holds(call.user_id, moment)), refusal


def _block(call: Call, quota: Quota, *, is_first: bool) -> int:
    """Return how many calls to grant. Each loss in this hour halves it.

    Of several that ask at once the first one gets a block, the others one call.
    """
    hour, day = call.hour_limit, call.day_limit
    fair = max(1, min(hour, day) // BLOCKS >> quota.losses) if is_first else 1
    return min(fair, hour - quota.hour_used, day - quota.day_used)


def _is_lost(quota: Quota) -> bool:
    """Tell whether the last block should have been in Redis long ago."""
    return quota.block_at is None or clock.now() - quota.block_at > _ON_ITS_WAY


def _grant_of(
    quota: Quota, n_calls: int, holds: tuple[tuple[str, datetime], ...]
) -> Grant:
    return Grant(
        lease=quota.lease,
        number=quota.version,
        block=quota.block,
        hour_start=quota.hour_start,
        hour_used=quota.hour_used,
        day_start=quota.day_start,
        day_used=quota.day_used,
        n_calls=n_calls,
        holds=holds,
    )


def _by_database(call: Call) -> Admission:
    """Let the database alone decide."""
    now = call.now or clock.now()
    # A full window is refused before the lock, so that a flood does not queue.
    quota = Quota.objects.filter(pk=call.user_id).first()
    quota = quota or _fresh_quota(call.user_id, now)
    moment = quota.roll_to(now)
    concurrent = len(_holds(call.user_id, moment))
    limits = _limits(call, quota, moment, concurrent=concurrent)
    if refusal := refusal_of(limits):
        raise refusal
    return _reserve(call, now)


@transaction.atomic
def _reserve(call: Call, now: datetime) -> Admission:
    """Judge by the row; count the call and insert its reservation."""
    quota = _locked_quota(call.user_id, now)
    moment = quota.roll_to(now)
    concurrent = len(_holds(call.user_id, moment))
    limits = _limits(call, quota, moment, concurrent=concurrent)
    if refusal := refusal_of(limits):
        raise refusal
    quota.hour_used += 1
    quota.day_used += 1
    quota.save()
    _insert(call, moment)
    limits = _limits(call, quota, moment, concurrent=concurrent + 1)
    return Admission(call, limits, moment, by_database=True)


@transaction.atomic
def _hold_in_database(call: Call, now: datetime) -> Admission:
    """Hold a call that was counted already."""
    quota = _locked_quota(call.user_id, now)
    moment = quota.roll_to(now)
    _insert(call, moment)
    concurrent = len(_holds(call.user_id, moment))
    limits = _limits(call, quota, moment, concurrent=concurrent)
    return Admission(call, limits, moment, by_database=True, of_grant=True)


def _insert(call: Call, moment: datetime) -> None:
    Reservation.objects.create(
        id=call.reservation_id,
        user_id=call.user_id,
        request_id=call.request_id,
        key_id=call.key_id,
        tier_code=call.tier.code,
        endpoint=call.endpoint,
        feature=call.feature,
        admitted_at=moment,
        expires_at=moment + timedelta(seconds=settings.RESERVATION_SECONDS),
    )


def _locked_quota(user_id: str, now: datetime) -> Quota:
    """Return the user's quota row, locked until the transaction ends."""
    locked = Quota.objects.select_for_update()
    found = locked.filter(pk=user_id).first()
    if found is None:
        Quota.objects.bulk_create([_fresh_quota(user_id, now)], ignore_conflicts=True)
        found = locked.get(pk=user_id)
    return found


def _fresh_quota(user_id: str, now: datetime) -> Quota:
    return Quota(
        user_id=user_id,
        hour_start=clock.hour_window(now)[0],
        day_start=clock.day_window(now)[0],
    )


def _holds(user_id: str, moment: datetime) -> tuple[tuple[str, datetime], ...]:
    running = Reservation.objects.for_user(user_id).holding_at(moment)
    return tuple(running.values_list("pk", "expires_at"))


def _limits_of(call: Call, taken: Taken) -> LimitsSnapshot:
    return snapshot(
        call.tier,
        taken.at,
        hour_used=taken.hour_used,
        day_used=taken.day_used,
        concurrent=taken.concurrent,
        enforced=call.enforced,
    )


def _limits(
    call: Call, quota: Quota, moment: datetime, *, concurrent: int = 0, spare: int = 0
) -> LimitsSnapshot:
    return snapshot(
        call.tier,
        moment,
        hour_used=quota.hour_used - spare,
        day_used=quota.day_used - spare,
        concurrent=concurrent,
        enforced=call.enforced,
    )
