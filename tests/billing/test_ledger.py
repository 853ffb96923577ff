"""Settle, release, sweep: one record per call, or none at all."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from aiassist.lib.errors import QuotaExceeded
from billing.metering import windows
from billing.metering.admission import limits_for
from billing.metering.holds import n_open
from billing.metering.ledger import (
    Settlement,
    _call_of,
    release,
    settle,
    sweep_reservations,
)
from billing.metering.outbox import write_calls
from billing.models import UsageRecord
from billing.models.ledger import LedgerIsFinal
from billing.privacy import erase
from tests.billing.people import NOON, ask, record_of, tier, use

pytestmark = pytest.mark.django_db


def test_q2_a_settled_call_leaves_one_whole_record(alice):
    admission = ask(alice, now=NOON, request_id="req_1")
    spent = Settlement(
        provider="openai",
        model="gpt",
        tokens_in=30,
        tokens_out=12,
        cost_usd_micros=77,
        latency_ms=900,
        first_token_ms=120,
        workspace_id="workspace_1",
        upstream="eu",
        own_key=True,
        fallback="upstream",
    )
    settle(admission, spent)

    record: dict[str, Any] = dict(UsageRecord.objects.values().get())
    assert record.pop("id").startswith("rec_")
    assert record.pop("created_at") > NOON
    assert record == {
        "reservation_id": admission.reservation_id,
        "user_id": alice.user.pk,
        "request_id": "req_1",
        "key_id": alice.api_key.pk,
        "workspace_id": "workspace_1",
        "tier_code": "free",
        "endpoint": "POST /chat",
        "feature": "basic_chat",
        "provider": "openai",
        "model": "gpt",
        "upstream": "eu",
        "own_key": True,
        "fallback": "upstream",
        "tokens_in": 30,
        "tokens_out": 12,
        "cost_usd_micros": 77,
        "estimated": False,
        "status": "ok",
        "latency_ms": 900,
        "first_token_ms": 120,
        "admitted_at": NOON,
    }
    assert n_open(alice.user.pk) == 0


def test_totals_of_the_user_are_kept_current(alice):
    use(alice, tokens_in=3, tokens_out=4)
    use(alice, tokens_in=10)
    alice.user.refresh_from_db()

    assert (alice.user.requests_total, alice.user.tokens_total) == (2, 17)


def test_settling_twice_is_settling_once(alice):
    admission = ask(alice)
    assert settle(admission, Settlement(tokens_in=5))
    assert not settle(admission, Settlement(tokens_in=900, status="error"))
    alice.user.refresh_from_db()

    assert record_of(admission).tokens_in == 5
    assert (alice.user.requests_total, alice.user.tokens_total) == (1, 5)


def test_q3_a_provider_that_reports_nothing_is_billed_nothing(alice):
    record = use(alice, provider="openai", tokens_in=0, cost_usd_micros=0)
    assert (record.tokens_in, record.cost_usd_micros, record.estimated) == (0, 0, False)


def test_q3_an_estimate_is_marked_as_one(alice):
    assert use(alice, tokens_in=9, estimated=True).estimated


def test_q12_a_released_call_costs_and_counts_nothing(alice, redis_client):
    use(alice, now=NOON)
    admission = ask(alice, now=NOON)
    assert release(admission)

    limits = limits_for(alice.user, now=NOON)
    assert (limits.hour.used, limits.day.used, limits.concurrency.used) == (1, 1, 0)
    assert UsageRecord.objects.count() == 1
    kept = redis_client.hgetall(f"quota:{{{alice.user.pk}}}")
    assert (kept["hour"], kept["left"]) == ("2", "1")
    assert redis_client.zcard(f"slots:{{{alice.user.pk}}}") == 0


def test_q12_releasing_twice_gives_back_once(alice):
    use(alice, now=NOON)
    admission = ask(alice, now=NOON)
    assert release(admission)
    assert not release(admission)
    assert limits_for(alice.user, now=NOON).hour.used == 1


def test_q12_a_settled_call_cannot_be_released(alice):
    admission = ask(alice, now=NOON)
    settle(admission, Settlement())
    assert not release(admission)
    assert limits_for(alice.user, now=NOON).hour.used == 1


def test_a_released_call_cannot_be_settled(alice):
    admission = ask(alice)
    release(admission)
    assert not settle(admission, Settlement(tokens_in=5))
    assert not UsageRecord.objects.exists()


def test_a_call_released_in_the_next_hour_gives_the_old_one_back(alice):
    """The hour that runs now must not lose a count of its own."""
    admission = ask(alice, now=NOON)
    later = NOON + timedelta(hours=1)
    use(alice, now=later)
    release(admission)

    limits = limits_for(alice.user, now=later)
    assert (limits.hour.used, limits.day.used) == (1, 1)


def test_a_request_id_that_the_client_repeats_costs_each_time(alice):
    first = use(alice, request_id="mine")
    second = use(alice, request_id="mine")

    assert first.request_id == "mine"
    assert second.request_id.startswith("mine.")


def test_two_users_may_send_the_same_request_id(alice, charlie):
    assert use(alice, request_id="same").request_id == "same"
    assert use(charlie, request_id="same").request_id == "same"


def test_q11_the_sweeper_settles_what_a_dead_process_held(alice):
    tier(max_concurrent=1)
    admission = ask(alice, now=NOON)
    assert sweep_reservations(now=NOON + timedelta(seconds=629)) == 0
    assert sweep_reservations(now=NOON + timedelta(seconds=630)) == 1
    assert sweep_reservations(now=NOON + timedelta(seconds=630)) == 0

    record = UsageRecord.objects.get(reservation_id=admission.reservation_id)
    assert (record.status, record.estimated) == ("abandoned", True)
    limits = limits_for(alice.user, now=NOON)
    assert (limits.hour.used, limits.concurrency.used) == (1, 0)


def test_a_call_that_no_table_takes_does_not_keep_the_others(alice, caplog):
    first, second = ask(alice), ask(alice)
    calls = [_call_of(admission, Settlement()) for admission in (first, second)]
    calls[0]["status"] = "unheard of"
    write_calls(calls)

    assert UsageRecord.objects.get() == record_of(second)
    assert first.reservation_id in caplog.text


def test_m5_what_no_column_takes_is_left_out(alice):
    """A provider may call itself anything."""
    model = "x\ud800" + "y" * 500
    record = use(alice, provider="a\0b", model=model, tokens_in=2**70)

    assert (record.provider, record.model) == ("ab", "x" + "y" * 119)
    assert record.tokens_in == 2**63 - 1


def test_a_call_settles_while_redis_is_away(alice, redis_server):
    admission = ask(alice)
    redis_server.kill()
    assert settle(admission, Settlement())
    assert record_of(admission)
    assert release(admission) is False


def test_an_abandoned_call_that_settles_late_stays_as_it_is(alice, caplog):
    admission = ask(alice, now=NOON)
    sweep_reservations(now=NOON + timedelta(hours=1))
    settle(admission, Settlement(tokens_in=5))

    record = record_of(admission)
    assert (record.status, record.tokens_in) == ("abandoned", 0)
    assert "given up" in caplog.text


def kill_the_connection():
    """As a restart of PostgreSQL does."""
    with connection.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.django_db(transaction=True)
def test_q2_a_database_that_was_restarted_does_not_make_a_call_free(alice):
    windows.breaker.failed()
    admission = ask(alice)
    kill_the_connection()
    settle(admission, Settlement(tokens_in=5))

    assert record_of(admission).tokens_in == 5


@pytest.mark.django_db(transaction=True)
def test_q12_a_database_that_was_restarted_does_not_make_a_failure_cost(alice):
    windows.breaker.failed()
    admission = ask(alice)
    kill_the_connection()
    assert release(admission)


def test_a_record_cannot_be_edited_or_deleted(alice):
    record = use(alice)
    record.tokens_in = 1
    with pytest.raises(LedgerIsFinal):
        record.save()
    with pytest.raises(LedgerIsFinal):
        record.delete()
    with pytest.raises(LedgerIsFinal):
        UsageRecord.objects.update(tokens_in=1)
    with pytest.raises(LedgerIsFinal):
        UsageRecord.objects.all().delete()


def test_the_database_itself_refuses_an_edit(alice):
    use(alice)
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        UsageRecord._base_manager.update(cost_usd_micros=0)


def test_d5_an_erased_users_records_stay_without_a_name(alice, charlie, redis_client):
    use(alice, tokens_in=7, request_id="canary", workspace_id="workspace_canary")
    use(charlie, tokens_in=8)
    held = ask(alice)
    assert erase(alice.user) == 3  # a record and two keys of Redis
    alice.user.delete()
    settle(held, Settlement(tokens_in=9))  # nothing new under the name

    rows = UsageRecord.objects.order_by("tokens_in").values_list("user_id", "tokens_in")
    assert list(rows) == [(None, 7), (charlie.user.pk, 8), (None, 9)]
    forgotten = UsageRecord.objects.filter(user=None)
    names = forgotten.values_list("request_id", "key_id", "workspace_id")
    assert set(names) == {("", "", "")}
    assert redis_client.keys(f"*{alice.user.pk}*") == []


def test_d5_an_erasure_goes_on_without_redis(alice, redis_server):
    use(alice)
    redis_server.kill()
    assert erase(alice.user) == 1


def test_d5_forgetting_cannot_be_used_to_edit(alice):
    use(alice)
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        UsageRecord._base_manager.update(user=None, tokens_in=9)


def test_a_full_window_stays_full_when_calls_settle(alice):
    tier(requests_per_hour=2)
    admissions = [ask(alice, now=NOON) for _ in range(2)]
    for admission in admissions:
        settle(admission, Settlement())

    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
