"""The webhooks' pages: made, tried, paused and removed without the API."""

from typing import Any

import pytest
from django.urls import reverse
from django.utils.html import escape

from accounts.models import AuditEvent, Webhook, WebhookDelivery
from accounts.webhooks import words
from accounts.webhooks.endpoints import MAX_WEBHOOKS
from accounts.webhooks.events import EVENT_TYPES, TEST, new_event_id
from tests.support.people import Person

ADDRESS = "https://hooks.example.com/told?token=canary-of-an-address"


def add(person: Person, **more: Any) -> Any:
    return person.web.post(reverse("webhooks:create"), {"url": ADDRESS, **more})


@pytest.fixture
def webhook(alice: Person) -> Webhook:
    add(alice, description="build", event_types=["job.failed"])
    return Webhook.objects.get()


def page(person: Person, webhook: Webhook, name: str = "detail") -> Any:
    return person.web.get(reverse(f"webhooks:{name}", args=[webhook.pk]))


def act(person: Person, webhook: Webhook, name: str, **data: Any) -> Any:
    return person.web.post(reverse(f"webhooks:{name}", args=[webhook.pk]), data)


def test_w7_the_secret_is_on_the_page_that_made_it_and_on_no_other(alice: Person):
    made = add(alice)
    webhook = Webhook.objects.get()
    secret = made.context["secret"]
    later = [alice.web.get(reverse("webhooks:list")), page(alice, webhook)]

    assert made["Cache-Control"].count("no-store") == 1
    assert secret.startswith("whsec_") and secret in made.text
    assert all(secret not in each.text for each in later)
    assert "canary-of-an-address" not in later[0].text


def test_no_event_ticked_is_every_event(alice: Person):
    add(alice)

    assert Webhook.objects.get().event_types == []
    assert "every event" in alice.web.get(reverse("webhooks:list")).text


def test_w1_a_private_address_is_refused_on_the_form(alice: Person):
    answer = add(alice, url="https://10.0.0.1/hook")

    assert Webhook.objects.count() == 0
    assert "public" in answer.text and answer.status_code == 200


def test_one_too_many_is_explained(alice: Person):
    for _ in range(MAX_WEBHOOKS):
        add(alice)

    assert reverse("usage:why", args=["too_many_webhooks"]) in add(alice).text


def test_its_address_and_events_are_changed(alice: Person, webhook: Webhook):
    shown = page(alice, webhook, "edit").text
    assert 'value="build"' in shown and "checked" in shown
    act(alice, webhook, "edit", url="https://two.example.com/", description="")
    webhook.refresh_from_db()

    assert (webhook.url, webhook.event_types) == ("https://two.example.com/", [])
    assert "two.example.com" in page(alice, webhook).text


def test_it_is_paused_and_goes_on(alice: Person, webhook: Webhook):
    act(alice, webhook, "disable")
    assert "You disabled it." in page(alice, webhook).text
    act(alice, webhook, "enable")
    webhook.refresh_from_db()

    assert webhook.is_enabled
    noted = AuditEvent.objects.filter(action="webhook.changed")
    assert noted.count() == 2


def test_its_secret_is_replaced(alice: Person, webhook: Webhook):
    before = webhook.sealed_secret
    assert "two signatures" in page(alice, webhook, "rotate").text
    made = act(alice, webhook, "rotate")
    webhook.refresh_from_db()

    assert made.context["secret"].startswith("whsec_")
    assert webhook.sealed_secret != before
    assert "the one before signs, too" in page(alice, webhook).text


def test_it_is_deleted_only_when_asked_twice(alice: Person, webhook: Webhook):
    assert "cannot be undone" in page(alice, webhook, "delete").text
    assert Webhook.objects.count() == 1
    act(alice, webhook, "delete")

    assert Webhook.objects.count() == 0


def test_a_test_that_gets_nowhere_says_why(alice: Person, webhook: Webhook):
    # Where no message can go.
    Webhook.objects.update(url="https://127.0.0.1:9")
    answer = act(alice, webhook, "test")
    shown = alice.web.get(answer.url).text

    assert "did not get through. The name leads to an address" in shown
    assert TEST in shown and "badge-bad" in shown


def test_only_so_many_tests_are_sent(
    alice: Person, webhook: Webhook, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.RATE_LIMIT_ENABLED = True
    monkeypatch.setattr("accounts.webhooks.views.TESTS_PER_USER", "1/d")
    Webhook.objects.update(url="https://127.0.0.1:9")
    for _ in range(3):
        act(alice, webhook, "test")

    assert webhook.deliveries.count() == 1


def test_a_message_is_shown_as_it_was_sent(alice: Person, webhook: Webhook):
    for n in range(25):
        webhook.deliveries.create(
            event_id=new_event_id(),
            event_type="job.failed",
            data={"job_id": f"job_{n}"},
            state=WebhookDelivery.State.FAILED,
            outcome="refused",
            response_status=500,
            took_ms=1200,
            attempts=10,
        )
    shown = page(alice, webhook).text

    assert "Answered 500: refused, 1.2" in shown and "10 tries" in shown
    assert "job_24" in shown and "Page 1 of 2" in shown


def test_every_event_and_reason_has_words(alice: Person, webhook: Webhook):
    form = escape(alice.web.get(reverse("webhooks:create")).text)

    assert set(EVENT_TYPES) <= set(words.EVENTS)
    assert all(escape(words.EVENTS[name]) in form for name in EVENT_TYPES)
    assert set(words.QUIET) == set(Webhook.Disabled)
