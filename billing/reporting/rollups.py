"""Derive the day sums from the ledger. Running it twice changes nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import TruncDay

from aiassist.lib import clock
from billing.models import DaySpeed, DayTotal, RollupMark, UsageDay, UsageRecord
from billing.reporting.speeds import BUCKET
from billing.reporting.usage import OVERLAP, SUMS, sums_of

_BATCH = 500
_NAMES = ["feature", "provider", "model"]
_KEY = ["user", "day", *_NAMES]
_VALUES = ["requests", "tokens_in", "tokens_out", "cost_usd_micros", "errors"]


@transaction.atomic
def roll_up(*, now: datetime | None = None) -> int:
    """Sum every day that ended, or in which records came in, since the last run.

    A day is summed anew as a whole, so that late settlements (a call that ran over
    midnight, an abandoned one) are found. Returns how many days were summed; none
    while another run is at it.
    """
    moment = now or clock.now()
    RollupMark.objects.bulk_create(
        [RollupMark(pk=1, read_until=datetime.min.replace(tzinfo=UTC, year=1970))],
        ignore_conflicts=True,
    )
    # A run may take minutes, after an upgrade; those after it need not wait for it.
    mark = RollupMark.objects.select_for_update(skip_locked=True).first()
    if mark is None:
        return 0
    days = list(_days_with_news(since=mark.read_until - OVERLAP, before=moment))
    for day in days:
        for rows in _in_batches(_sums_of(day)):
            UsageDay.objects.bulk_create(
                rows, update_conflicts=True, unique_fields=_KEY, update_fields=_VALUES
            )
        sum_everybody(day)
    mark.read_until = max(mark.read_until, moment)
    mark.save()
    return len(days)


def _days_with_news(*, since: datetime, before: datetime) -> Iterable[datetime]:
    """Return the starts of complete days that ended, or got records, since."""
    today, _ = clock.day_window(before)
    news = Q(created_at__gte=since) | Q(admitted_at__gte=clock.day_window(since)[0])
    return (
        UsageRecord.objects.filter(news, admitted_at__lt=today)
        .annotate(day=TruncDay("admitted_at", tzinfo=UTC))
        .order_by("day")
        .values_list("day", flat=True)
        .distinct()
    )


def _sums_of(day: datetime) -> Iterator[UsageDay]:
    """Yield a row per user, feature, provider and model. Erased users' stay."""
    rows = (
        UsageRecord.objects.admitted_in(*clock.day_window(day))
        .filter(user__isnull=False)
        .values("user_id", "feature", "provider", "model")
        .annotate(**SUMS)
        .order_by("user_id", "feature", "provider", "model")
    )
    for row in rows.iterator(chunk_size=_BATCH):
        sums = sums_of(row)
        yield UsageDay(
            user_id=row["user_id"],
            day=day.date(),
            feature=row["feature"],
            provider=row["provider"],
            model=row["model"],
            requests=sums.requests,
            tokens_in=sums.tokens_in,
            tokens_out=sums.tokens_out,
            cost_usd_micros=sums.cost_usd_micros,
            errors=sums.errors,
        )


def sum_everybody(day: datetime) -> None:
    """Write a day's sums and speeds over all users, erased ones included."""
    records = UsageRecord.objects.admitted_in(*clock.day_window(day)).order_by()
    sums = records.values(*_NAMES).annotate(**SUMS)
    DayTotal.objects.bulk_create(
        [
            DayTotal(
                day=day.date(),
                **{name: row[name] for name in _NAMES},
                **asdict(sums_of(row)),
            )
            for row in sums
        ],
        update_conflicts=True,
        unique_fields=["day", *_NAMES],
        update_fields=_VALUES,
    )
    good = records.filter(status=UsageRecord.Status.OK)
    speeds = good.values(bucket=BUCKET).annotate(requests=Count("pk"))
    DaySpeed.objects.bulk_create(
        [DaySpeed(day=day.date(), **row) for row in speeds],
        update_conflicts=True,
        unique_fields=["day", "bucket"],
        update_fields=["requests"],
    )


def _in_batches(rows: Iterator[UsageDay]) -> Iterator[list[UsageDay]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
