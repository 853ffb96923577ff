"""Webhooks hear that an hour or a day is nearly, and wholly, used up: each once."""

from datetime import timedelta
from typing import Any

from accounts.models import WebhookDelivery
from accounts.webhooks import endpoints
from billing.metering.quota_events import sweep_quotas
from tests.billing.people import NOON, tier, use
from tests.support.people import Person


def told() -> list[tuple[str, str, int, int]]:
    """What was put into the outbox, the first event first."""
    rows = WebhookDelivery.objects.filter(event_type__startswith="quota.")
    return [
        (d.event_type, d.data["policy"], d.data["used"], d.data["limit"])
        for d in rows.order_by("created_at", "pk")
    ]


def test_w12_a_window_that_fills_is_told_of_at_four_fifths_and_at_its_end(
    alice: Person, charlie: Person
) -> None:
    tier("free", requests_per_hour=5, requests_per_day=50)
    for person in (alice, charlie):
        endpoints.create_webhook(user=person.user, url="https://a.test/hook")
    for n_calls in (3, 1, 1):
        for _ in range(n_calls):
            use(alice, now=NOON)
        sweep_quotas(now=NOON)
        sweep_quotas(now=NOON + timedelta(minutes=1))

    assert told() == [
        ("quota.warning", "hour", 4, 5),
        ("quota.exceeded", "hour", 5, 5),
    ]
    data = WebhookDelivery.objects.latest("created_at").data
    assert data["resets_at"] == "2026-11-16T13:00:00Z"


def test_w12_the_next_hour_is_told_of_anew_and_the_day_apart(alice: Person) -> None:
    tier("free", requests_per_hour=2, requests_per_day=4)
    endpoints.create_webhook(
        user=alice.user, url="https://a.test/hook", event_types=["quota.exceeded"]
    )
    for moment in (NOON, NOON + timedelta(hours=1)):
        for _ in range(2):
            use(alice, now=moment)
        sweep_quotas(now=moment)

    assert sorted(told()) == [
        ("quota.exceeded", "day", 4, 4),
        ("quota.exceeded", "hour", 2, 2),
        ("quota.exceeded", "hour", 2, 2),
    ]


def test_who_has_no_webhook_or_no_calls_today_is_not_looked_at(
    alice: Person, charlie: Person
) -> None:
    tier("free", requests_per_hour=1, requests_per_day=1)
    use(alice, now=NOON)
    endpoints.create_webhook(user=charlie.user, url="https://a.test/hook")
    use(charlie, now=NOON - timedelta(days=1))

    assert sweep_quotas(now=NOON) == 0


def test_with_limits_switched_off_nothing_is_told(alice: Person, settings: Any) -> None:
    tier("free", requests_per_hour=1, requests_per_day=1)
    endpoints.create_webhook(user=alice.user, url="https://a.test/hook")
    use(alice, now=NOON)
    settings.RATE_LIMIT_ENABLED = False

    assert sweep_quotas(now=NOON) == 0
