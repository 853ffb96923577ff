"""Real processes, real PostgreSQL, a Redis that is killed, frozen and flushed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from accounts.keys import create_key
from aiassist.lib.errors import QuotaExceeded
from aiassist.lib.redis import client
from billing.metering import windows
from billing.metering.admission import limits_for
from billing.metering.holds import open_holds
from billing.metering.ledger import (
    Settlement,
    ledger_counts,
    settle,
    sweep_reservations,
)
from billing.models import Quota, Reservation, UsageRecord
from tests.billing.load import Load
from tests.billing.people import NOON, ask, tier, use
from tests.support.ports import wait_for
from tests.support.processes import django_env

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 100


@pytest.fixture
def keys(alice):
    """Five keys of Alice's."""
    return [create_key(alice.user, f"key {n}")[0].pk for n in range(5)]


def spent(person):
    """Return what the ledger says was spent; the quota row must not say less."""
    quota = Quota.objects.get(pk=person.user.pk)
    hour, day = ledger_counts(person.user, now=NOON)
    assert hour <= quota.hour_used
    assert day <= quota.day_used
    return hour


def is_full(person):
    return limits_for(person.user, now=NOON).hour.remaining == 0


def test_q1_of_a_thousand_parallel_calls_exactly_a_hundred_pass(alice, keys, tmp_path):
    """Q1: limit 100, 1,000 calls, four processes, five keys."""
    tier(requests_per_hour=LIMIT, max_concurrent=10_000)
    load = Load(
        tmp_path,
        user=alice.user.pk,
        keys=keys,
        env=django_env(),
        n=4,
        calls=250,
        threads=8,
        end_calls=False,
    )
    with load:
        load.go()
        result = load.result()

    assert result["admitted"] == LIMIT
    assert result["refused: hour"] == 900
    assert len(open_holds(alice.user.pk)) == LIMIT
    assert not Reservation.objects.exists()
    assert spent(alice) == LIMIT
    kept = client().hgetall(f"quota:{{{alice.user.pk}}}")
    assert (kept["hour"], kept["left"]) == (str(LIMIT), "0")


def test_q1_the_last_calls_of_a_window_wait_for_a_block_on_its_way(alice, monkeypatch):
    """One process has been granted the last two; another asks before they arrive."""
    tier(requests_per_hour=40, requests_per_day=400, max_concurrent=50)
    principal = alice.principal
    for _ in range(38):
        ask(alice, now=NOON, principal=principal)
    put, held = windows.put, threading.Event()

    def slow(grant, want):
        if grant.n_calls > 1:
            held.set()
            time.sleep(0.3)
        return put(grant, want)

    monkeypatch.setattr(windows, "put", slow)

    def other():
        try:
            ask(alice, now=NOON, principal=principal)
        finally:
            connection.close()

    first = threading.Thread(target=other)
    first.start()
    assert held.wait(5)
    assert ask(alice, now=NOON, principal=principal).limits.hour.used == 40
    first.join()
    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON, principal=principal)


def test_q1_slots_are_exact_too(alice, keys, tmp_path):
    tier(requests_per_hour=10_000, requests_per_day=10_000, max_concurrent=7)
    load = Load(
        tmp_path,
        user=alice.user.pk,
        keys=keys,
        env=django_env(),
        n=2,
        calls=150,
        end_calls=False,
    )
    with load:
        load.go()
        result = load.result()

    assert result["admitted"] == 7
    assert result["refused: concurrency"] == 293


def test_q6_spend_never_exceeds_quota_whatever_befalls_redis(
    alice, keys, tmp_path, redis_server
):
    """Q6: FLUSHALL, kill -9, an old snapshot and kill -STOP under load."""
    limit = 600
    tier(requests_per_hour=limit, requests_per_day=10_000, max_concurrent=10_000)
    load = Load(
        tmp_path,
        user=alice.user.pk,
        keys=keys,
        env=django_env(REDIS_URL=redis_server.url),
        n=3,
        threads=4,
        pause_seconds=0.03,
    )
    seen = []

    def watch():
        seen.append(load.n_admitted)

    with load, redis_server.client() as redis:
        load.go()
        for _ in range(8):
            redis.flushall()
            watch()
            time.sleep(0.05)
        redis.save()
        time.sleep(0.3)
        redis_server.kill()
        time.sleep(0.3)
        watch()
        redis_server.start()  # with the counts of the snapshot, lower than the true
        load.processes[0].kill()
        watch()
        redis_server.freeze()
        time.sleep(1.5)
        watch()
        redis_server.thaw()
        for _ in range(8):
            redis.flushall()
            watch()
            time.sleep(0.1)
        # What lost leases had left is not given again, so that it ends below.
        wait_for(lambda: is_full(alice), seconds=40)
        time.sleep(0.5)  # more load on a full window
        result = load.finish()

    watch()
    assert max(seen) <= limit
    # A call that was released last left room for another: use it, and no more.
    n_late = 0
    with pytest.raises(QuotaExceeded):
        for _ in range(limit):
            use(alice, now=NOON + timedelta(minutes=5))
            n_late += 1
    assert load.n_admitted + n_late <= limit
    assert spent(alice) <= limit
    # Each loss halves what the next one may cost.
    assert load.n_admitted + n_late >= limit * 0.7
    assert result["refused: hour"] > 0
    # A timeout of half a second once per process, and what a busy machine adds.
    assert result["slowest_seconds"] < 5


def test_q6_without_redis_the_database_alone_is_exact(
    alice, keys, tmp_path, redis_server
):
    redis_server.kill()
    tier(requests_per_hour=LIMIT, max_concurrent=10_000)
    load = Load(
        tmp_path,
        user=alice.user.pk,
        keys=keys,
        env=django_env(REDIS_URL=redis_server.url),
        n=2,
        calls=225,
        end_calls=False,
    )
    with load:
        load.go()
        result = load.result()

    assert (result["admitted"], result["refused: hour"]) == (LIMIT, 350)
    assert spent(alice) == LIMIT


def test_q6_a_frozen_redis_is_waited_for_once(alice, redis_server):
    """The first call pays the timeout of half a second, the breaker spares the rest."""
    tier(max_concurrent=50)
    ask(alice, now=NOON)
    redis_server.freeze()

    started = time.monotonic()
    for _ in range(12):
        ask(alice, now=NOON)
    assert 0.4 < time.monotonic() - started < 4  # twelve waits would take six


def test_q6_what_the_database_decided_meanwhile_counts_when_redis_is_back(
    alice, redis_server
):
    """Frozen Redis comes back with counts from before."""
    tier(requests_per_hour=3)
    ask(alice, now=NOON)
    redis_server.freeze()
    ask(alice, now=NOON)
    ask(alice, now=NOON)
    redis_server.thaw()

    windows.breaker.succeeded()  # its rest is over

    with redis_server.client() as redis:
        assert int(redis.hget(f"quota:{{{alice.user.pk}}}", "hour")) < 3
    with pytest.raises(QuotaExceeded):
        ask(alice, now=NOON)
    assert spent(alice) == 3


def test_q11_what_a_killed_process_held_is_freed(alice, keys, tmp_path):
    """Q11: kill -9 between reserve and settle."""
    tier(max_concurrent=3)
    load = Load(
        tmp_path,
        user=alice.user.pk,
        keys=keys,
        env=django_env(),
        n=1,
        threads=1,
        end_calls=False,
        pause_seconds=0.05,
    )
    with load:
        load.go()
        load.processes[0].wait_for_output("ready")
        wait_for(lambda: len(open_holds(alice.user.pk)) == 3)
        load.processes[0].kill()

    assert limits_for(alice.user, now=NOON).concurrency.remaining == 0
    later = NOON + timedelta(seconds=660)
    assert limits_for(alice.user, now=later).concurrency.remaining == 3
    assert sweep_reservations(now=later) == 3
    assert set(UsageRecord.objects.values_list("status", flat=True)) == {"abandoned"}
    assert ask(alice, now=later)


def test_q12_settling_in_parallel_leaves_one_record(alice):
    admission = ask(alice)

    def run(number):
        try:
            return number if settle(admission, Settlement(tokens_in=number)) else 0
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        (winner,) = filter(None, pool.map(run, range(1, 9)))

    assert UsageRecord.objects.get().tokens_in == winner
    assert UsageRecord.objects.count() == 1
    alice.user.refresh_from_db()
    assert alice.user.requests_total == 1
    assert alice.user.tokens_total == UsageRecord.objects.get().tokens_in


def test_sweeping_and_settling_in_parallel_leave_one_record_each(alice):
    tier(max_concurrent=50)
    admissions = [ask(alice, now=NOON) for _ in range(20)]

    def run(admission):
        try:
            if admission is None:
                sweep_reservations(now=NOON + timedelta(hours=1))
            else:
                settle(admission, Settlement())
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, [None, *admissions[:10], None, *admissions[10:], None]))

    assert UsageRecord.objects.count() == 20
    assert open_holds() == []
    alice.user.refresh_from_db()
    assert alice.user.requests_total == 20
