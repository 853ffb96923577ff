"""W7, W10, W12: what receivers get, and what becomes of those that misbehave."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from prometheus_client import REGISTRY
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from accounts import mails
from accounts.keys import create_key
from accounts.models import ApiKey, User, Webhook, WebhookDelivery
from accounts.webhooks import endpoints, events, sending
from aiassist.lib.clock import now
from aiassist.lib.egress import Caps
from tests.accounts.test_webhooks import WEBHOOKS, account
from tests.fakes.webhook_receiver import Heard, Receiver
from tests.support.people import Person
from tests.support.processes import Process, django_env, python, unmeasured
from tests.support.queue import SentTasks

PAST = now() - timedelta(days=1)


@pytest.fixture
def receiver(tmp_path: Path, settings: Any) -> Iterator[Receiver]:
    fake = Receiver(tmp_path).start()
    settings.WEBHOOK_ALLOWED_HOSTS = [fake.host]
    settings.WEBHOOK_CA_FILE = fake.ca_file
    yield fake
    fake.stop()


class Told:
    """Alice's webhook at the receiver, and its secret."""

    def __init__(self, person: Person, receiver: Receiver) -> None:
        self.user, self.receiver = person.user, receiver
        self.row, self.secret = endpoints.create_webhook(
            user=person.user, url=receiver.url
        )

    def event(self) -> WebhookDelivery:
        """Have something happen; return its delivery."""
        create_key(self.user, "told")
        return self.row.deliveries.latest("created_at")

    def turn(self) -> WebhookDelivery:
        """Let all pauses be over and a worker take its turn; return the newest."""
        Webhook.objects.update(not_before=None)
        self.row.deliveries.waiting().update(next_at=PAST)
        sending.send_waiting(self.row.pk)
        sending.tell_owners()
        self.row.refresh_from_db()
        return self.row.deliveries.latest("created_at")


@pytest.fixture
def told(alice: Person, receiver: Receiver, queue: SentTasks) -> Told:
    return Told(alice, receiver)


def verified(secret: str, heard: Heard) -> dict[str, Any]:
    message: dict[str, Any] = Verifier(secret).verify(heard.body, heard.headers)
    return message


def test_w7_the_public_library_verifies_what_arrives(
    told: Told, receiver: Receiver, queue: SentTasks
) -> None:
    event = told.event()
    queue.run()

    (heard,) = receiver.heard
    message = verified(told.secret, heard)
    assert message.keys() == {"type", "timestamp", "data"}
    assert (message["type"], message["data"]) == ("key.created", event.data)
    assert heard.headers["webhook-id"] == event.event_id
    assert heard.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Verifier(told.secret).verify(heard.body + b" ", heard.headers)
    event.refresh_from_db()
    assert (event.state, event.outcome) == ("delivered", "delivered")
    assert (event.attempts, event.response_status) == (1, 204)


def test_w7_after_a_rotation_both_secrets_sign_for_a_day(
    told: Told, receiver: Receiver
) -> None:
    new = endpoints.rotate_secret(webhook=told.row)
    told.event()
    told.turn()
    Webhook.objects.update(previous_secret_until=PAST)
    told.event()
    told.turn()

    during, after = receiver.heard
    assert len(during.headers["webhook-signature"].split()) == 2
    assert verified(new, during) == verified(told.secret, during)
    assert verified(new, after)
    with pytest.raises(WebhookVerificationError):
        verified(told.secret, after)


def test_w7_a_second_try_has_the_same_id_and_body_and_a_new_time(
    told: Told, receiver: Receiver
) -> None:
    receiver.will(500)
    told.event()
    told.turn()
    told.turn()

    first, second = receiver.heard
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert verified(told.secret, second)


def test_w10_a_receiver_that_hangs_is_left_in_time(
    told: Told, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sending.CAPS.total_seconds <= 10
    quick = Caps(connect_seconds=2, first_byte_seconds=0.3, total_seconds=0.3)
    monkeypatch.setattr(sending, "CAPS", quick)
    receiver.will_hang()
    told.event()

    began = time.monotonic()
    delivery = told.turn()

    assert time.monotonic() - began < 6
    assert (delivery.state, delivery.outcome) == ("waiting", "egress_timeout")
    assert delivery.response_status is None


def test_w10_of_an_endless_answer_nothing_is_read(
    told: Told, receiver: Receiver
) -> None:
    receiver.will_flood()
    told.event()

    began = time.monotonic()
    assert told.turn().state == "delivered"
    assert time.monotonic() - began < 6


def test_w10_a_redirect_is_not_followed(told: Told, receiver: Receiver) -> None:
    receiver.will(302, location=f"https://{receiver.host}/elsewhere")
    told.event()

    delivery = told.turn()

    assert [heard.path for heard in receiver.heard] == ["/hook"]
    assert (delivery.state, delivery.outcome) == ("waiting", "redirected")


def test_w10_410_disables_and_mails(told: Told, receiver: Receiver) -> None:
    receiver.will(410)
    told.event()
    other = told.event()

    told.turn()

    assert told.row.disabled_reason == "gone"
    assert {d.state for d in told.row.deliveries.all()} == {"failed"}
    other.refresh_from_db()
    assert other.outcome == "webhook_disabled"
    (message,) = mail.outbox
    assert message.to == [told.user.email]
    assert receiver.host in message.subject and "410" in message.body
    told.turn()
    assert len(receiver.heard) == 1


def test_w10_an_overflowing_webhook_is_disabled_and_its_owner_told(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_WAITING", 2)
    for _ in range(3):
        told.event()
    assert not mail.outbox  # nobody's act waits for a mail server

    assert [sending.tell_owners(), sending.tell_owners()] == [1, 0]

    told.row.refresh_from_db()
    assert told.row.disabled_reason == "overflowing"
    assert not told.row.deliveries.waiting().exists()
    (message,) = mail.outbox
    assert message.to == [told.user.email] and "more messages wait" in message.body


def test_a_mail_that_cannot_be_sent_stays_due_and_keeps_no_other(
    alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (alice, charlie):
        row, _ = endpoints.create_webhook(user=person.user, url="https://a.test/")
        events.disable(row, Webhook.Disabled.GONE)
    send = mails.send_mail

    def refuse_alice(name: str, *, to: str, context: Any) -> None:
        if to == alice.user.email:
            raise SMTPRecipientsRefused({})
        send(name, to=to, context=context)

    monkeypatch.setattr(sending, "send_mail", refuse_alice)
    assert sending.tell_owners() == 1
    monkeypatch.undo()

    assert sending.tell_owners() == 1
    assert {m.to[0] for m in mail.outbox} == {alice.user.email, charlie.user.email}


def test_each_try_is_counted_by_what_came_of_it(told: Told, receiver: Receiver) -> None:
    def n(outcome: str) -> float:
        labels = {"outcome": outcome}
        return REGISTRY.get_sample_value("aiassist_webhook_tries_total", labels) or 0

    before = n("refused"), n("delivered")
    receiver.will(500)
    told.event()
    told.turn()
    told.turn()

    assert (n("refused"), n("delivered")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_w10_retry_after_is_kept_to(
    told: Told, receiver: Receiver, status: int, as_date: bool
) -> None:
    hours = now() + timedelta(hours=2)
    receiver.will(
        status, retry_after=format_datetime(hours, usegmt=True) if as_date else "7200"
    )
    told.event()

    delivery = told.turn()

    assert delivery.next_at is not None and told.row.not_before is not None
    for moment in (delivery.next_at, told.row.not_before):
        assert abs(moment - hours) < timedelta(seconds=30)


@pytest.mark.parametrize("value", ["", "soon", "-5", "9" * 30, "Mon, 99 Foo 2026"])
def test_w10_an_odd_retry_after_changes_nothing(
    told: Told, receiver: Receiver, value: str
) -> None:
    receiver.will(429, retry_after=value)
    told.event()

    delivery = told.turn()

    assert delivery.next_at is not None
    assert delivery.next_at - now() < timedelta(seconds=10)


def test_w10_tries_go_on_for_three_days_then_the_webhook_is_disabled(
    told: Told, receiver: Receiver
) -> None:
    told.event()
    pauses = []
    for _ in range(sending.MAX_ATTEMPTS):
        receiver.will(500)
        delivery = told.turn()
        if delivery.next_at:
            pauses.append((delivery.next_at - now()).total_seconds())

    assert len(receiver.heard) == 10
    for pause, wanted in zip(pauses, sending.PAUSES_SECONDS, strict=True):
        assert 0.9 * wanted - 2 < pause < 1.3 * wanted
    assert timedelta(days=3) < timedelta(seconds=sum(pauses)) < timedelta(days=4)
    assert (delivery.state, delivery.outcome) == ("failed", "refused")
    assert told.row.disabled_reason == "failing"
    assert len(mail.outbox) == 1


def test_w10_what_one_event_does_to_a_receiver_does_not_disable_it(
    told: Told, receiver: Receiver
) -> None:
    event = told.event()
    WebhookDelivery.objects.update(attempts=sending.MAX_ATTEMPTS - 1)
    Webhook.objects.update(last_success_at=now())
    receiver.will(500)

    told.turn()

    event.refresh_from_db()
    assert event.state == "failed"
    assert told.row.is_enabled and not mail.outbox


def test_w10_a_webhook_rests_after_a_failure_ever_longer(
    told: Told, receiver: Receiver
) -> None:
    rests = []
    told.event()
    for _ in range(8):
        receiver.will(500)
        told.turn()
        assert told.row.not_before is not None
        rests.append(round((told.row.not_before - now()).total_seconds()))
    sending.send_waiting(told.row.pk)  # it rests: nobody calls

    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]
    assert len(receiver.heard) == 8
    told.turn()
    assert (told.row.failures, told.row.not_before) == (0, None)


def test_a_turn_sends_in_order_and_stops_at_a_failure(
    told: Told, receiver: Receiver
) -> None:
    events = [told.event().event_id for _ in range(3)]
    receiver.will(204)
    receiver.will(500)

    told.turn()
    assert [h.headers["webhook-id"] for h in receiver.heard] == events[:2]
    told.turn()
    assert [h.headers["webhook-id"] for h in receiver.heard[2:]] == events[1:]


def test_one_sends_at_a_time_and_who_comes_meanwhile_leaves(
    told: Told, receiver: Receiver
) -> None:
    told.event()
    Webhook.objects.update(not_before=now() + sending.HOLD)

    sending.send_waiting(told.row.pk)

    assert receiver.heard == []


def test_of_two_workers_at_once_one_takes_the_turn(
    told: Told, django_assert_num_queries: Any
) -> None:
    """A condition on another table would be judged by what was there before."""
    moment = now()
    with django_assert_num_queries(1) as asked:
        Webhook.objects.free(moment).update(not_before=moment + sending.HOLD)

    assert "SELECT" not in asked[0]["sql"] and "user" not in asked[0]["sql"]
    assert not Webhook.objects.free(moment).exists()


def test_j5_what_a_dead_broker_or_worker_lost_is_sent_again(
    told: Told, receiver: Receiver, queue: SentTasks
) -> None:
    told.event()
    queue.clear()
    # A worker took both and was killed.
    Webhook.objects.update(not_before=now() + sending.HOLD)
    WebhookDelivery.objects.update(attempts=1, next_at=now() + sending.HOLD)
    assert sending.sweep() == 0

    Webhook.objects.update(not_before=F("not_before") - sending.HOLD)
    WebhookDelivery.objects.update(next_at=F("next_at") - sending.HOLD)
    assert sending.sweep() == 1
    queue.run()

    assert len(receiver.heard) == 1
    assert WebhookDelivery.objects.get().attempts == 2


_KILLED = """
import os, signal, sys
import django; django.setup()
from django.db import transaction
from accounts.keys import create_key
from accounts.models import User

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

for moment in ("before its commit", "after its commit"):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    with transaction.atomic():
        if moment == "after its commit":
            transaction.on_commit(kill)  # before anything is sent
        create_key(User.objects.get(pk=sys.argv[1]), moment)
        if moment == "before its commit":
            kill()
"""


@pytest.mark.django_db(transaction=True)
def test_w12_of_processes_killed_around_a_commit_what_was_committed_is_told(
    told: Told, receiver: Receiver, queue: SentTasks, tmp_path: Path
) -> None:
    script = python("-c", _KILLED, told.user.pk)
    with Process(script, log=tmp_path / "log", env=unmeasured(django_env())) as killed:
        assert killed.wait(seconds=60) == 0, killed.output
    assert queue.names == []

    assert sending.sweep() == 1
    queue.run()

    kept = ApiKey.objects.for_user(told.user).get()
    assert kept.name == "after its commit"
    (heard,) = receiver.heard
    assert verified(told.secret, heard)["data"]["key_id"] == kept.pk


def test_a_message_that_takes_its_worker_along_each_time_comes_to_an_end(
    told: Told, receiver: Receiver
) -> None:
    told.event()
    WebhookDelivery.objects.update(attempts=sending.MAX_ATTEMPTS)

    delivery = told.turn()

    assert (delivery.state, delivery.outcome) == ("failed", "interrupted")
    assert receiver.heard == [] and not told.row.is_enabled


def test_t10_nothing_is_sent_for_who_is_disabled(
    told: Told, receiver: Receiver
) -> None:
    told.event()
    User.objects.filter(pk=told.user.pk).update(is_active=False)

    assert told.turn().state == "waiting"
    assert sending.sweep() == 0
    assert receiver.heard == []


def test_w1_a_name_that_leads_inside_is_refused_at_each_call(
    told: Told, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = []
    told.event()

    delivery = told.turn()

    assert receiver.heard == []
    assert (delivery.state, delivery.outcome) == ("waiting", "address_refused")


def test_a_test_is_sent_at_once_and_tells_what_came_of_it(
    alice: Person, told: Told, receiver: Receiver
) -> None:
    api, one = account(alice), f"{WEBHOOKS}/{told.row.pk}"
    receiver.will(500)
    failed = api.post(f"{one}/test").json()
    passed = api.post(f"{one}/test").json()

    listed = api.get(f"{one}/deliveries").json()["results"]
    assert [passed, failed] == [d for d in listed if d["event_type"] == "webhook.test"]
    assert (passed["state"], passed["response_status"]) == ("delivered", 204)
    assert (failed["state"], failed["next_at"]) == ("failed", None)
    assert verified(told.secret, receiver.heard[0]) == {
        "type": "webhook.test",
        "timestamp": failed["created_at"],
        "data": {"webhook_id": told.row.pk},
    }
    told.row.refresh_from_db()
    assert told.row.is_enabled


def test_deliveries_are_paged(alice: Person, told: Told) -> None:
    for _ in range(3):
        told.event()
    api = account(alice)

    page = api.get(f"{WEBHOOKS}/{told.row.pk}/deliveries?page_size=3").json()
    rest = api.get(page["next"]).json()

    shown = [d["id"] for d in page["results"] + rest["results"]]
    assert len(shown) == len(set(shown)) == told.row.deliveries.count()


def test_deliveries_are_kept_for_a_month(told: Told) -> None:
    told.event()
    assert sending.forget_old() == 0

    WebhookDelivery.objects.update(created_at=now() - timedelta(days=31))

    assert sending.forget_old() == 1


def test_a_secret_sealed_under_a_lost_key_is_told_as_such(
    told: Told, receiver: Receiver
) -> None:
    Webhook.objects.update(sealed_secret="v1.gone.AAAA")
    told.event()

    assert told.turn().outcome == "secret_unreadable"
    assert receiver.heard == []


def test_m5_what_is_sent_holds_no_secret_and_no_name(
    told: Told, receiver: Receiver
) -> None:
    _, secret = create_key(told.user, "canary of a name")
    told.turn()

    text = receiver.heard[0].body.decode()
    assert "canary" not in text and secret not in text
    assert json.loads(text)["data"].keys() == {"key_id", "expires_at"}
