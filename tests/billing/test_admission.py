"""Admission in one process: windows, slots, tiers, refusals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.keys import create_key
from accounts.principals import Principal
from aiassist.lib.errors import QuotaExceeded
from aiassist.lib.redis import client
from billing.metering import windows
from billing.metering.admission import admit, limits_for
from billing.metering.holds import Hold, open_holds
from billing.metering.ledger import Settlement, ledger_counts, release, settle
from billing.models import Quota, Reservation
from tests.billing.people import NOON, ask, put_on, tier, use

pytestmark = pytest.mark.django_db


def _id_of(admission):
    return admission.reservation_id


def keys_of(person, n):
    """Return principals of `n` different keys of one user."""
    for number in range(n):
        key, _ = create_key(person.user, f"key {number}")
        yield Principal(person.user, "api_key", key.pk, frozenset(key.scopes))


def test_an_admitted_call_is_held_in_redis(alice, redis_client):
    admission = ask(alice, now=NOON, request_id="req_1")

    assert open_holds() == [
        Hold(
            reservation_id=admission.reservation_id,
            user_id=alice.user.pk,
            key_id=alice.api_key.pk,
            tier_code="free",
            endpoint="POST /chat",
            feature="basic_chat",
            request_id="req_1",
            admitted_at=NOON,
        )
    ]
    ends = redis_client.zscore("holds:ends", f"{alice.user.pk}|{_id_of(admission)}")
    assert ends / 1000 - NOON.timestamp() == 630
    assert not Reservation.objects.exists()


def test_without_redis_a_call_is_held_in_the_database(alice):
    windows.breaker.failed()
    admission = ask(alice, now=NOON)

    held = Reservation.objects.get(pk=admission.reservation_id)
    assert (held.user_id, held.key_id) == (alice.user.pk, alice.api_key.pk)
    assert (held.tier_code, held.feature) == ("free", "basic_chat")
    assert (held.admitted_at, held.expires_at - NOON) == (
        NOON,
        timedelta(seconds=630),
    )


def test_the_limits_count_the_call_itself(alice):
    limits = ask(alice, now=NOON).limits

    assert (limits.hour.used, limits.day.used, limits.concurrency.used) == (1, 1, 1)
    assert limits_for(alice.user, now=NOON) == limits


def test_the_hour_refuses_what_is_over_it(alice):
    tier(requests_per_hour=2)
    use(alice, now=NOON)
    use(alice, now=NOON)

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=NOON)
    assert refused.value.details == {
        "policy": "hour",
        "scope": "user",
        "limit": 2,
        "used": 2,
        "resets_at": "2026-11-16T13:00:00Z",
        "retry_after_seconds": 1800,
        "alternatives": [
            "Wait until 2026-11-16T13:00:00Z.",
            "Move to the tier 'pro' (500 requests an hour).",
        ],
        "headers": {
            "x-ratelimit-limit-requests": "2",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1800",
            "RateLimit-Policy": '"hour";q=2;w=3600, "day";q=200;w=86400',
            "RateLimit": '"hour";r=0;t=1800, "day";r=198;t=41400',
        },
    }


def test_of_two_full_windows_the_longer_is_named(alice):
    tier(requests_per_hour=1, requests_per_day=1)
    use(alice, now=NOON)

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=NOON)
    assert refused.value.details["policy"] == "day"
    assert refused.value.details["retry_after_seconds"] == 41400


def test_a_refused_call_takes_nothing_from_any_window(alice):
    """Q4: judged together or not at all."""
    tier(requests_per_hour=5, requests_per_day=1)
    use(alice, now=NOON)

    for _ in range(3):
        with pytest.raises(QuotaExceeded):
            ask(alice, now=NOON)
    limits = limits_for(alice.user, now=NOON)
    assert (limits.hour.used, limits.day.used, limits.concurrency.used) == (1, 1, 0)
    assert client().hget(f"quota:{{{alice.user.pk}}}", "hour") == "1"


@pytest.mark.parametrize("policy", ["hour", "day"])
def test_q4_a_window_is_a_clock_interval_in_utc(alice, policy):
    """Full until the last microsecond, open again with the first of the next."""
    limits: dict[str, Any] = {f"requests_per_{policy}": 1}
    tier(**limits)
    edge = {
        "hour": datetime(2026, 11, 16, 13, tzinfo=UTC),
        "day": datetime(2026, 11, 17, tzinfo=UTC),
    }[policy]
    use(alice, now=edge - timedelta(minutes=50))

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=edge - timedelta(microseconds=1))
    assert refused.value.details["policy"] == policy
    assert refused.value.details["retry_after_seconds"] == 1
    assert ask(alice, now=edge).limits.hour.used == 1


def test_q4_a_new_hour_does_not_open_a_new_day(alice):
    tier(requests_per_hour=2, requests_per_day=3)
    for _ in range(2):
        use(alice, now=NOON)
    use(alice, now=NOON + timedelta(hours=1))

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=NOON + timedelta(hours=1))
    assert refused.value.details["policy"] == "day"


@pytest.mark.parametrize("with_redis", [True, False])
def test_q4_a_clock_that_runs_behind_opens_no_old_window(alice, with_redis):
    """Two servers whose clocks differ must not give a window twice."""
    tier(requests_per_hour=1)
    edge = datetime(2026, 11, 16, 13, tzinfo=UTC)
    use(alice, now=edge)
    if not with_redis:
        windows.breaker.failed()

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=edge - timedelta(seconds=1))
    assert refused.value.details["policy"] == "hour"


@pytest.mark.parametrize("policy", ["hour", "day"])
@pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=1)])
def test_q1_q4_redis_judges_both_windows_without_a_transaction(
    alice, behind, policy, django_assert_num_queries
):
    """A flood of refused calls must not reach the ledger, a slow clock's neither.

    The ledger would refuse them as well: only its silence shows that Redis did.
    """
    limits: dict[str, Any] = {f"requests_per_{policy}": 1}
    tier(**limits)
    edge = datetime(2026, 11, 16, 13, tzinfo=UTC)
    use(alice, now=edge)

    with django_assert_num_queries(2) as queries, pytest.raises(QuotaExceeded):
        ask(alice, now=edge - behind)
    assert all(
        'FROM "billing_tier"' in query["sql"] for query in queries.captured_queries
    )


def test_a_flood_without_redis_does_not_queue_for_the_lock(
    alice, django_assert_max_num_queries
):
    tier(requests_per_hour=1)
    use(alice, now=NOON)
    windows.breaker.failed()

    with django_assert_max_num_queries(6) as queries, pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
    assert not [q for q in queries.captured_queries if "FOR UPDATE" in q["sql"]]


def test_q8_many_keys_share_their_users_quota(alice):
    tier(requests_per_hour=20)
    admitted = 0
    for principal in keys_of(alice, 50):
        try:
            settle(ask(alice, principal=principal, now=NOON), Settlement())
        except QuotaExceeded:
            continue
        admitted += 1

    assert admitted == 20


def test_users_do_not_share_a_quota(alice, charlie):
    tier(requests_per_hour=1)
    use(alice, now=NOON)

    assert ask(charlie, now=NOON).limits.hour.used == 1


def test_calls_at_one_time_are_limited(alice):
    tier(max_concurrent=2)
    first = ask(alice, now=NOON)
    ask(alice, now=NOON)

    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=NOON)
    assert refused.value.details["policy"] == "concurrency"
    assert refused.value.details["resets_at"] is None
    assert refused.value.details["retry_after_seconds"] == 2
    settle(first, Settlement())
    assert ask(alice, now=NOON).limits.concurrency.used == 2


def test_q11_a_slot_is_free_after_the_longest_stream(alice):
    """Also before any sweeper came by, and by Redis as by the database."""
    tier(max_concurrent=1)
    ask(alice, now=NOON)

    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON + timedelta(seconds=629))
    assert ask(alice, now=NOON + timedelta(seconds=630))


def test_an_edited_tier_bites_with_the_next_call(alice):
    use(alice, now=NOON)
    tier(requests_per_hour=1)
    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
    tier(requests_per_hour=2)
    assert ask(alice, now=NOON).limits.hour.remaining == 0


def test_a_larger_tier_opens_at_once(alice):
    tier(requests_per_hour=1)
    use(alice, now=NOON)
    put_on(alice, "pro")

    assert ask(alice, now=NOON).limits.hour.limit == 500


def test_redis_that_forgot_is_told_again(alice, redis_client):
    tier(requests_per_hour=3)
    for _ in range(3):
        use(alice, now=NOON)
    redis_client.flushall()

    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
    kept = redis_client.hgetall(f"quota:{{{alice.user.pk}}}")
    assert (kept["hour"], kept["day"], kept["left"]) == ("3", "3", "0")


def test_q6_redis_that_counts_too_low_cannot_overspend(alice, redis_client):
    """As after a restart from an old snapshot."""
    tier(requests_per_hour=3)
    for _ in range(3):
        use(alice, now=NOON)
    redis_client.hset(f"quota:{{{alice.user.pk}}}", mapping={"hour": 0, "day": 0})

    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
    assert redis_client.hget(f"quota:{{{alice.user.pk}}}", "hour") == "3"


def test_redis_that_counts_too_high_refuses_for_moments_only(alice, redis_client):
    """As after a process died between Redis and the database."""
    use(alice, now=NOON)
    redis_client.hset(f"quota:{{{alice.user.pk}}}", "hour", 60)

    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON + timedelta(seconds=1))
    later = NOON + timedelta(seconds=windows.CONFIRM_SECONDS)
    assert ask(alice, now=later).limits.hour.used == 2


def test_counts_and_ledger_agree(alice):
    """What is told as used is what the ledger adds up to."""
    held = [ask(alice, now=NOON) for _ in range(3)]
    settle(held[0], Settlement())
    release(held[1])
    use(alice, now=NOON - timedelta(minutes=40))  # counted in the later hour

    limits = limits_for(alice.user, now=NOON)
    assert (limits.hour.used, limits.day.used) == (3, 3)
    assert ledger_counts(alice.user, now=NOON) == (3, 3)
    # Of what was granted ahead, none is lost.
    quota = Quota.objects.get(pk=alice.user.pk)
    assert (quota.hour_used, quota.day_used) == (4, 4)


def test_everything_is_admitted_and_recorded_with_limits_off(alice, settings):
    settings.RATE_LIMIT_ENABLED = False
    tier(requests_per_hour=1, max_concurrent=1)
    admissions = [ask(alice, now=NOON) for _ in range(5)]

    assert ledger_counts(alice.user, now=NOON) == (5, 5)
    assert admissions[-1].limits.hour.used == 5
    assert admissions[-1].limits.headers() == {}


def test_t8_a_key_in_redis_names_its_user(alice, charlie, redis_client):
    ask(alice)
    ask(charlie)

    assert sorted(redis_client.keys("*")) == sorted(
        [
            "holds",
            "holds:ends",
            *(
                f"{kind}:{{{person.user.pk}}}"
                for kind in ("quota", "slots")
                for person in (alice, charlie)
            ),
        ]
    )


def test_a_session_has_no_key(alice):
    session = Principal(alice.user, "session", None, frozenset())
    admission = admit(session, feature="search", endpoint="x", request_id="r" * 500)

    (held,) = open_holds(alice.user.pk)
    assert (held.key_id, held.request_id) == ("", "r" * 128)
    assert held.reservation_id == admission.reservation_id
