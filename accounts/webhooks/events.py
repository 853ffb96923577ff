"""What users' webhooks are told of, and the outbox it goes through."""

import hashlib
from collections.abc import Mapping

from accounts.models import Webhook, WebhookDelivery
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id
from aiassist.lib.queue import enqueue

SEND = "accounts.send_webhooks"
TEST = "webhook.test"  # sent on demand alone
EVENT_TYPES = (
    *("job.succeeded", "job.failed", "job.cancelled"),
    *("key.created", "key.rotated", "key.revoked", "key.expiring"),
    *("quota.warning", "quota.exceeded", "subscription.changed"),
)
MAX_WAITING = 10_000  # messages of one webhook that are kept for it


def emit(
    *, user_id: str, event_type: str, data: Mapping[str, object], once: str = ""
) -> None:
    """Tell the user's webhooks that ask for it; call it in the act's transaction.

    What is told and what happened are kept together or not at all (W12). `data` holds
    ids, states, counts and times, never contents. What is found by looking, again and
    again, names itself in `once`: each webhook is told of it one time.
    """
    wanting = [
        webhook
        for webhook in Webhook.objects.enabled().filter(user_id=user_id)
        if webhook.wants(event_type)
    ]
    event_id = _named_event_id(user_id, event_type, once) if once else new_event_id()
    for webhook in wanting:
        if _is_full(webhook):
            disable(webhook, Webhook.Disabled.OVERFLOWING)
            continue
        _, is_new = WebhookDelivery.objects.get_or_create(
            webhook=webhook,
            event_id=event_id,
            defaults={"event_type": event_type, "data": dict(data)},
        )
        if is_new:
            enqueue(SEND, webhook_id=webhook.pk)


def new_event_id() -> str:
    return new_id("msg")


def _named_event_id(*names: str) -> str:
    return f"msg_{hashlib.sha256(chr(0).join(names).encode()).hexdigest()[:32]}"


def disable(webhook: Webhook, reason: Webhook.Disabled) -> None:
    """Send nothing more there, and give up what waits.

    Its owner gets a mail by the next sweep, unless they did it themselves: nobody's
    act may fail for a mail server.
    """
    moment = now()
    Webhook.objects.enabled().filter(pk=webhook.pk).update(
        disabled_at=moment,
        disabled_reason=reason,
        owner_to_be_told=reason != Webhook.Disabled.BY_USER,
    )
    webhook.deliveries.waiting().update(
        state=WebhookDelivery.State.FAILED,
        outcome="webhook_disabled",
        next_at=None,
        finished_at=moment,
    )


def _is_full(webhook: Webhook) -> bool:
    waiting = WebhookDelivery.objects.waiting().filter(webhook=webhook)
    return waiting.order_by()[:MAX_WAITING].count() >= MAX_WAITING
