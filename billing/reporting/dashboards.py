"""What the usage page shows beyond the sums: per key, errors and latency, plots."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, QuerySet, Sum

from accounts.models import ApiKey, User
from aiassist.lib import clock
from aiassist.lib.plots import Plot, Point, bar_plot, line_plot
from billing.models import UsageRecord
from billing.reporting.usage import FAILED, Sums, UsageReport

# Enough to read a percentile from; a page never loads more rows than this.
MAX_SAMPLED = 20_000
SITE = "This site, signed in"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key, or the site itself, used."""

    name: str
    prefix: str  # "": no key
    requests: int
    errors: int
    cost_usd_micros: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Half of the calls were at most `median_ms`; 95 of 100 at most `p95_ms`."""

    median_ms: int
    p95_ms: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The plots of a period; None where there was no call to judge by."""

    plots: list[Plot]
    by_key: list[KeyUse]
    latency: Latency | None
    error_percent: float | None


def dashboard(user: User, report: UsageReport, *, now: datetime) -> Dashboard:
    """Draw a report. What lies ahead of `now` is no data, not zero."""
    records = UsageRecord.objects.for_user(user.pk).admitted_in(
        report.start, report.end
    )
    sampled = _sampled(records, report)
    ahead = [start > now for start, _ in report.series]
    every = [ms for found in sampled.values() for ms in found]
    return Dashboard(
        plots=[
            *_amounts(report, ahead),
            _errors(report),
            _latencies(report, sampled),
        ],
        by_key=by_key(user, records),
        latency=latency_of(every),
        error_percent=error_percent(report.totals),
    )


def requests_plot(report: UsageReport, *, now: datetime) -> Plot:
    """Return the first of the plots alone."""
    return _amounts(report, [start > now for start, _ in report.series])[0]


def by_key(user: User, records: "QuerySet[UsageRecord]") -> list[KeyUse]:
    """Return what each key used, the most requests first."""
    held = {key.pk: key for key in ApiKey.objects.for_user(user)}
    rows = (
        records.order_by()
        .values("key_id")
        .annotate(
            n=Count("pk"),
            failed=Count("pk", filter=FAILED),
            cost=Sum("cost_usd_micros"),
        )
        .order_by("-n", "key_id")
    )
    found = []
    for row in rows:
        key = held.get(row["key_id"])
        name = key.name if key else "A deleted key" if row["key_id"] else SITE
        prefix = key.prefix if key else ""
        found.append(KeyUse(name, prefix, row["n"], row["failed"], row["cost"] or 0))
    return found


def latency_of(milliseconds: Iterable[int]) -> Latency | None:
    """Return median and 95th percentile (nearest rank), None for no call."""
    found = sorted(milliseconds)
    if not found:
        return None
    return Latency(_rank(found, 50), _rank(found, 95))


def error_percent(sums: Sums) -> float | None:
    """Return the share of failed calls, None when there was no call."""
    return 100 * sums.errors / sums.requests if sums.requests else None


def dollars(micros: float) -> str:
    """Return micro-dollars with as many digits as a small sum needs."""
    amount = micros / 1_000_000
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"


def _rank(found: Sequence[int], percent: int) -> int:
    return found[max(0, -(-len(found) * percent // 100) - 1)]


def _sampled(
    records: "QuerySet[UsageRecord]", report: UsageReport
) -> dict[datetime, list[int]]:
    """Return the latency of good calls by step; of very many, the newest."""
    hourly = report.period == "day"
    found: defaultdict[datetime, list[int]] = defaultdict(list)
    rows = records.filter(status=UsageRecord.Status.OK).order_by("-admitted_at")
    for at, ms in rows.values_list("admitted_at", "latency_ms")[:MAX_SAMPLED]:
        start, _ = clock.hour_window(at) if hourly else clock.day_window(at)
        found[start].append(ms)
    return found


def _label(report: UsageReport, start: datetime) -> str:
    return f"{start:%H:%M}" if report.period == "day" else f"{start.day} {start:%b}"


def _amounts(report: UsageReport, ahead: list[bool]) -> list[Plot]:
    steps = [
        (_label(report, start), sums, later)
        for (start, sums), later in zip(report.series, ahead, strict=True)
    ]
    calls = [
        Point(name, (None, None) if later else (s.requests - s.errors, s.errors))
        for name, s, later in steps
    ]
    tokens = [
        Point(name, (None, None) if later else (s.tokens_in, s.tokens_out))
        for name, s, later in steps
    ]
    cost = [
        Point(name, (None if later else s.cost_usd_micros,)) for name, s, later in steps
    ]
    return [
        bar_plot("requests", "Requests", ("Answered", "Failed"), calls, shown_number),
        bar_plot("tokens", "Tokens", ("In", "Out"), tokens, shown_number),
        bar_plot("cost", "Cost", ("Cost",), cost, dollars),
    ]


def _errors(report: UsageReport) -> Plot:
    points = [
        Point(_label(report, start), (error_percent(sums),))
        for start, sums in report.series
    ]
    return line_plot(
        "errors", "Error rate", ("Failed",), points, shown_percent, least_top=5
    )


def _latencies(report: UsageReport, sampled: dict[datetime, list[int]]) -> Plot:
    points = []
    for start, _ in report.series:
        found = latency_of(sampled.get(start, ()))
        values = (found.median_ms, found.p95_ms) if found else (None, None)
        points.append(Point(_label(report, start), values))
    return line_plot(
        "latency", "Time to answer", ("Median", "95 %"), points, shown_duration
    )


def shown_number(number: float) -> str:
    if number >= 1_000_000:
        return f"{number / 1_000_000:.4g} M"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def shown_percent(number: float) -> str:
    return f"{number:.3g} %"


def shown_duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.3g} s"
