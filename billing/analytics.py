"""What staff see of everybody's usage. Sums and ids; no prompt, no code.

Complete days come from the rollups, the rest from the ledger, so that a page costs
the same with a million records as with a thousand.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Q, Sum
from django.db.models.functions import TruncDay

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.plots import Plot, Point, bar_plot, line_plot
from billing.dashboards import MAX_SAMPLED, Latency, error_percent, latency_of
from billing.models import Subscription, Tier, UsageDay, UsageRecord
from billing.selectors import DEFAULT_TIER
from billing.usage import SUMS, Sums, first_unread_day, sums_of

PERIODS = {"day": 1, "week": 7, "month": 30}
TOP_USERS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A name and what it adds up to."""

    name: str
    sums: Sums

    @property
    def error_percent(self) -> float | None:
        return error_percent(self.sums)


@dataclass(frozen=True, slots=True)
class UserRow:
    user_id: str
    email: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Analytics:
    """One period of the whole installation."""

    start: datetime
    end: datetime
    totals: Sums
    error_percent: float | None
    latency: Latency | None
    users_total: int
    users_active: int  # with a metered call in the period
    users_new: int
    features: list[Row]
    providers: list[Row]
    models: list[Row]
    tiers: list[tuple[str, int]]
    top_users: list[UserRow]
    plots: list[Plot]


def analytics(period: str, *, now: datetime | None = None) -> Analytics:
    """Look at today, or the last 7 or 30 days, today included."""
    moment = now or clock.now()
    _, end = clock.day_window(moment)
    start = end - clock.DAY * PERIODS[period]
    slices = list(_slices(start, end, moment))
    totals = Sums()
    for _, _, sums in slices:
        totals.add(sums)
    ms = _latencies(start, end)
    return Analytics(
        start=start,
        end=end,
        totals=totals,
        error_percent=error_percent(totals),
        latency=latency_of(ms),
        users_total=User.objects.filter(deleted_at__isnull=True).count(),
        users_active=_active_users(start, end, moment),
        users_new=User.objects.filter(date_joined__gte=start).count(),
        features=_grouped(slices, "feature"),
        providers=_grouped(slices, "provider"),
        models=_grouped(slices, "model")[:TOP_USERS],
        tiers=tier_mix(moment),
        top_users=_top_users(start, end, moment),
        plots=_plots(slices, start, end),
    )


def tier_mix(moment: datetime) -> list[tuple[str, int]]:
    """Return how many living users hold each tier, the smallest tier first."""
    living = User.objects.filter(deleted_at__isnull=True).count()
    held = Counter(
        dict(
            Subscription.objects.running_at(moment)
            .filter(user__deleted_at__isnull=True)
            .order_by()
            .values_list("tier_id")
            .annotate(n=Count("user", distinct=True))
        )
    )
    held[DEFAULT_TIER] += max(0, living - sum(held.values()))
    return [(tier.name, held[tier.code]) for tier in Tier.objects.order_by("rank")]


_Slice = tuple[datetime, dict[str, str], Sums]


def _live_from(start: datetime, end: datetime, now: datetime) -> datetime:
    return min(max(start, first_unread_day(now)), end)


def _slices(start: datetime, end: datetime, now: datetime) -> Iterator[_Slice]:
    """Yield (day, names, sums) for each day, feature, provider and model."""
    live_from = _live_from(start, end, now)
    names = ("feature", "provider", "model")
    rolled = (
        UsageDay.objects.filter(day__gte=start.date(), day__lt=live_from.date())
        .order_by()
        .values("day", *names)
        .annotate(**_ROLLED)
    )
    for row in rolled:
        day = datetime.combine(row["day"], datetime.min.time(), UTC)
        yield day, {n: row[n] for n in names}, _rolled_sums(row)
    live = (
        UsageRecord.objects.admitted_in(live_from, end)
        .order_by()
        .annotate(day=TruncDay("admitted_at", tzinfo=UTC))
        .values("day", *names)
        .annotate(**SUMS)
    )
    for row in live:
        yield row["day"], {n: row[n] for n in names}, sums_of(row)


_ROLLED: dict[str, Any] = {
    "sum_requests": Sum("requests"),
    "sum_in": Sum("tokens_in"),
    "sum_out": Sum("tokens_out"),
    "sum_cost": Sum("cost_usd_micros"),
    "sum_errors": Sum("errors"),
}


def _rolled_sums(row: dict[str, Any]) -> Sums:
    return Sums(*(row[name] or 0 for name in _ROLLED))


def _grouped(slices: list[_Slice], name: str) -> list[Row]:
    found: defaultdict[str, Sums] = defaultdict(Sums)
    for _, names, sums in slices:
        if names[name]:
            found[names[name]].add(sums)
    rows = [Row(each, sums) for each, sums in found.items()]
    return sorted(rows, key=lambda row: (-row.sums.requests, row.name))


def _active_users(start: datetime, end: datetime, now: datetime) -> int:
    live_from = _live_from(start, end, now)
    rolled = UsageDay.objects.filter(
        day__gte=start.date(), day__lt=live_from.date(), user__isnull=False
    )
    live = UsageRecord.objects.admitted_in(live_from, end).filter(user__isnull=False)
    ids = rolled.order_by().values_list("user_id")
    return ids.union(live.order_by().values_list("user_id")).count()


def _top_users(start: datetime, end: datetime, now: datetime) -> list[UserRow]:
    """Return who cost most; of equals, who asked most."""
    live_from = _live_from(start, end, now)
    found: defaultdict[str, Sums] = defaultdict(Sums)
    rolled = (
        UsageDay.objects.filter(
            day__gte=start.date(), day__lt=live_from.date(), user__isnull=False
        )
        .order_by()
        .values("user_id")
        .annotate(dear=Sum("cost_usd_micros"), **_ROLLED)
    )
    for row in rolled.order_by("-dear")[:1000]:
        found[row["user_id"]].add(_rolled_sums(dict(row)))
    live = (
        UsageRecord.objects.admitted_in(live_from, end)
        .filter(user__isnull=False)
        .order_by()
        .values("user_id")
        .annotate(dear=Sum("cost_usd_micros"), **SUMS)
    )
    for each in live.order_by("-dear")[:1000]:
        found[each["user_id"]].add(sums_of(dict(each)))
    ranked = sorted(
        found.items(), key=lambda pair: (-pair[1].cost_usd_micros, -pair[1].requests)
    )[:TOP_USERS]
    emails = dict(
        User.objects.filter(pk__in=[pk for pk, _ in ranked]).values_list("pk", "email")
    )
    return [UserRow(pk, emails.get(pk, pk), sums) for pk, sums in ranked]


def _latencies(start: datetime, end: datetime) -> list[int]:
    """Return the newest good calls' times; of very many, a part."""
    good = UsageRecord.objects.admitted_in(start, end).filter(status="ok")
    newest = good.order_by("-admitted_at").values_list("latency_ms", flat=True)
    return list(newest[:MAX_SAMPLED])


def provider_health(*, now: datetime | None = None) -> list[dict[str, Any]]:
    """Return each provider's calls, failures and time of the last 24 hours."""
    moment = now or clock.now()
    recent = UsageRecord.objects.admitted_in(moment - timedelta(days=1), moment)
    rows = (
        recent.exclude(provider="")
        .order_by()
        .values("provider")
        .annotate(
            n=Count("pk"),
            failed=Count("pk", filter=Q(status="error")),
            ms=Avg("latency_ms", filter=Q(status="ok")),
        )
        .order_by("-n")
    )
    return [dict(row) | {"ms": row["ms"] and round(row["ms"])} for row in rows]


def _plots(slices: list[_Slice], start: datetime, end: datetime) -> list[Plot]:
    by_day: defaultdict[datetime, Sums] = defaultdict(Sums)
    for day, _, sums in slices:
        by_day[day].add(sums)
    days = [start + clock.DAY * i for i in range((end - start) // clock.DAY)]
    found = [(f"{day.day} {day:%b}", by_day[day]) for day in days]
    return [
        bar_plot(
            "requests",
            "Requests each day",
            ("Answered", "Failed"),
            [Point(name, (s.requests - s.errors, s.errors)) for name, s in found],
            lambda n: f"{n:,.0f}" if n == int(n) else f"{n:,.1f}",
        ),
        line_plot(
            "errors",
            "Error rate each day",
            ("Failed",),
            [Point(name, (error_percent(s),)) for name, s in found],
            lambda n: f"{n:.3g} %",
            least_top=5,
        ),
    ]
