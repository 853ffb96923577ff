"""Webhooks as their owner manages them; what is told, in the act's transaction."""

import json
from typing import Any

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from accounts import expiry, keys
from accounts.keys import create_key
from accounts.models import AuditEvent, Webhook, WebhookDelivery
from accounts.scopes import ALL_SCOPES
from accounts.webhooks import events
from accounts.webhooks.endpoints import MAX_WEBHOOKS, create_webhook
from aiassist.lib.clock import now
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from tests.support.people import Person
from tests.support.queue import SentTasks
from workspaces.jobs.queue import cancel_job, request_rebuild

WEBHOOKS = "/api/v1/webhooks"
ADDRESS = "https://hooks.example.com/told?token=canary-of-an-address"


def account(person: Person) -> APIClient:
    """A client whose key may manage the account."""
    _, secret = create_key(person.user, "account", ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client


@pytest.fixture
def api(alice: Person) -> APIClient:
    return account(alice)


def made(api: APIClient, **more: Any) -> Any:
    return api.post(WEBHOOKS, {"url": ADDRESS, **more}, format="json")


def waiting() -> list[tuple[str, dict[str, Any]]]:
    """Return (type, data) of what waits to be sent, oldest first."""
    rows = WebhookDelivery.objects.waiting().order_by("created_at")
    return list(rows.values_list("event_type", "data"))


def test_w7_the_secret_is_shown_once_and_kept_sealed(api: APIClient) -> None:
    answer = made(api, event_types=["job.failed"], description="build")
    secret = answer.json()["secret"]
    one = f"{WEBHOOKS}/{answer.json()['id']}"
    rotated = api.post(f"{one}/rotate")
    seen = [api.get(WEBHOOKS), api.get(one), api.get(f"{one}/deliveries")]
    seen += [api.patch(one, {"description": "x"}, format="json")]

    assert (answer.status_code, rotated.status_code) == (201, 200)
    assert secret.startswith("whsec_") and rotated.json()["secret"] != secret
    assert answer["Cache-Control"] == rotated["Cache-Control"] == "no-store"
    stored = str(Webhook.objects.values()) + str(AuditEvent.objects.values())
    for told in (secret, rotated.json()["secret"]):
        assert all(told.encode() not in reply.content for reply in seen)
        assert told not in stored
    assert list(
        AuditEvent.objects.filter(action__startswith="webhook.")
        .order_by("created_at")
        .values_list("action", flat=True)
    ) == ["webhook.created", "webhook.rotated", "webhook.changed"]


def test_a_webhook_is_shown_as_it_is(api: APIClient) -> None:
    webhook = made(api, event_types=["key.revoked", "job.failed"]).json()
    del webhook["secret"]

    assert api.get(f"{WEBHOOKS}/{webhook['id']}").json() == webhook
    assert api.get(WEBHOOKS).json() == {"results": [webhook], "next": None}
    assert webhook | {"id": "", "created_at": ""} == {
        "id": "",
        "url": ADDRESS,
        "description": "",
        "event_types": ["job.failed", "key.revoked"],
        "enabled": True,
        "disabled_reason": None,
        "disabled_at": None,
        "previous_secret_until": None,
        "last_success_at": None,
        "created_at": "",
    }


@pytest.mark.parametrize(
    "url",
    [
        *("http://hooks.example.com/", "https://127.0.0.1/", "https://localhost/"),
        *("https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest"),
        *("https://2130706433/", "https://a@hooks.example.com/", "ftp://example.com"),
        *("https://hooks.example.com/#part", "https://hooks.example.com:22/", "x"),
        "https://[::ffff:127.0.0.1]/",
    ],
)
def test_w1_an_address_that_may_not_be_called_is_refused(
    api: APIClient, url: str
) -> None:
    webhook_id = made(api).json()["id"]

    for answer in (
        made(api, url=url),
        api.patch(f"{WEBHOOKS}/{webhook_id}", {"url": url}, format="json"),
    ):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "url"
    assert Webhook.objects.get().url == ADDRESS


def test_an_event_that_does_not_exist_is_refused(api: APIClient) -> None:
    answer = made(api, event_types=["job.exploded"])

    assert answer.status_code == 400
    assert answer.json()["code"] == "validation_failed"


def test_an_account_holds_ten(alice: Person, api: APIClient) -> None:
    for _ in range(MAX_WEBHOOKS):
        assert made(api).status_code == 201

    refused = made(api)

    assert (refused.status_code, refused.json()["code"]) == (403, "too_many_webhooks")


def test_a_key_without_the_scope_may_neither_read_nor_write(alice: Person) -> None:
    assert alice.api.get(WEBHOOKS).status_code == 403
    assert made(alice.api).status_code == 403


def test_t1_a_strangers_webhook_is_unknown(charlie: Person, api: APIClient) -> None:
    one = f"{WEBHOOKS}/{made(api).json()['id']}"
    his = account(charlie)

    assert {
        his.get(one).status_code,
        his.get(f"{one}/deliveries").status_code,
        his.post(f"{one}/test").status_code,
        his.post(f"{one}/rotate").status_code,
        his.patch(one, {"enabled": False}, format="json").status_code,
        his.delete(one).status_code,
    } == {404}
    assert his.get(WEBHOOKS).json()["results"] == []
    assert Webhook.objects.get().is_enabled


def test_disabling_gives_up_what_waits_and_enabling_starts_afresh(
    alice: Person, api: APIClient
) -> None:
    one = f"{WEBHOOKS}/{made(api).json()['id']}"
    create_key(alice.user, "first")

    off = api.patch(one, {"enabled": False}, format="json").json()
    create_key(alice.user, "unheard")
    assert waiting() == []
    on = api.patch(one, {"enabled": True}, format="json").json()
    create_key(alice.user, "last")

    assert (off["enabled"], off["disabled_reason"]) == (False, "by_user")
    assert (on["enabled"], on["disabled_reason"]) == (True, None)
    given_up, heard = WebhookDelivery.objects.order_by("created_at")
    assert (given_up.state, given_up.outcome) == ("failed", "webhook_disabled")
    assert heard.state == "waiting"


def test_removing_a_webhook_removes_what_was_to_be_sent(
    alice: Person, api: APIClient
) -> None:
    one = f"{WEBHOOKS}/{made(api).json()['id']}"
    create_key(alice.user, "told")

    assert api.delete(one).status_code == 204

    assert not WebhookDelivery.objects.exists()
    assert api.get(one).status_code == 404


def test_each_act_on_a_key_is_told(alice: Person, api: APIClient) -> None:
    made(api, event_types=[])
    key, secret = create_key(alice.user, "canary of a name")
    successor, _ = keys.rotate_key(key)
    keys.revoke_key(key)
    keys.revoke_key(key)
    ending, _ = create_key(alice.user, "ends", expires_at=now() + expiry.LAST_NOTICE)
    expiry.warn_of_expiry()

    told = waiting()
    assert [kind for kind, _ in told] == [
        *("key.created", "key.rotated", "key.revoked", "key.created", "key.expiring"),
    ]
    assert told[1][1]["successor_id"] == successor.pk
    assert told[4][1]["key_id"] == ending.pk
    assert secret not in str(told) and "canary" not in str(told)


def test_an_ended_job_is_told_without_its_files(
    alice: Person, api: APIClient, queue: SentTasks
) -> None:
    made(api, event_types=["job.cancelled"])
    job = request_rebuild(workspace=alice.workspace)

    cancel_job(job=job)

    ((kind, data),) = waiting()
    assert kind == "job.cancelled"
    assert (data["job_id"], data["state"]) == (job.pk, "cancelled")
    assert data["workspace_id"] == alice.workspace.pk
    assert data.keys() == {
        *("job_id", "workspace_id", "state", "background", "files_total"),
        *("files_done", "chunks", "n_skipped", "created_at", "finished_at"),
    }


def test_another_tier_is_told(alice: Person, api: APIClient) -> None:
    made(api)
    change_tier(alice.user, Tier.objects.get(pk="pro"), actor=None)

    assert waiting() == [("subscription.changed", {"before": "free", "after": "pro"})]


def test_only_who_asked_is_told(alice: Person, charlie: Person, api: APIClient) -> None:
    made(api, event_types=["job.failed"])
    create_webhook(user=charlie.user, url=ADDRESS)

    create_key(alice.user, "nobody asked")

    assert waiting() == []


def test_one_event_has_one_id_for_all_webhooks(alice: Person, api: APIClient) -> None:
    made(api)
    made(api)
    create_key(alice.user, "told twice")

    ids = list(WebhookDelivery.objects.values_list("event_id", flat=True))
    assert len(ids) == 2 and len(set(ids)) == 1
    assert ids[0].startswith("msg_")


class _Broken(Exception):
    pass


@pytest.mark.django_db(transaction=True)
def test_w12_a_rollback_tells_nobody_and_a_commit_does(
    alice: Person, queue: SentTasks
) -> None:
    create_webhook(user=alice.user, url=ADDRESS)
    with pytest.raises(_Broken), transaction.atomic():
        create_key(alice.user, "undone")
        raise _Broken
    assert (waiting(), queue.names) == ([], [])

    create_key(alice.user, "done")

    assert [kind for kind, _ in waiting()] == ["key.created"]
    assert queue.names == [events.SEND]


def test_m5_messages_of_the_broker_hold_ids_alone(
    alice: Person, api: APIClient, queue: SentTasks
) -> None:
    webhook = made(api).json()
    create_key(alice.user, "told")

    assert (events.SEND, {"webhook_id": webhook["id"]}) in queue.sent
    assert "canary" not in json.dumps(queue.sent)


def test_what_nobody_fetches_does_not_pile_up(
    alice: Person, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(api)
    monkeypatch.setattr(events, "MAX_WAITING", 2)
    for name in ("one", "two", "three"):
        create_key(alice.user, name)

    webhook = Webhook.objects.get()
    assert webhook.disabled_reason == "overflowing"
    assert waiting() == []


def test_staff_see_deliveries_and_never_a_secret_or_a_whole_address(
    alice: Person, stella: Person, api: APIClient
) -> None:
    made(api)
    create_key(alice.user, "told")
    webhook, delivery = Webhook.objects.get(), WebhookDelivery.objects.get()
    pages = [
        "/admin/accounts/webhook/",
        f"/admin/accounts/webhook/{webhook.pk}/change/",
        "/admin/accounts/webhookdelivery/",
        f"/admin/accounts/webhookdelivery/{delivery.pk}/change/",
    ]

    for page in pages:
        answer = stella.web.get(page)
        assert answer.status_code == 200
        assert b"canary" not in answer.content
        assert webhook.sealed_secret.encode() not in answer.content
    assert b"hooks.example.com" in stella.web.get(pages[0]).content
