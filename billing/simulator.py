"""Replay the last 30 days under a draft tier: who would have been blocked, how often.

The judge is `billing.limits.refusal_of` and the gates, the very ones that judge real
calls; only the clock and the counts are those of the ledger. A call that would have
been refused uses nothing up, exactly as a real refusal does not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from aiassist.lib import clock
from aiassist.lib.errors import LimitRefused
from billing.gates import require_feature, require_provider
from billing.limits import refusal_of, snapshot
from billing.models import FEATURES, LimitOverride, Tier, UsageRecord
from billing.models.override import with_limits

DAYS = 30
# Of very large ledgers the newest calls are replayed, and the page says so.
MAX_CALLS = 200_000
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the ledger, or a test, tells it."""

    user_id: str
    at: datetime
    feature: str
    provider: str = ""
    latency: timedelta = timedelta(0)
    cost_usd_micros: int = 0


@dataclass(slots=True)
class Affected:
    """Somebody who would have met refusals."""

    user_id: str
    email: str = ""
    blocked: int = 0
    calls: int = 0
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
    reasons: Counter[str] = field(default_factory=Counter)
    affected: list[Affected] = field(default_factory=list)  # most blocked first
    is_partial: bool = False


def simulate(draft: Tier, *, now: datetime | None = None) -> Simulation:
    """Replay the calls that were made under the tier of this code."""
    moment = now or clock.now()
    records = (
        UsageRecord.objects.filter(tier_code=draft.code, user__isnull=False)
        .admitted_in(moment - timedelta(days=DAYS), moment)
        .order_by("-admitted_at")
    )
    columns = (
        *("user_id", "admitted_at", "feature", "provider"),
        *("latency_ms", "cost_usd_micros", "user__email"),
    )
    rows = list(records.values_list(*columns)[: MAX_CALLS + 1])
    emails = {row[0]: row[6] for row in rows}
    found = replay(
        draft,
        overrides=_overrides(moment),
        calls=(
            Call(row[0], row[1], row[2], row[3], timedelta(milliseconds=row[4]), row[5])
            for row in reversed(rows[:MAX_CALLS])
        ),
    )
    found.is_partial = len(rows) > MAX_CALLS
    for each in found.affected:
        each.email = emails.get(each.user_id, "")
    return found


def replay(
    draft: Tier,
    calls: Iterable[Call],
    overrides: "dict[str, dict[str, Any]] | None" = None,
) -> Simulation:
    """Judge calls, oldest first, as if the draft had been the tier.

    `overrides`: who keeps limits of their own, by user id.
    """
    found = Simulation()
    judges = {
        user_id: _Judge(with_limits(copy(draft), limits, None))
        for user_id, limits in (overrides or {}).items()
    }
    others = _Judge(draft)
    people: dict[str, _Person] = {}
    by_user: defaultdict[str, Affected] = defaultdict(lambda: Affected(""))
    for call in calls:
        person = people.setdefault(call.user_id, _Person())
        judge = judges.get(call.user_id, others)
        one = by_user[call.user_id]
        one.user_id = call.user_id
        one.calls += 1
        found.calls += 1
        reason = person.meet(judge, call)
        if reason:
            found.blocked += 1
            found.reasons[reason] += 1
            found.saved_usd_micros += call.cost_usd_micros
            one.blocked += 1
            one.reasons[reason] += 1
        else:
            found.cost_usd_micros += call.cost_usd_micros
    found.users = len(people)
    blocked = [one for one in by_user.values() if one.blocked]
    found.affected = sorted(blocked, key=lambda one: -one.blocked)
    return found


def _overrides(moment: datetime) -> dict[str, dict[str, Any]]:
    """Return the limits of those who have their own now; the newest counts."""
    running = LimitOverride.objects.running_at(moment).order_by("starts_at", "id")
    return dict(running.values_list("user_id", "limits"))


def changes(before: Tier, draft: Tier) -> Iterator[tuple[str, object, object]]:
    """Yield (column, before, after) for what the draft changes."""
    for column in Tier._meta.concrete_fields:
        old, new = getattr(before, column.name), getattr(draft, column.name)
        if old != new:
            yield str(column.verbose_name), old, new


class _Judge:
    """The draft's verdicts; each depends on counts alone, so it is asked for once."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.gates: dict[tuple[str, str], str] = {}
        self.windows: dict[tuple[int, int, int], str] = {}

    def gate(self, feature: str, provider: str) -> str:
        """Return the code of what the tier lacks, "" for nothing."""
        key = (feature, provider)
        if key not in self.gates:
            self.gates[key] = self._gate(feature, provider)
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

    def _gate(self, feature: str, provider: str) -> str:
        try:
            if feature in FEATURES:
                require_feature(self.tier, feature)
            if provider:
                require_provider(self.tier, provider)
        except LimitRefused as refusal:
            return refusal.code
        return ""


class _Person:
    """One user's counts while their calls are replayed."""

    def __init__(self) -> None:
        self.hour: datetime | None = None
        self.day: datetime | None = None
        self.hour_used = self.day_used = 0
        self.running: list[datetime] = []  # when each running call ends

    def meet(self, judge: _Judge, call: Call) -> str:
        """Return the refusal that the call meets; count it when it meets none."""
        self._roll_to(call.at)
        # In the order of a real call: what the tier has, then what is left.
        reason = judge.gate(call.feature, call.provider) or judge.window(
            call.at, self.hour_used, self.day_used, len(self.running)
        )
        if not reason:
            self.hour_used += 1
            self.day_used += 1
            heappush(self.running, call.at + call.latency)
        return reason

    def _roll_to(self, at: datetime) -> None:
        hour, day = clock.hour_window(at)[0], clock.day_window(at)[0]
        if hour != self.hour:
            self.hour, self.hour_used = hour, 0
        if day != self.day:
            self.day, self.day_used = day, 0
        while self.running and self.running[0] <= at:
            heappop(self.running)
