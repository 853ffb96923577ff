"""Replay the last 30 days under a draft tier: who would have been blocked, how often.

The judge is `billing.limits.refusal_of` and the gates, the very ones that judge real
calls; only the clock and the counts are those of the ledger. A call that would have
been refused uses nothing up, exactly as a real refusal does not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, NamedTuple

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.errors import LimitRefused
from aiassist.lib.registry import tier_holdings
from billing.gates import require_feature, require_provider
from billing.limits import refusal_of, snapshot
from billing.models import FEATURES, PROVIDERS, LimitOverride, Tier, UsageRecord
from billing.models.override import with_limits
from billing.selectors import holders_of

DAYS = 30
# Of larger ledgers the newest calls are replayed, and the page says since when.
MAX_CALLS = 1_000_000
SHOWN = 20
_CHUNK = 5_000  # rows that are held at one time
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


@dataclass(slots=True)
class Affected:
    """Somebody who would have met refusals."""

    user_id: str
    email: str = ""
    blocked: int = 0
    calls: int = 0
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
    larger: int = 0  # prompts over the draft's context: cut to it, or refused
    reasons: Counter[str] = field(default_factory=Counter)
    affected: list[Affected] = field(default_factory=list)  # most blocked first
    since: datetime | None = None  # None: all 30 days

    def told(self) -> list[tuple[str, int]]:
        """Return the reasons, the most frequent first."""
        return self.reasons.most_common()


@dataclass(frozen=True, slots=True)
class Excess:
    """Who holds more than the draft allows: they keep it, and can add no more."""

    limit: str
    most: int
    users: list[tuple[str, str, int]]  # id, address, what they hold; the most first


def simulate(*drafts: Tier, now: datetime | None = None) -> list[Simulation]:
    """Replay the calls made under the tier of this code, once for all drafts of it."""
    moment = now or clock.now()
    records = UsageRecord.objects.filter(
        tier_code=drafts[0].code, user__isnull=False
    ).admitted_in(moment - timedelta(days=DAYS), moment)
    newest = records.order_by("-admitted_at").values_list("admitted_at", flat=True)
    since = newest[MAX_CALLS : MAX_CALLS + 1].first()
    if since is not None:
        records = records.filter(admitted_at__gt=since)
    rows = records.order_by("admitted_at").values_list(
        *("user_id", "admitted_at", "feature", "provider", "latency_ms"),
        *("cost_usd_micros", "tokens_in", "own_key", "fallback"),
    )
    overrides = _overrides(moment)
    replays = [_Replay(draft, overrides) for draft in drafts]
    for call in map(Call._make, rows.iterator(chunk_size=_CHUNK)):
        for each in replays:
            each.meet(call)
    found = [each.end() for each in replays]
    for simulation in found:
        simulation.since = since
        _name(simulation.affected[:SHOWN])
    return found


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
        if old != new:
            yield str(column.verbose_name), old, new


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

    def meet(self, call: Call) -> None:
        """Judge the next call, and count it."""
        person = self.people.get(call.user_id)
        if person is None:
            judge = self.judges.get(call.user_id, self.others)
            person = self.people[call.user_id] = _Person(judge)
        found = self.found
        found.calls += 1
        person.calls += 1
        if call.tokens_in > person.judge.tier.context_tokens:
            found.larger += 1
        self.windows.move_to(call.at)
        reason = person.meet(call, self.windows)
        if not reason:
            found.cost_usd_micros += call.cost_usd_micros
            return
        found.blocked += 1
        found.reasons[reason] += 1
        found.saved_usd_micros += call.cost_usd_micros
        one = person.affected
        if one is None:
            one = person.affected = Affected(call.user_id)
        one.blocked += 1
        one.reasons[reason] += 1
        one.saved_usd_micros += call.cost_usd_micros

    def end(self) -> Simulation:
        """Return the whole."""
        self.found.users = len(self.people)
        for person in self.people.values():
            if person.affected is not None:
                person.affected.calls = person.calls
                self.found.affected.append(person.affected)
        self.found.affected.sort(key=lambda one: -one.blocked)
        return self.found


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
            self.windows[key] = (
                f"{refused.code} ({refused.details['policy']})" if refused else ""
            )
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
            return refusal.code
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
        *("judge", "calls", "affected", "hour", "hour_used", "day", "day_used"),
        "running",
    )

    def __init__(self, judge: _Judge) -> None:
        self.judge = judge
        self.affected: Affected | None = None
        self.calls = self.hour = self.hour_used = self.day = self.day_used = 0
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
            # Then, too, a local model answered in the place of a refusal.
            return "" if call.fallback == UsageRecord.Fallback.QUOTA else full
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
