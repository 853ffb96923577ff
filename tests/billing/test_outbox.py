"""Settled calls are written in batches: none is lost, none is written twice."""

import json
import threading

import pytest
from django.db import connection

from accounts.own_data.erasure import delete_user, erase
from billing.metering import windows
from billing.metering.holds import n_open
from billing.metering.ledger import Settlement, settle, sweep_reservations
from billing.metering.outbox import STREAM, drain, outbox, write_everything
from billing.models import UsageRecord
from billing.reporting.insights import insights
from billing.reporting.usage import report
from tests.billing.people import NOON, ask, tier
from tests.support.ports import wait_for
from tests.support.processes import Process, django_env, python

pytestmark = pytest.mark.django_db(transaction=True)

_SETTLE_THREE = """
import sys, time
import django; django.setup()
from accounts.models import User
from accounts.principals import Principal
from billing.metering.admission import admit
from billing.metering.ledger import Settlement, settle
me = Principal(User.objects.get(pk=sys.argv[1]), "api_key", "key_1", frozenset())
for n in range(3):
    call = admit(me, feature="search", endpoint="x", request_id=f"req_{n}")
    settle(call, Settlement(tokens_in=5))
admit(me, feature="search", endpoint="x", request_id="req_running")
print("settled", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _in_batches(settings):
    """The thread sleeps: what is written is written by who the test says."""
    settings.USAGE_WRITE_SECONDS = 60


def spend(person, **spent):
    admission = ask(person)
    settle(admission, Settlement(**spent))
    return admission


def written():
    return UsageRecord.objects.count()


def test_a_settled_call_waits_in_the_process_and_in_redis(alice, redis_client):
    spend(alice, tokens_in=5)

    assert (written(), redis_client.xlen(STREAM)) == (0, 1)
    assert n_open(alice.user.pk) == 0  # its slot is free at once
    assert outbox.write() == 1
    assert (written(), redis_client.xlen(STREAM)) == (1, 0)


def test_a_thread_writes_what_waits(alice, settings):
    settings.USAGE_WRITE_SECONDS = 1
    spend(alice)
    wait_for(lambda: written() == 1)


def test_q2_a_process_killed_between_settling_and_writing_loses_nothing(
    alice, tmp_path, redis_client
):
    """kill -9: its calls are in Redis, and anybody writes them."""
    script = python("-c", _SETTLE_THREE, alice.user.pk)
    env = django_env(USAGE_WRITE_SECONDS="60")
    with Process(script, log=tmp_path / "spender.log", env=env) as spender:
        spender.wait_for_output("settled")
        spender.kill()

    assert (written(), redis_client.xlen(STREAM)) == (0, 3)
    assert n_open(alice.user.pk) == 1  # Q11: until the longest stream's time is over
    assert drain() == 3
    assert list(UsageRecord.objects.values_list("tokens_in", flat=True)) == [5, 5, 5]
    alice.user.refresh_from_db()
    assert (alice.user.requests_total, alice.user.tokens_total) == (3, 15)


def test_q6_a_redis_that_forgets_loses_no_record(alice, redis_client):
    spend(alice, tokens_in=5)
    redis_client.flushall()
    outbox.write()

    assert UsageRecord.objects.get().tokens_in == 5


def test_q6_without_redis_a_record_is_written_at_once(alice, redis_server):
    admission = ask(alice)
    redis_server.kill()
    settle(admission, Settlement(tokens_in=5))

    assert UsageRecord.objects.get().tokens_in == 5


def test_a_slot_that_redis_could_not_be_told_of_is_freed_when_it_is_back(
    alice, redis_server
):
    admission = ask(alice)
    redis_server.freeze()
    settle(admission, Settlement())
    redis_server.thaw()
    windows.breaker.succeeded()
    outbox._pay()

    assert n_open(alice.user.pk) == 0


def test_many_writers_write_each_call_once(alice):
    tier(max_concurrent=50)
    for _ in range(30):
        spend(alice, tokens_in=1)

    def run(write):
        try:
            write()
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=[write])
        for write in (outbox.write, drain, drain, outbox.write, drain)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert written() == 30
    alice.user.refresh_from_db()
    assert (alice.user.requests_total, alice.user.tokens_total) == (30, 30)


def test_beat_leaves_what_a_living_process_will_write(alice):
    spend(alice)
    assert drain(older_than_seconds=15) == 0
    assert drain() == 1


def test_the_sweeper_writes_what_nobody_else_has(alice, redis_client):
    spend(alice)
    ((_, fields),) = redis_client.xrange(STREAM)
    redis_client.delete(STREAM)
    redis_client.xadd(STREAM, fields, id="1-1")  # from long ago
    sweep_reservations()
    assert written() == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda person: report(person.user, "day").totals.requests,
        lambda person: insights(person.user).patterns,
        lambda person: person.api.get("/api/v1/usage/records").json()["results"],
        lambda person: list(
            person.api.get("/api/v1/usage/records?format=csv").streaming_content
        )[1],
    ],
)
def test_who_reads_sees_their_own_last_call(alice, read):
    alice.api  # noqa: B018 - makes the key
    spend(alice)
    assert read(alice)
    assert written() == 1


def test_m5_what_waits_in_redis_is_ids_and_numbers(alice, redis_client):
    spend(alice, provider="openai", model="gpt", workspace_id="workspace_1")
    ((_, fields),) = redis_client.xrange(STREAM)

    columns = {f.attname for f in UsageRecord._meta.concrete_fields}
    assert set(json.loads(fields["call"])) == columns - {"id", "created_at"}
    assert alice.user.email not in fields["call"]


def test_d5_an_erasure_finds_what_waits_and_what_still_runs(
    alice, redis_client, django_capture_on_commit_callbacks
):
    spend(alice, tokens_in=7, workspace_id="workspace_canary")
    running = ask(alice)
    user_id = alice.user.pk
    delete_user(alice.user, None)
    erase(user_id)
    settle(running, Settlement(tokens_in=9, workspace_id="workspace_canary"))
    write_everything()

    rows = UsageRecord.objects.order_by("tokens_in").values_list(
        "user_id", "request_id", "key_id", "workspace_id", "tokens_in"
    )
    assert {name for row in rows for name in row[:-1]} == {None, ""}
    assert [row[-1] for row in rows] == [7, 9]
    assert redis_client.keys(f"*{user_id}*") == []
    assert redis_client.xlen(STREAM) == redis_client.hlen("holds") == 0


def test_a_call_older_than_its_user_s_last_moment_is_kept_nameless(alice):
    """Written by another process after the row is gone."""
    spend(alice, tokens_in=3)
    delete_user(alice.user, None)
    write_everything()

    assert UsageRecord.objects.get().user_id is None
    assert sweep_reservations(now=NOON) == 0
