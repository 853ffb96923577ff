"""Q6: what an earlier Redis knew is not spent a second time."""

from dataclasses import replace

import pytest

from aiassist.lib.errors import QuotaExceeded
from billing.metering import windows
from billing.metering.admission import limits_for
from billing.models import Quota
from tests.billing.people import NOON, ask, tier, use

pytestmark = pytest.mark.django_db


def spend_all(person):
    """Return how many more calls are admitted."""
    n_admitted = 0
    with pytest.raises(QuotaExceeded):
        while True:
            use(person, now=NOON)
            n_admitted += 1
    return n_admitted


def test_q6_an_old_snapshot_is_not_believed(alice, redis_server):
    """kill -9, and a start with counts from before calls were made."""
    tier(requests_per_hour=100)
    use(alice, now=NOON)  # of a block of five
    with redis_server.client() as server:
        server.save()
    for _ in range(4):
        use(alice, now=NOON)
    tier(requests_per_hour=5)
    redis_server.kill()
    redis_server.start()
    with redis_server.client() as server:  # it does hold what it should not
        assert server.hget(f"quota:{{{alice.user.pk}}}", "left") == "4"
    windows.breaker.succeeded()

    assert spend_all(alice) == 0
    assert limits_for(alice.user, now=NOON).hour.used == 5


def test_q6_a_grant_that_comes_after_a_flush_is_refused(
    alice, redis_client, monkeypatch
):
    """FLUSHALL while it was on its way: it belongs to a lease that is gone."""
    tier(requests_per_hour=100)
    put = windows.put

    def late(grant, want):
        redis_client.flushall()
        windows.take(replace(want, hold_id="another"))  # has a lease made up
        return put(grant, want)

    monkeypatch.setattr(windows, "put", late)
    admission = ask(alice, now=NOON)

    assert admission.by_database  # it was counted, and is held as a row
    assert Quota.objects.get(pk=alice.user.pk).hour_used == 5
    assert redis_client.hget(f"quota:{{{alice.user.pk}}}", "left") == "0"


def test_each_loss_halves_what_the_next_may_cost(alice, redis_client):
    tier(requests_per_hour=400, requests_per_day=400)
    counted = []
    for _ in range(6):
        use(alice, now=NOON)
        counted.append(Quota.objects.get(pk=alice.user.pk).hour_used)
        redis_client.flushall()

    steps = [b - a for a, b in zip([0, *counted], counted, strict=False)]
    assert steps == [20, 10, 5, 2, 1, 1]
