"""What a user's last 30 days say: habits, the tier that fits, what to save."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Avg, Count, Q
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay
from django.db.models.query import QuerySet

from accounts.models import User
from aiassist.lib import clock
from billing.metering.outbox import write_everything
from billing.models import Tier, UsageRecord
from billing.reporting.usage import Slice, Sums, by_hour, span
from billing.tiers.selectors import tier_of, tiers_by_rank

WEEKDAYS = (
    *("monday", "tuesday", "wednesday", "thursday"),
    *("friday", "saturday", "sunday"),
)
# A tier fits when the busiest hour and day leave this much of it unused.
HEADROOM = 1.25
_BUSIEST = 3


@dataclass(frozen=True, slots=True)
class BusiestHour:
    hour: int  # of the day, UTC
    requests: int


@dataclass(frozen=True, slots=True)
class BusiestWeekday:
    weekday: str
    requests: int


@dataclass(frozen=True, slots=True)
class Favourite:
    feature: str
    requests: int
    share: float  # of all requests


@dataclass(frozen=True, slots=True)
class Patterns:
    """When and how somebody works."""

    busiest_hours: list[BusiestHour]
    busiest_weekday: BusiestWeekday | None  # None: no call yet
    peak_requests_per_hour: int
    peak_requests_per_day: int
    average_latency_ms: int | None  # None: no call yet


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The smallest tier that would have held the usage."""

    tier: Tier
    current: Tier
    reason: str


@dataclass(frozen=True, slots=True)
class Insights:
    start: datetime
    end: datetime
    requests: int
    favourite_features: list[Favourite]
    patterns: Patterns
    recommended: Recommendation
    savings: list[str]


def insights(user: User, *, now: datetime | None = None) -> Insights:
    """Look at the last 30 days, today included."""
    start, end = span("month", now or clock.now())
    write_everything()
    records = UsageRecord.objects.for_user(user.pk).admitted_in(start, end)
    slices = by_hour(user, start, end)
    patterns = _patterns(records, slices)
    total = sum(each.sums.requests for each in slices)
    recommended = _recommend(tier_of(user), patterns, slices, _paid_by_us(records))
    return Insights(
        start=start,
        end=end,
        requests=total,
        favourite_features=_favourites(slices, total),
        patterns=patterns,
        recommended=recommended,
        savings=_savings(records, slices, recommended),
    )


def _favourites(slices: list[Slice], total: int) -> list[Favourite]:
    counts = _sums_by(slices, "feature")
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1].requests, pair[0]))
    return [
        Favourite(name, sums.requests, round(sums.requests / total, 3))
        for name, sums in ranked
    ]


def _patterns(records: "QuerySet[UsageRecord]", slices: list[Slice]) -> Patterns:
    hours = _counts(records, ExtractHour("admitted_at", tzinfo=UTC))
    weekdays = _counts(records, ExtractIsoWeekDay("admitted_at", tzinfo=UTC))
    per_hour: dict[datetime, int] = {}
    per_day: dict[datetime, int] = {}
    for each in slices:
        day, _ = clock.day_window(each.start)
        per_hour[each.start] = per_hour.get(each.start, 0) + each.sums.requests
        per_day[day] = per_day.get(day, 0) + each.sums.requests
    latency = records.aggregate(ms=Avg("latency_ms"))["ms"]
    return Patterns(
        busiest_hours=[BusiestHour(*pair) for pair in hours[:_BUSIEST]],
        busiest_weekday=(
            BusiestWeekday(WEEKDAYS[weekdays[0][0] - 1], weekdays[0][1])
            if weekdays
            else None
        ),
        peak_requests_per_hour=max(per_hour.values(), default=0),
        peak_requests_per_day=max(per_day.values(), default=0),
        average_latency_ms=None if latency is None else round(latency),
    )


def _counts(
    records: "QuerySet[UsageRecord]", part: ExtractHour | ExtractIsoWeekDay
) -> list[tuple[int, int]]:
    """Return (part, requests), the busiest first."""
    rows = records.annotate(part=part).values("part").annotate(n=Count("pk"))
    return [(r["part"], r["n"]) for r in rows.order_by("-n", "part")]


def _paid_by_us(records: "QuerySet[UsageRecord]") -> set[str]:
    """Return the providers asked with keys of the platform's."""
    ours = records.filter(own_key=False).order_by()
    return set(ours.values_list("provider", flat=True).distinct())


def _recommend(
    current: Tier, patterns: Patterns, slices: list[Slice], providers: set[str]
) -> Recommendation:
    hour, day = patterns.peak_requests_per_hour, patterns.peak_requests_per_day
    tiers = tiers_by_rank()
    # What no tier gates belongs to everybody: search, the embeddings of this machine.
    providers &= {name for tier in tiers for name in tier.providers}
    features = {each.feature for each in slices}
    features &= {name for tier in tiers for name in tier.features}
    fitting = [
        tier
        for tier in tiers
        if hour * HEADROOM <= tier.requests_per_hour
        and day * HEADROOM <= tier.requests_per_day
        and providers <= set(tier.providers)
        and features <= set(tier.features)
    ]
    best = fitting[0] if fitting else tiers[-1]
    peaks = f"Your busiest hour had {hour} requests, your busiest day {day}"
    if not slices:
        return Recommendation(current, current, "There is no usage to judge by yet.")
    if not fitting:
        reason = f"{peaks}: more than any tier holds with a quarter to spare."
    elif best == current:
        reason = f"{peaks}: your tier '{best.code}' holds that with room to spare."
    elif best.rank > current.rank:
        reason = (
            f"{peaks}: close to what '{current.code}' allows; '{best.code}' holds "
            f"{best.requests_per_hour} an hour and {best.requests_per_day} a day."
        )
    else:
        reason = (
            f"{peaks}, with features and providers that '{best.code}' includes too."
        )
    return Recommendation(best, current, reason)


def _savings(
    records: "QuerySet[UsageRecord]",
    slices: list[Slice],
    recommended: Recommendation,
) -> list[str]:
    hints = []
    if recommended.tier.rank < recommended.current.rank:
        hints.append(
            f"The tier '{recommended.tier.code}' would have held all of your usage."
        )
    by_model = _sums_by(slices, "model")
    cost = sum(sums.cost_usd_micros for sums in by_model.values())
    if cost:
        name, dearest = max(by_model.items(), key=lambda p: p[1].cost_usd_micros)
        share = dearest.cost_usd_micros / cost
        if share >= 0.5 and len(by_model) > 1:
            hints.append(
                f"The model '{name}' made {share:.0%} of your cost with "
                f"{dearest.requests} requests; a smaller model may do for some."
            )
    counts = records.aggregate(
        all=Count("pk"),
        cancelled=Count("pk", filter=Q(status=UsageRecord.Status.CANCELLED)),
        failed=Count("pk", filter=Q(status=UsageRecord.Status.ERROR)),
    )
    for name, what in (("cancelled", "were cancelled"), ("failed", "failed")):
        if counts["all"] >= 10 and counts[name] * 5 >= counts["all"]:
            hints.append(
                f"{counts[name]} of {counts['all']} requests {what} and counted "
                "all the same."
            )
    return hints


def _sums_by(slices: list[Slice], name: str) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for each in slices:
        if value := getattr(each, name):
            found.setdefault(value, Sums()).add(each.sums)
    return found
