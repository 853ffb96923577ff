"""What staff see of everybody's usage. Sums and ids; no prompt, no code.

Complete days come from the rollups, the rest from the ledger, so that a page costs
the same with a million records as with a thousand.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Avg, Count, Exists, OuterRef, Q, Value
from django.db.models.functions import TruncDay, TruncHour

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.plots import Plot, Point, bar_plot, line_plot
from billing.models import (
    DaySpeed,
    DayTotal,
    Subscription,
    Tier,
    UsageDay,
    UsageRecord,
)
from billing.reporting.dashboards import (
    Latency,
    error_percent,
    shown_duration,
    shown_number,
    shown_percent,
)
from billing.reporting.speeds import BUCKET, speed_of
from billing.reporting.usage import (
    SUMS,
    Period,
    Sums,
    first_unread_day,
    span,
    sums_of,
)
from billing.tiers.selectors import DEFAULT_TIER

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
    requests: int
    cost_usd_micros: int


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


@dataclass(frozen=True, slots=True)
class _Span:
    """A period, and from when on the ledger itself must be read."""

    start: datetime
    end: datetime
    live_from: datetime
    now: datetime

    @property
    def step(self) -> timedelta:
        """An hour for a day, else a day."""
        return clock.HOUR if self.end - self.start == clock.DAY else clock.DAY

    def rolled(self) -> Q:
        """The days that the rollups hold in full."""
        return Q(day__gte=self.start.date(), day__lt=self.live_from.date())

    def live(self) -> Any:
        return UsageRecord.objects.admitted_in(self.live_from, self.end).order_by()

    def step_of_record(self) -> Any:
        truncated = TruncHour if self.step == clock.HOUR else TruncDay
        return truncated("admitted_at", tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Slice:
    start: datetime
    names: dict[str, str]  # feature, provider, model
    sums: Sums


_Speeds = dict[datetime, Counter[int]]  # calls per bucket, by step


def analytics(period: Period, *, now: datetime | None = None) -> Analytics:
    """Look at today, or the last 7 or 30 days, today included."""
    moment = now or clock.now()
    start, end = span(period, moment)
    live_from = min(max(start, first_unread_day(moment)), end)
    looked = _Span(start, end, live_from, moment)
    slices, speeds = list(_slices(looked)), _speeds(looked)
    totals = _added_up(each.sums for each in slices)
    users = User.objects.aggregate(
        living=Count("pk", filter=Q(deleted_at__isnull=True)),
        new=Count("pk", filter=Q(date_joined__gte=start)),
    )
    top_users, users_active = _top_users(looked)
    return Analytics(
        start=start,
        end=end,
        totals=totals,
        error_percent=error_percent(totals),
        latency=speed_of(sum(speeds.values(), Counter())),
        users_total=users["living"],
        users_active=users_active,
        users_new=users["new"],
        features=_grouped(slices, "feature"),
        providers=_grouped(slices, "provider"),
        models=_grouped(slices, "model")[:TOP_USERS],
        tiers=tier_mix(moment, living=users["living"]),
        top_users=top_users,
        plots=_plots(looked, slices, speeds),
    )


def tier_mix(moment: datetime, *, living: int) -> list[tuple[str, int]]:
    """Return how many of the living users hold each tier, the smallest tier first."""
    deleted = User.objects.filter(pk=OuterRef("user_id"), deleted_at__isnull=False)
    running = Subscription.objects.running_at(moment).filter(~Exists(deleted))
    by_tier = running.order_by().values_list("tier_id").annotate(n=Count("pk"))
    held = Counter(dict(by_tier))
    held[DEFAULT_TIER] += max(0, living - sum(held.values()))
    return [(tier.name, held[tier.code]) for tier in Tier.objects.order_by("rank")]


def _slices(span: _Span) -> Iterator[_Slice]:
    names = ("feature", "provider", "model")
    for total in DayTotal.objects.filter(span.rolled()).order_by():
        yield _Slice(
            datetime.combine(total.day, time.min, UTC),
            {name: getattr(total, name) for name in names},
            Sums(
                total.requests,
                total.tokens_in,
                total.tokens_out,
                total.cost_usd_micros,
                total.errors,
            ),
        )
    live = span.live().annotate(step=span.step_of_record())
    for row in live.values("step", *names).annotate(**SUMS):
        yield _Slice(row["step"], {name: row[name] for name in names}, sums_of(row))


def _speeds(span: _Span) -> _Speeds:
    """Return how many good calls took how long, by step."""
    found: _Speeds = defaultdict(Counter)
    for day in DaySpeed.objects.filter(span.rolled()).order_by():
        start = datetime.combine(day.day, time.min, UTC)
        found[start][day.bucket] += day.requests
    good = span.live().filter(status=UsageRecord.Status.OK)
    live = good.annotate(step=span.step_of_record(), bucket=BUCKET)
    for row in live.values("step", "bucket").annotate(n=Count("pk")):
        found[row["step"]][row["bucket"]] += row["n"]
    return found


def _added_up(many: Any) -> Sums:
    total = Sums()
    for each in many:
        total.add(each)
    return total


def _grouped(slices: list[_Slice], name: str) -> list[Row]:
    found: defaultdict[str, Sums] = defaultdict(Sums)
    for each in slices:
        if each.names[name]:
            found[each.names[name]].add(each.sums)
    rows = [Row(each, sums) for each, sums in found.items()]
    return sorted(rows, key=lambda row: (-row.sums.requests, row.name))


def _top_users(span: _Span) -> tuple[list[UserRow], int]:
    """Return who cost most (of equals, who asked most), and how many were active."""
    named = Q(user__isnull=False)
    rolled = UsageDay.objects.filter(span.rolled(), named).order_by()
    days = rolled.values_list("user_id", "requests", "cost_usd_micros")
    calls = (
        span.live()
        .filter(named)
        .annotate(one=Value(1))
        .values_list("user_id", "one", "cost_usd_micros")
    )
    both, params = days.union(calls, all=True).query.sql_with_params()
    with connection.cursor() as cursor:
        # Django cannot group a union; this counts and ranks in one reading.
        cursor.execute(
            "SELECT user_id, SUM(requests) AS n, SUM(cost_usd_micros) AS cost, "
            f"COUNT(*) OVER () FROM ({both}) AS used GROUP BY user_id "
            f"ORDER BY cost DESC, n DESC LIMIT {TOP_USERS}",
            params,
        )
        rows = cursor.fetchall()
    emails = dict(
        User.objects.filter(pk__in=[row[0] for row in rows]).values_list("pk", "email")
    )
    top = [UserRow(pk, emails.get(pk, pk), int(n), int(c)) for pk, n, c, _ in rows]
    return top, rows[0][3] if rows else 0


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
            failed=Count("pk", filter=Q(status=UsageRecord.Status.ERROR)),
            ms=Avg("latency_ms", filter=Q(status=UsageRecord.Status.OK)),
        )
        .order_by("-n")
    )
    return [dict(row) | {"ms": row["ms"] and round(row["ms"])} for row in rows]


def _plots(span: _Span, slices: list[_Slice], speeds: _Speeds) -> list[Plot]:
    by_step: defaultdict[datetime, Sums] = defaultdict(Sums)
    for each in slices:
        by_step[each.start].add(each.sums)
    steps = [
        span.start + span.step * i for i in range((span.end - span.start) // span.step)
    ]
    hourly = span.step == clock.HOUR
    how = "each hour" if hourly else "each day"
    requests, errors, times = [], [], []
    for start in steps:
        label = f"{start:%H:%M}" if hourly else f"{start.day} {start:%b}"
        sums, speed = by_step[start], speed_of(speeds.get(start, {}))
        answered = (sums.requests - sums.errors, sums.errors)
        # What lies ahead is no data, not zero.
        requests.append(Point(label, (None, None) if start > span.now else answered))
        errors.append(Point(label, (error_percent(sums),)))
        times.append(Point(label, astuple(speed) if speed else (None, None)))
    return [
        bar_plot(
            *("requests", f"Requests {how}", ("Answered", "Failed")),
            *(requests, shown_number),
        ),
        line_plot(
            *("errors", f"Error rate {how}", ("Failed",), errors, shown_percent),
            least_top=5,
        ),
        line_plot(
            *("latency", f"Time to answer {how}", ("Half", "95 %")),
            *(times, shown_duration),
        ),
    ]
