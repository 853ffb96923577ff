"""What limits refuse is counted for staff, at no cost to who refuses."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, DataError

from accounts.own_data.erasure import delete_user
from aiassist.lib import clock
from aiassist.lib.errors import FeatureNotInTier, ProviderNotInTier, QuotaExceeded
from billing.metering import refusals
from billing.metering.gates import require_feature
from billing.metering.outbox import Outbox, write_everything
from billing.models import Refusal
from tests.billing.people import NOON, ask, tier, use

pytestmark = pytest.mark.django_db


def refused(person, *, now):
    with pytest.raises(QuotaExceeded):
        ask(person, now=now)


def test_refusals_of_a_minute_are_one_row_whoever_writes_them(alice, charlie):
    tier("free", requests_per_hour=1)
    for person in (alice, charlie):
        use(person, now=NOON)
    for seconds in (1, 2, 59):
        refused(alice, now=NOON + timedelta(seconds=seconds))
    refused(charlie, now=NOON + timedelta(seconds=5))
    refusals.write()
    for seconds in (30, 61):
        refused(alice, now=NOON + timedelta(seconds=seconds))
    refusals.write()

    rows = Refusal.objects.for_user(alice.user.pk).order_by("minute")
    assert list(rows.values_list("n_calls", "first_at", "last_at")) == [
        (4, NOON + timedelta(seconds=1), NOON + timedelta(seconds=59)),
        (1, NOON + timedelta(seconds=61), NOON + timedelta(seconds=61)),
    ]
    assert (rows[0].reason, rows[0].tier_code) == ("quota_exceeded (hour)", "free")
    assert Refusal.objects.for_user(charlie.user.pk).get().n_calls == 1


def test_to_refuse_asks_no_database_for_the_note(alice, django_assert_num_queries):
    free = tier("free", features=[])
    with pytest.raises(FeatureNotInTier) as lacking:
        require_feature(free, "basic_chat")
    with django_assert_num_queries(0):
        refusals.note(alice.user.pk, free, "basic_chat", lacking.value)


def test_what_the_database_does_not_take_waits(alice, monkeypatch):
    tier("free", requests_per_hour=0)
    refused(alice, now=NOON)

    def away(taken):
        raise DatabaseError

    with monkeypatch.context() as patched:
        patched.setattr(refusals, "_write", away)
        assert refusals.write()
    assert not Refusal.objects.exists()
    write_everything()
    assert Refusal.objects.get().n_calls == 1


def test_one_that_no_table_takes_keeps_no_other_and_is_not_tried_for_ever(
    alice, charlie, caplog
):
    free = tier("free")
    for person, provider in ((alice, "a"), (alice, "\0"), (charlie, "b")):
        lacking = ProviderNotInTier(used=provider)
        refusals.note(person.user.pk, free, "basic_chat", lacking)

    assert refusals.write()
    assert set(Refusal.objects.values_list("provider", flat=True)) == {"a", "b"}
    assert not refusals.write()
    assert "could not count a refusal (DataError)" in caplog.text


def test_what_was_written_before_the_database_went_is_counted_once(alice, monkeypatch):
    tier("free", requests_per_hour=0)
    for _ in range(4):
        refused(alice, now=NOON)
    real, ends = refusals._write, iter([DataError, None, DatabaseError])

    def write(taken):
        if end := next(ends):
            raise end
        real(taken)

    with monkeypatch.context() as patched:
        patched.setattr(refusals, "_write", write)
        refusals.write()
    assert Refusal.objects.get().n_calls == 2
    refusals.write()
    assert Refusal.objects.get().n_calls == 4


def test_the_thread_of_usage_records_writes_them(alice):
    """One thread of a process writes, and gives its connection back."""
    told = []

    def write():
        told.append("written")
        return True

    outbox = Outbox()
    outbox.writes_too(write)
    outbox._write_in_peace()

    assert told == ["written"]


def test_d5_nobody_is_refused_after_their_erasure(alice):
    tier("free", requests_per_hour=0)
    refused(alice, now=NOON)
    delete_user(alice.user, None)
    refusals.write()

    assert not Refusal.objects.exists()


def test_old_refusals_go(alice):
    tier("free", requests_per_hour=0)
    for moment in (NOON, NOON + refusals.KEPT):
        refused(alice, now=moment)
    refusals.write()

    assert refusals.prune(now=NOON + refusals.KEPT + timedelta(minutes=1)) == 1
    assert Refusal.objects.count() == 1
    assert refusals.prune(now=clock.now()) <= 1
