"""What a user used: sums over a period, from the rollups and the ledger.

Complete days come from the rollups, what these have not read yet from the ledger
itself, so an answer is right also when the roll-up is late.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce, TruncDay, TruncHour

from accounts.models import User
from aiassist.lib import clock
from billing.metering.outbox import write_everything
from billing.models import RollupMark, UsageDay, UsageRecord

Period = Literal["day", "week", "month"]
# Days up to and including today, in UTC.
DAYS: dict[Period, int] = {"day": 1, "week": 7, "month": 30}
PERIODS: dict[Period, str] = {"day": "Today", "week": "7 days", "month": "30 days"}
# Records settled so shortly before the mark may have been committed after it.
OVERLAP = timedelta(minutes=15)
FAILED = Q(status__in=[UsageRecord.Status.ERROR, UsageRecord.Status.ABANDONED])

SUMS: dict[str, Any] = {
    "requests": Count("pk"),
    "sum_in": Coalesce(Sum("tokens_in"), 0),
    "sum_out": Coalesce(Sum("tokens_out"), 0),
    "sum_cost": Coalesce(Sum("cost_usd_micros"), 0),
    "errors": Count("pk", filter=FAILED),
}


@dataclass(slots=True)
class Sums:
    """What some calls add up to."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd_micros: int = 0
    errors: int = 0  # failed or abandoned; a cancelled call is no error

    def add(self, other: "Sums") -> None:
        for each in fields(Sums):
            name = each.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Slice:
    """The sums of one hour or day, feature, provider and model."""

    start: datetime
    feature: str
    provider: str
    model: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class UsageReport:
    """A period, and what was used in it."""

    period: Period
    start: datetime
    end: datetime
    totals: Sums
    series: list[tuple[datetime, Sums]]  # every hour of a day, else every day
    by_feature: list[tuple[str, Sums]]  # most requests first
    by_provider: list[tuple[str, Sums]]  # calls without a provider left out
    by_model: list[tuple[str, Sums]]


def report(user: User, period: Period, *, now: datetime | None = None) -> UsageReport:
    """Return the user's usage of today, of the last 7 or of the last 30 days."""
    write_everything()
    moment = now or clock.now()
    start, end = span(period, moment)
    if period == "day":
        step, slices = clock.HOUR, by_hour(user, start, end)
    else:
        step, slices = clock.DAY, by_day(user, start, end, now=moment)
    totals = Sums()
    for each in slices:
        totals.add(each.sums)
    return UsageReport(
        period=period,
        start=start,
        end=end,
        totals=totals,
        series=_series(slices, start, end, step),
        by_feature=_grouped(slices, lambda s: s.feature),
        by_provider=_grouped(slices, lambda s: s.provider),
        by_model=_grouped(slices, lambda s: s.model),
    )


def period_of(asked: str | None) -> Period:
    """Return the period that a page was asked for, a week for anything else."""
    return next((known for known in DAYS if known == asked), "week")


def span(period: Period, moment: datetime) -> tuple[datetime, datetime]:
    """Return `[start, end)`: whole UTC days that end with today."""
    _, end = clock.day_window(moment)
    return end - clock.DAY * DAYS[period], end


def by_hour(user: User, start: datetime, end: datetime) -> list[Slice]:
    """Return sums per clock hour, from the ledger."""
    return _from_ledger(user, start, end, TruncHour("admitted_at", tzinfo=UTC))


def by_day(user: User, start: datetime, end: datetime, *, now: datetime) -> list[Slice]:
    """Return sums per day: rolled up as far as the roll-up has read."""
    live_from = min(max(start, first_unread_day(now)), end)
    rolled = UsageDay.objects.for_user(user.pk).filter(
        day__gte=start.date(), day__lt=live_from.date()
    )
    slices = [
        Slice(
            start=datetime.combine(row.day, time.min, UTC),
            feature=row.feature,
            provider=row.provider,
            model=row.model,
            sums=Sums(
                row.requests,
                row.tokens_in,
                row.tokens_out,
                row.cost_usd_micros,
                row.errors,
            ),
        )
        for row in rolled
    ]
    daily = TruncDay("admitted_at", tzinfo=UTC)
    return slices + _from_ledger(user, live_from, end, daily)


def first_unread_day(now: datetime) -> datetime:
    """Return the start of the first day that the rollups may not hold in full."""
    mark = RollupMark.objects.filter(pk=1).first()
    if mark is None:
        return datetime.min.replace(tzinfo=UTC)
    return clock.day_window(min(now, mark.read_until - OVERLAP))[0]


def _from_ledger(
    user: User, start: datetime, end: datetime, step: TruncDay | TruncHour
) -> list[Slice]:
    rows = (
        UsageRecord.objects.for_user(user.pk)
        .admitted_in(start, end)
        .annotate(start=step)
        .values("start", "feature", "provider", "model")
        .annotate(**SUMS)
        .order_by()
    )
    return [
        Slice(row["start"], row["feature"], row["provider"], row["model"], sums_of(row))
        for row in rows
    ]


def sums_of(row: Mapping[str, Any]) -> Sums:
    """Return the sums of a row annotated with `SUMS`."""
    return Sums(
        requests=row["requests"],
        tokens_in=row["sum_in"],
        tokens_out=row["sum_out"],
        cost_usd_micros=row["sum_cost"],
        errors=row["errors"],
    )


def _series(
    slices: Iterable[Slice], start: datetime, end: datetime, step: timedelta
) -> list[tuple[datetime, Sums]]:
    found: defaultdict[datetime, Sums] = defaultdict(Sums)
    for each in slices:
        found[each.start].add(each.sums)
    return [
        (start + step * i, found[start + step * i])
        for i in range((end - start) // step)
    ]


def _grouped(
    slices: Iterable[Slice], name_of: Callable[[Slice], str]
) -> list[tuple[str, Sums]]:
    found: defaultdict[str, Sums] = defaultdict(Sums)
    for each in slices:
        if name := name_of(each):
            found[name].add(each.sums)
    return sorted(found.items(), key=lambda pair: (-pair[1].requests, pair[0]))
