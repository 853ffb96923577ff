"""The staff's first page tells what counting the whole ledger would tell."""

from collections import Counter
from datetime import timedelta

import pytest

from billing.models import UsageRecord
from billing.reporting.analytics import analytics
from billing.reporting.rollups import roll_up
from tests.billing.people import NOON, put_on

pytestmark = pytest.mark.django_db

MODELS = ("", "small", "large")


def ledger(*people):
    """Write 31 days of calls, every hour one, then sum up all but the last day."""
    rows = []
    for n in range(31 * 24):
        at = NOON - timedelta(hours=n)
        rows.append(
            UsageRecord(
                user=people[n * n % len(people)],
                reservation_id=f"res_{n}",
                request_id=f"req_{n}",
                feature=("basic_chat", "search")[n % 2],
                provider=("openai", "")[n % 2],
                model=MODELS[n % 3],
                tokens_in=n,
                tokens_out=n % 7,
                cost_usd_micros=n % 50,
                status=("ok", "ok", "error", "cancelled", "abandoned")[n % 5],
                latency_ms=1 + n * n % 9000,
                admitted_at=at,
                created_at=at,
            )
        )
    UsageRecord.objects.bulk_create(rows)
    roll_up(now=NOON)
    return rows


def sums(records):
    return (
        len(records),
        sum(each.tokens_in for each in records),
        sum(each.tokens_out for each in records),
        sum(each.cost_usd_micros for each in records),
        sum(each.status in ("error", "abandoned") for each in records),
    )


def as_numbers(found):
    return (
        *(found.requests, found.tokens_in, found.tokens_out),
        *(found.cost_usd_micros, found.errors),
    )


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_the_sums_are_those_of_a_naive_count(alice, charlie, stella, period):
    people = [alice.user, charlie.user, stella.user]
    rows = ledger(*people)
    found = analytics(period, now=NOON)
    naive = [each for each in rows if found.start <= each.admitted_at < found.end]

    assert as_numbers(found.totals) == sums(naive)
    for kind, shown in (("feature", found.features), ("model", found.models)):
        counted = Counter(getattr(each, kind) for each in naive)
        assert {row.name: row.sums.requests for row in shown} == {
            name: n for name, n in counted.items() if name
        }
    cost = {
        who: sum(each.cost_usd_micros for each in naive if each.user == who)
        for who in people
    }
    assert {row.email: row.cost_usd_micros for row in found.top_users} == {
        who.email: n for who, n in cost.items() if any(r.user == who for r in naive)
    }
    assert found.users_active == len({each.user_id for each in naive})
    assert found.latency
    good = sorted(each.latency_ms for each in naive if each.status == "ok")
    assert found.latency.median_ms == pytest.approx(
        good[(len(good) + 1) // 2 - 1], rel=0.021
    )
    assert found.latency.p95_ms == pytest.approx(
        good[-(-95 * len(good) // 100) - 1], rel=0.021
    )


def test_a_day_is_plotted_by_hour_and_what_lies_ahead_is_no_data(alice):
    ledger(alice.user)
    requests, errors, times = analytics("day", now=NOON).plots

    assert [len(plot.rows) for plot in (requests, errors, times)] == [24, 24, 24]
    assert requests.rows[12][1] == ["1", "0"]
    assert requests.rows[13][1] == ["no data", "no data"]
    assert times.title == "Time to answer each hour"


def test_the_tiers_are_those_that_the_living_hold(alice, charlie):
    put_on(alice, "pro")

    assert dict(analytics("day", now=NOON).tiers)["Free"] >= 1


def test_an_empty_ledger_has_no_rates(alice):
    found = analytics("week", now=NOON)

    assert (found.totals.requests, found.error_percent, found.latency) == (
        0,
        None,
        None,
    )
    assert (found.users_active, found.top_users) == (0, [])
    assert [plot.is_empty for plot in found.plots] == [True, True, True]
