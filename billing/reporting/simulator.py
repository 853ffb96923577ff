"""Replay the last 30 days under a draft tier: who would have been blocked, how often.

What is replayed are the calls of the ledger, which were let in, and those of
`billing.metering.refusals`, which were not. The judges are `limits.refusal_of` and the
gates of `billing.metering`, the very ones of real calls; only the clock and the counts
are those of the past. A call that would have been refused uses nothing up, exactly as a
real refusal does not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush, merge
from itertools import groupby, starmap
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.models import Sum
from django.db.models.query import QuerySet

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.errors import LimitRefused
from aiassist.lib.registry import tier_holdings
from billing.metering.gates import require_feature, require_provider
from billing.metering.limits import refusal_of, snapshot
from billing.metering.outbox import write_everything
from billing.metering.refusals import reason_of
from billing.models import (
    FEATURES,
    PROVIDERS,
    LimitOverride,
    Refusal,
    Tier,
    UsageRecord,
)
from billing.models.override import with_limits
from billing.reporting.dashboards import dollars
from billing.tiers.selectors import holders_of

DAYS = 30
# Of larger ledgers the newest calls are replayed, and the page says since when.
MAX_CALLS = 1_000_000
SHOWN = 20
_CHUNK = 5_000  # rows that are held at one time
# The refusals of a minute are replayed at so many moments of it, at most.
_MOMENTS = 12
# What runs in here is no provider that a tier could lack.
_GATED_PROVIDERS = frozenset(PROVIDERS) - {"extractive"}


class Call(NamedTuple):
    """One call as the ledger, or a test, tells it."""

    user_id: str
    at: datetime
    feature: str
    provider: str = ""
    latency_ms: int = 0
    cost_usd_micros: int = 0
    tokens_in: int = 0
    own_key: bool = False
    fallback: str = ""  # see UsageRecord.Fallback
    refused: int = 0  # so many calls at this moment were not let in


@dataclass(slots=True)
class Affected:
    """Somebody who would have met refusals."""

    user_id: str
    email: str = ""
    blocked: int = 0
    calls: int = 0
    really: int = 0  # were refused at the time
    saved_usd_micros: int = 0  # what the refused calls cost
    reasons: Counter[str] = field(default_factory=Counter)

    def told(self) -> list[tuple[str, int]]:
        """Return the reasons, the most frequent first."""
        return self.reasons.most_common()


@dataclass(slots=True)
class Simulation:
    """What the draft would have done."""

    calls: int = 0
    blocked: int = 0
    users: int = 0
    cost_usd_micros: int = 0  # of what would still have run
    saved_usd_micros: int = 0  # of what would not
    let_in: Counter[str] = field(default_factory=Counter)  # was refused; by feature
    let_in_usd_micros: int = 0  # their cost, if they cost as others of the feature
    larger: int = 0  # prompts over the draft's context: cut to it, or refused
    reasons: Counter[str] = field(default_factory=Counter)
    really: Counter[str] = field(default_factory=Counter)  # refused at the time
    affected: list[Affected] = field(default_factory=list)  # most blocked first
    since: datetime | None = None  # None: all 30 days

    @property
    def n_let_in(self) -> int:
        return self.let_in.total()


@dataclass(frozen=True, slots=True)
class Excess:
    """Who holds more than the draft allows: they keep it, and can add no more."""

    limit: str
    most: int
    users: list[tuple[str, str, int]]  # id, address, what they hold; the most first


def simulate(*drafts: Tier, now: datetime | None = None) -> list[Simulation]:
    """Replay the calls made under the tier of this code, once for all drafts of it."""
    write_everything()
    moment = now or clock.now()
    start, code = moment - timedelta(days=DAYS), drafts[0].code
    records = UsageRecord.objects.filter(
        tier_code=code, user__isnull=False
    ).admitted_in(start, moment)
    refusals = Refusal.objects.filter(
        tier_code=code, last_at__lt=moment, minute__gte=start
    )
    newest = records.order_by("-admitted_at").values_list("admitted_at", flat=True)
    since = newest[MAX_CALLS : MAX_CALLS + 1].first()
    if since is not None:
        records = records.filter(admitted_at__gt=since)
        refusals = refusals.filter(minute__gt=since)
    rows = records.order_by("admitted_at").values_list(
        *("user_id", "admitted_at", "feature", "provider", "latency_ms"),
        *("cost_usd_micros", "tokens_in", "own_key", "fallback"),
    )
    overrides = _overrides(moment)
    replays = [_Replay(draft, overrides) for draft in drafts]
    let_in = starmap(Call, rows.iterator(chunk_size=_CHUNK))
    for call in merge(let_in, _attempts(refusals), key=attrgetter("at")):
        for each in replays:
            each.meet(call)
    found = [each.end() for each in replays]
    really = refusals.order_by().values_list("reason").annotate(Sum("n_calls"))
    for simulation in found:
        simulation.really = Counter(dict(really))
        simulation.since = since
        _name(simulation.affected[:SHOWN])
    return found


def by_reason(today: Simulation, draft: Simulation) -> list[tuple[str, int, int, int]]:
    """Return (reason, refused at the time, under today's limits, under the draft)."""
    rows = [
        (reason, today.really[reason], today.reasons[reason], draft.reasons[reason])
        for reason in {*today.really, *today.reasons, *draft.reasons}
    ]
    return sorted(rows, key=lambda row: (-row[-1], -row[1], row[0]))


def _attempts(refusals: "QuerySet[Refusal]") -> Iterator[Call]:
    """Yield what was not let in, in the order of time."""
    rows = refusals.order_by("minute").iterator(chunk_size=_CHUNK)
    for _, of_minute in groupby(rows, key=attrgetter("minute")):
        calls = (call for row in of_minute for call in _spread(row))
        yield from sorted(calls, key=attrgetter("at"))


def _spread(row: Refusal) -> Iterator[Call]:
    """Spread a minute's refusals evenly from the first to the last."""
    n = min(row.n_calls, _MOMENTS)
    step = (row.last_at - row.first_at) / max(1, n - 1)
    for i in range(n):
        share = row.n_calls * (i + 1) // n - row.n_calls * i // n
        at = row.first_at + step * i
        yield Call(row.user_id, at, row.feature, row.provider, refused=share)


def replay(
    draft: Tier,
    calls: Iterable[Call],
    overrides: dict[str, dict[str, Any]] | None = None,
) -> Simulation:
    """Judge calls, oldest first, as if the draft had been the tier.

    `overrides`: who keeps limits of their own, by user id.
    """
    replayed = _Replay(draft, overrides or {})
    for call in calls:
        replayed.meet(call)
    return replayed.end()


def excesses(before: Tier, draft: Tier) -> Iterator[Excess]:
    """Yield, for each limit of what is stored that shrinks, who is over it now."""
    holders = holders_of(before)
    for column, over in tier_holdings.items():
        limit = getattr(draft, column)
        if limit < getattr(before, column):
            held = sorted(over(holders, limit), key=lambda row: -row[1])
            emails = _emails([user_id for user_id, _ in held[:SHOWN]])
            if held:
                yield Excess(
                    limit=column.replace("_", " "),
                    most=held[0][1],
                    users=[(pk, emails.get(pk, pk), n) for pk, n in held],
                )


def _overrides(moment: datetime) -> dict[str, dict[str, Any]]:
    """Return the limits of those who have their own now; the newest counts."""
    running = LimitOverride.objects.running_at(moment).order_by("starts_at", "id")
    return dict(running.values_list("user_id", "limits"))


def _name(affected: Iterable[Affected]) -> None:
    emails = _emails([one.user_id for one in affected])
    for one in affected:
        one.email = emails.get(one.user_id, one.user_id)


def _emails(user_ids: list[str]) -> dict[str, str]:
    return dict(User.objects.filter(pk__in=user_ids).values_list("pk", "email"))


def changes(before: Tier, draft: Tier) -> Iterator[tuple[str, object, object]]:
    """Yield (column, before, after) for what the draft changes."""
    for column in Tier._meta.concrete_fields:
        old, new = getattr(before, column.name), getattr(draft, column.name)
        if old == new:
            continue
        if column.name == "monthly_price_usd_micros":
            old, new = shown_price(before), shown_price(draft)
        yield str(column.verbose_name), old, new


def shown_price(tier: Tier) -> str:
    micros = tier.monthly_price_usd_micros
    return "not told" if micros is None else dollars(micros)


class _Replay:
    """One draft, and what came of the calls so far."""

    def __init__(self, draft: Tier, overrides: dict[str, dict[str, Any]]) -> None:
        self.found = Simulation()
        self.judges = {
            user_id: _Judge(with_limits(copy(draft), limits, None))
            for user_id, limits in overrides.items()
        }
        self.others = _Judge(draft)
        self.people: dict[str, _Person] = {}
        self.windows = _Windows()
        self.costs: dict[str, list[int]] = {}  # of a feature: its calls and their cost

    def meet(self, call: Call) -> None:
        """Judge the next call, and count it."""
        found = self.found
        if call.fallback == UsageRecord.Fallback.QUOTA:
            # A local model answered in place of a refusal, which is met by itself.
            found.cost_usd_micros += call.cost_usd_micros
            return
        person = self.people.get(call.user_id)
        if person is None:
            judge = self.judges.get(call.user_id, self.others)
            person = self.people[call.user_id] = _Person(judge)
        self.windows.move_to(call.at)
        if call.refused:
            self._meet_again(person, call)
            return
        found.calls += 1
        person.calls += 1
        if call.tokens_in > person.judge.tier.context_tokens:
            found.larger += 1
        of_feature = self.costs.setdefault(call.feature, [0, 0])
        of_feature[0] += 1
        of_feature[1] += call.cost_usd_micros
        person.latency_ms = call.latency_ms
        reason = person.meet(call, self.windows)
        if reason:
            self._block(person, call, reason, 1)
        else:
            found.cost_usd_micros += call.cost_usd_micros

    def _meet_again(self, person: "_Person", call: Call) -> None:
        """Judge calls of one moment that were refused; they would take as long."""
        self.found.calls += call.refused
        person.calls += call.refused
        person.really += call.refused
        call = call._replace(latency_ms=person.latency_ms)
        for n in range(call.refused):
            if reason := person.meet(call, self.windows):
                # Whoever comes at the same moment meets the same.
                self._block(person, call, reason, call.refused - n)
                return
            self.found.let_in[call.feature] += 1

    def _block(self, person: "_Person", call: Call, reason: str, n: int) -> None:
        found, one = self.found, person.affected
        if one is None:
            one = person.affected = Affected(call.user_id)
        for each in (found, one):
            each.blocked += n
            each.reasons[reason] += n
            each.saved_usd_micros += call.cost_usd_micros

    def end(self) -> Simulation:
        """Return the whole."""
        found = self.found
        found.users = len(self.people)
        for person in self.people.values():
            if person.affected is not None:
                person.affected.calls = person.calls
                person.affected.really = person.really
                found.affected.append(person.affected)
        found.affected.sort(key=lambda one: -one.blocked)
        for feature, n in found.let_in.items():
            n_calls, cost = self.costs.get(feature, (1, 0))
            found.let_in_usd_micros += n * cost // n_calls
        return found


class _Judge:
    """The draft's verdicts; each depends on counts alone, so it is asked for once."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.gates: dict[tuple[str, str, bool], str] = {}
        self.windows: dict[tuple[int, int, int], str] = {}

    def gate(self, call: Call) -> str:
        """Return the code of what the tier lacks, "" for nothing."""
        key = (call.feature, call.provider, call.own_key)
        if key not in self.gates:
            self.gates[key] = self._gate(*key)
        return self.gates[key]

    def window(self, at: datetime, hour: int, day: int, running: int) -> str:
        """Return the full window's refusal, "" while there is room."""
        key = (hour, day, running)
        if key not in self.windows:
            limits = snapshot(
                self.tier,
                at,
                hour_used=hour,
                day_used=day,
                concurrent=running,
                enforced=True,
            )
            refused = refusal_of(limits)
            self.windows[key] = reason_of(refused) if refused else ""
        return self.windows[key]

    def _gate(self, feature: str, provider: str, own_key: bool) -> str:
        # Who pays a provider with a key of their own needs no tier that has it.
        brought = own_key and self.tier.own_provider_keys
        try:
            if feature in FEATURES:
                require_feature(self.tier, feature)
            if provider in _GATED_PROVIDERS and not brought:
                require_provider(self.tier, provider)
        except LimitRefused as refusal:
            return reason_of(refusal)
        return ""


class _Windows:
    """The clock hour and day of the call at hand; calls come in the order of time."""

    def __init__(self) -> None:
        self.hour = self.day = 0  # counted from the first call on
        self.hour_ends = self.day_ends = datetime.min.replace(tzinfo=UTC)

    def move_to(self, at: datetime) -> None:
        if at >= self.hour_ends:
            self.hour_ends, self.hour = clock.hour_window(at)[1], self.hour + 1
        if at >= self.day_ends:
            self.day_ends, self.day = clock.day_window(at)[1], self.day + 1


class _Person:
    """One user's counts while their calls are replayed."""

    __slots__ = (
        *("judge", "calls", "really", "affected", "latency_ms"),
        *("hour", "hour_used", "day", "day_used", "running"),
    )

    def __init__(self, judge: _Judge) -> None:
        self.judge = judge
        self.affected: Affected | None = None
        self.calls = self.really = self.latency_ms = 0
        self.hour = self.hour_used = self.day = self.day_used = 0
        self.running: list[datetime] = []  # when each running call ends

    def meet(self, call: Call, windows: _Windows) -> str:
        """Return the refusal that the call meets; count it when it meets none."""
        at = call.at
        self._roll_to(at, windows)
        # In the order of a real call: what the tier has, then what is left.
        if lacking := self.judge.gate(call):
            return lacking
        full = self.judge.window(at, self.hour_used, self.day_used, len(self.running))
        if full:
            return full
        self.hour_used += 1
        self.day_used += 1
        heappush(self.running, at + timedelta(milliseconds=call.latency_ms))
        return ""

    def _roll_to(self, at: datetime, windows: _Windows) -> None:
        if windows.hour != self.hour:
            self.hour, self.hour_used = windows.hour, 0
        if windows.day != self.day:
            self.day, self.day_used = windows.day, 0
        while self.running and self.running[0] <= at:
            heappop(self.running)
