"""What billing answers and keeps while Redis is away, and pays when it is back."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from aiassist.lib.db import surely
from aiassist.lib.redis import RedisDown, client
from billing.metering import holds, ledger, windows
from billing.metering.admission import Call, at_once, new_call
from billing.metering.ledger import Settlement, release, settle, sweep_reservations
from billing.metering.outbox import drain, write_everything
from billing.metering.outbox import outbox as the_outbox
from billing.metering.windows import Verdict
from billing.models import Quota, Reservation, UsageRecord
from tests.billing.people import NOON, ask, record_of, tier, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def gone(redis_server):
    """Redis dies now, and nobody has noticed yet."""

    def kill():
        redis_server.kill()
        windows.breaker.succeeded()

    return kill


def test_q6_running_calls_are_counted_from_the_database_alone(alice, gone):
    ask(alice)
    assert holds.n_open(alice.user.pk) == 1
    gone()

    assert holds.open_holds() == []
    assert not windows.breaker.allows(), "the next one need not wait for it"
    assert holds.open_holds() == []
    ask(alice)
    assert holds.n_open(alice.user.pk) == 1


def test_q11_the_sweeper_gives_up_nothing_that_it_cannot_see(alice, gone):
    ask(alice, now=NOON)
    gone()
    later = NOON + timedelta(hours=1)

    assert holds.ended_by(later, at_most=10) == []
    assert sweep_reservations(now=later) == 0
    assert not UsageRecord.objects.exists()


def test_a_stream_that_cannot_be_read_is_written_later(alice, gone):
    gone()
    assert drain() == 0
    assert drain() == 0, "while Redis rests nobody asks it"


def test_a_call_written_while_redis_dies_is_written_once(alice, gone, settings):
    """Its copy in the stream cannot be taken out then."""
    settings.USAGE_WRITE_SECONDS = 60
    admission = ask(alice)
    settle(admission, Settlement(tokens_in=5))
    gone()

    assert the_outbox.write() == 1
    write_everything()
    assert record_of(admission).tokens_in == 5


def test_what_is_owed_is_paid_when_redis_is_back(alice, redis_client):
    kept, returned = ask(alice), ask(alice)
    windows.breaker.failed()
    settle(kept, Settlement())
    release(returned)
    the_outbox._pay()
    assert len(the_outbox._owed) == 2, "still away: both are owed"

    windows.breaker.succeeded()
    the_outbox._pay()

    assert not the_outbox._owed
    assert holds.n_open(alice.user.pk) == 0
    assert redis_client.zcard(f"slots:{{{alice.user.pk}}}") == 0


def test_q6_limits_are_told_without_redis(alice, gone):
    use(alice)
    gone()

    told = alice.api.get("/api/v1/limits").json()

    assert told, "and what Redis was granted counts as used until it is back"
    assert windows.recall(alice.user.pk) is None
    assert windows.peek(alice.user.pk, NOON) is None


def test_q12_a_call_of_the_database_is_released_once(alice):
    windows.breaker.failed()
    admission = ask(alice)
    Reservation.objects.all().delete()  # a sweeper was first

    assert release(admission) is False
    assert Quota.objects.get().hour_used == 1


def test_q11_one_hold_that_cannot_be_settled_does_not_keep_the_others(
    alice, charlie, monkeypatch, caplog
):
    windows.breaker.failed()
    for person in (alice, charlie):
        ask(person, now=NOON)
    kept = ledger._settle_row

    def settle_row(call):
        if call["user_id"] == alice.user.pk:
            raise IntegrityError("a value that nobody may read")
        kept(call)

    monkeypatch.setattr(ledger, "_settle_row", settle_row)

    assert sweep_reservations(now=NOON + timedelta(hours=1)) == 1
    assert UsageRecord.objects.get().user_id == charlie.user.pk
    assert "could not settle" in caplog.text


def test_a_dead_connection_inside_a_transaction_is_not_mended_in_secret():
    """What ran before it in the transaction would be lost."""

    def dead(*args):
        raise OperationalError

    with transaction.atomic():
        with pytest.raises(OperationalError):
            surely(dead)
        assert connection.connection is not None


@pytest.mark.django_db(transaction=True)
def test_q2_a_batch_is_written_by_a_fresh_connection(alice, settings):
    settings.USAGE_WRITE_SECONDS = 60
    admission = ask(alice)
    settle(admission, Settlement(tokens_in=5))
    with connection.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert the_outbox.write() == 1
    assert record_of(admission).tokens_in == 5


@pytest.fixture
def call(alice) -> Call:
    return new_call(
        alice.principal,
        tier=tier(),
        feature="basic_chat",
        endpoint="x",
        request_id="r",
        now=NOON,
    )


def taken(verdict, *, hour=0, day=0):
    return windows.Taken(verdict, NOON, hour, day, 0, "lease", 0, 0, 0)


def test_a_refusal_of_redis_that_the_tier_of_now_would_not_make_is_asked_again(call):
    """Staff raised the limit between the two."""
    assert at_once(call, taken(Verdict.REFUSED)) is None
    assert at_once(call, taken(Verdict.ASK_DATABASE)) is None
    assert at_once(call, None) is None


def test_a_call_given_back_after_its_windows_counts_in_no_other():
    hour, day = NOON.replace(minute=0), NOON.replace(hour=0, minute=0)
    quota = Quota(hour_start=hour, day_start=day, hour_used=3, day_used=3)

    quota.take_back(NOON - timedelta(hours=1))
    quota.take_back(NOON - timedelta(days=2))

    assert (quota.hour_used, quota.day_used) == (3, 2)


def test_redis_is_really_gone_in_these_tests(gone):
    gone()
    with pytest.raises(RedisDown):
        client().ping()
