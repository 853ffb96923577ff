"""The roll-up: complete days, summed as often as one likes."""

from datetime import date, timedelta

import pytest
from django.db.models import F

from billing.metering.ledger import sweep_reservations
from billing.models import RollupMark, UsageDay, UsageRecord
from billing.reporting.rollups import roll_up
from billing.reporting.usage import report
from billing.tasks import roll_up_task, sweep_reservations_task
from tests.billing.people import NOON, ask, use

pytestmark = pytest.mark.django_db

NOW = NOON
YESTERDAY = NOON - timedelta(days=1)


def rows():
    return list(
        UsageDay.objects.order_by("day", "feature", "provider").values_list(
            *("day", "feature", "provider", "model", "requests"),
            *("tokens_in", "tokens_out", "cost_usd_micros", "errors"),
        )
    )


def test_a_complete_day_is_summed_per_feature_provider_and_model(alice, charlie):
    spent = {"provider": "openai", "model": "m", "tokens_in": 2, "tokens_out": 3}
    use(alice, now=YESTERDAY, **spent, cost_usd_micros=5)
    use(alice, now=YESTERDAY, **spent, status="error")
    use(alice, now=YESTERDAY, feature="search", status="cancelled")
    use(charlie, now=YESTERDAY, **spent)
    roll_up(now=NOW)

    day = YESTERDAY.date()
    assert sorted(rows()) == [
        (day, "basic_chat", "openai", "m", 1, 2, 3, 0, 0),
        (day, "basic_chat", "openai", "m", 2, 4, 6, 5, 1),
        (day, "search", "", "", 1, 0, 0, 0, 0),
    ]


def test_running_twice_changes_nothing(alice):
    use(alice, now=YESTERDAY, tokens_in=2)
    roll_up(now=NOW)
    once = rows()
    roll_up(now=NOW)
    roll_up(now=NOW + timedelta(hours=1))
    assert rows() == once


def test_the_running_day_is_not_summed(alice):
    use(alice, now=NOW)
    roll_up(now=NOW)
    assert rows() == []


def test_a_day_whose_calls_were_all_read_early_is_summed_when_it_is_over(alice):
    morning = YESTERDAY.replace(hour=9)
    UsageRecord.objects.create(
        user=alice.user,
        request_id="a",
        reservation_id="res_a",
        feature="search",
        status="ok",
        admitted_at=morning,
        created_at=morning,
    )
    roll_up(now=morning + timedelta(minutes=30))
    roll_up(now=YESTERDAY.replace(hour=23))
    roll_up(now=NOW)

    assert [row[4] for row in rows()] == [1]


def test_a_late_settlement_is_added_to_its_day(alice):
    held = ask(alice, now=YESTERDAY)
    use(alice, now=YESTERDAY)
    roll_up(now=NOW)
    assert [row[4] for row in rows()] == [1]
    sweep_reservations(now=NOW)
    roll_up(now=NOW)

    assert UsageRecord.objects.get(reservation_id=held.reservation_id)
    # requests, and the abandoned one as an error
    assert [(row[4], row[8]) for row in rows()] == [(2, 1)]


def test_the_tasks_do_both_by_the_real_clock(alice):
    ask(alice, now=NOW)
    sweep_reservations_task()
    roll_up_task()
    assert [(row[4], row[8]) for row in rows()] == [(1, 1)]


def test_days_missed_while_nothing_ran_are_summed(alice):
    for days in (9, 5, 1):
        use(alice, now=NOW - timedelta(days=days))
    assert roll_up(now=NOW) == 3
    assert len(rows()) == 3


def reports(person):
    return [report(person.user, period, now=NOW) for period in ("week", "month")]


def test_reports_are_alike_before_and_after_the_roll_up(alice):
    for days in (40, 20, 3, 1, 0):
        use(alice, now=NOW - timedelta(days=days), tokens_in=days, model="m")
    before = reports(alice)
    assert [each.totals.requests for each in before] == [3, 4]
    roll_up(now=NOW)

    assert reports(alice) == before


def test_complete_days_are_read_from_the_rollups(alice):
    """Else the roll-up would be for nothing."""
    use(alice, now=NOW - timedelta(days=3), tokens_in=5)
    roll_up(now=NOW)
    UsageDay.objects.update(tokens_in=F("tokens_in") + 1)

    assert reports(alice)[0].totals.tokens_in == 6


def test_a_roll_up_that_stopped_long_ago_hides_nothing(alice):
    use(alice, now=NOW - timedelta(days=5), tokens_in=5)
    roll_up(now=NOW - timedelta(days=4))
    RollupMark.objects.update(read_until=NOW - timedelta(days=4))
    use(alice, now=NOW - timedelta(days=2), tokens_in=7)

    assert reports(alice)[0].totals.tokens_in == 12


def test_d5_rolled_up_totals_outlive_the_user(alice):
    use(alice, now=YESTERDAY, tokens_in=5)
    roll_up(now=NOW)
    alice.user.delete()
    roll_up(now=NOW)

    assert [row[5] for row in rows()] == [5]
    assert UsageDay.objects.get().user is None


def test_every_user_has_rows_of_their_own(alice, charlie):
    use(alice, now=YESTERDAY, tokens_in=5)
    use(charlie, now=YESTERDAY, tokens_in=7)
    roll_up(now=NOW)

    assert reports(charlie)[0].totals.tokens_in == 7
    assert isinstance(UsageDay.objects.for_user(alice.user.pk).get().day, date)
