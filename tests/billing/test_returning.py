"""An orderly restart of Redis costs nobody a call."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from aiassist.lib.errors import QuotaExceeded
from billing.metering.admission import limits_for
from billing.metering.ledger import Settlement, release, settle
from billing.metering.returning import return_grants
from billing.models import Quota
from tests.billing.people import NOON, ask, tier, use

pytestmark = pytest.mark.django_db


def counted(person):
    quota = Quota.objects.get(pk=person.user.pk)
    return quota.hour_used, quota.day_used


def test_what_redis_has_not_spent_is_counted_back(alice, redis_client):
    tier(requests_per_hour=100, requests_per_day=200)
    use(alice, now=NOON)
    assert counted(alice) == (5, 5)
    assert return_grants() == 4

    assert counted(alice) == (1, 1)
    redis_client.flushall()  # and comes back empty
    assert limits_for(alice.user, now=NOON).hour.used == 1
    use(alice, now=NOON)
    assert counted(alice) == (6, 6)  # a whole block: no loss was noted


def test_q6_what_was_returned_cannot_be_spent_too(alice):
    """Redis goes on running: the window holds as many calls as before."""
    tier(requests_per_hour=40)
    admitted = 0
    with pytest.raises(QuotaExceeded):
        for _ in range(100):
            settle(ask(alice, now=NOON), Settlement())
            admitted += 1
            return_grants()
    assert admitted == 40
    assert counted(alice) == (40, 40)


def test_returning_twice_returns_once(alice):
    tier(requests_per_hour=100, requests_per_day=200)
    use(alice, now=NOON)
    assert (return_grants(), return_grants()) == (4, 0)
    assert counted(alice) == (1, 1)


def test_a_call_released_after_the_return_is_returned_with_the_next(alice):
    tier(requests_per_hour=100, requests_per_day=200)
    held = ask(alice, now=NOON)
    return_grants()
    release(held)
    use(alice, now=NOON)

    assert limits_for(alice.user, now=NOON).hour.used == 1


def test_what_an_ended_hour_left_is_returned_to_the_day(alice):
    tier(requests_per_hour=100, requests_per_day=200)
    use(alice, now=NOON)
    later = NOON + timedelta(hours=1)
    use(alice, now=later)
    return_grants()

    assert counted(alice) == (1, 2)


def test_without_redis_nothing_is_returned(alice, redis_server):
    use(alice, now=NOON)
    redis_server.kill()
    assert return_grants() == 0


def test_what_belongs_to_windows_that_ended_is_not_counted_back_twice(alice):
    """The row has rolled on meanwhile, as a call without Redis does it."""
    tier(requests_per_hour=100, requests_per_day=200)
    use(alice, now=NOON)
    later = NOON + timedelta(days=1, hours=1)
    Quota.objects.update(hour_start=later, day_start=later, hour_used=7, day_used=7)

    assert return_grants() == 4
    assert counted(alice) == (7, 7)


def test_somebody_whose_grant_is_gone_is_passed_over(alice, charlie, redis_client):
    for person in (alice, charlie):
        use(person, now=NOON)
    redis_client.hdel(f"quota:{{{alice.user.pk}}}", "lease")
    Quota.objects.filter(pk=charlie.user.pk).delete()

    assert return_grants() == 0


def test_an_operator_returns_grants_before_redis_is_stopped(alice, capsys):
    tier(requests_per_hour=100, requests_per_day=200)
    use(alice, now=NOON)

    call_command("return_grants")

    assert capsys.readouterr().out == "4 calls returned.\n"
    assert counted(alice) == (1, 1)
