"""Empties the outbox: bounded tries, retries over three days, an end to each (W10).

One worker at a time sends to a webhook, in the order of events, and a webhook rests
after a failure: a receiver that hangs holds one worker for ten seconds, then again
ever more seldom. Whoever dies leaves rows that are due again after `HOLD`; a message
may so arrive twice, under the same `webhook-id`.
"""

import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Exists, F, OuterRef

from accounts.mails import send_mail
from accounts.models import Webhook, WebhookDelivery
from accounts.webhooks.endpoints import host_of, purpose_of, trust
from accounts.webhooks.events import SEND, TEST, disable, new_event_id
from accounts.webhooks.signing import signed_headers
from aiassist.lib import jsons
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.db import release_connections
from aiassist.lib.egress import Caps, EgressError
from aiassist.lib.metrics import count_webhook_try
from aiassist.lib.public_egress import open_url
from aiassist.lib.queue import enqueue
from aiassist.lib.vault import SealBroken, unseal

logger = logging.getLogger(__name__)

# Of an answer only status and headers are read: its body may be as long as it likes.
CAPS = Caps(connect_seconds=5.0, first_byte_seconds=10.0, total_seconds=10.0)
_MINUTE, _HOUR = 60, 3600
# From one try to the next: ten tries in three days.
# Source: https://github.com/standard-webhooks/standard-webhooks (retry schedule)
PAUSES_SECONDS = (
    *(5, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR),
    *(10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
MAX_ATTEMPTS = len(PAUSES_SECONDS) + 1
JITTER = 0.2  # a pause is up to so much longer
LONGEST_PAUSE = timedelta(days=1)  # that a receiver may ask for
HOLD = timedelta(seconds=60)  # longer than a turn takes
TURN_SECONDS = 15.0  # after which a turn makes no new try
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 5, 300
_MOST_SENT = 100  # messages per sweep
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a try."""

    outcome: str  # `delivered`, `redirected`, `refused`, or an error's code
    took_ms: int
    status: int | None = None
    pause: timedelta = timedelta(0)  # that the receiver asked for

    @property
    def is_delivered(self) -> bool:
        return self.outcome == "delivered"


def send_waiting(webhook_id: str) -> None:
    """Take a webhook's turn: send what is due, up to the first failure."""
    moment = now()
    held_until = moment + HOLD
    if not Webhook.objects.sendable(moment).filter(pk=webhook_id).exists():
        return
    free = Webhook.objects.free(moment).filter(pk=webhook_id)
    if not free.update(not_before=held_until):
        return
    webhook = Webhook.objects.select_related("user").filter(pk=webhook_id).first()
    rest = _send_in_order(webhook) if webhook else timedelta(0)
    mine = Webhook.objects.filter(pk=webhook_id, not_before=held_until)
    mine.update(not_before=now() + rest if rest else None)
    # What came while others were kept out has no message any more.
    left = WebhookDelivery.objects.due(now()).filter(webhook=webhook_id)
    if not rest and left.exists():
        enqueue(SEND, webhook_id=webhook_id)


def send_test(webhook: Webhook) -> WebhookDelivery:
    """Send a test event at once, once; return what came of it."""
    delivery = WebhookDelivery.objects.create(
        webhook=webhook,
        event_id=new_event_id(),
        event_type=TEST,
        data={"webhook_id": webhook.pk},
        next_at=now() + HOLD,
    )
    _try(webhook, delivery)
    delivery.refresh_from_db()
    return delivery


def sweep() -> int:
    """Send messages for all that is due: retries, and what a dead broker lost."""
    moment = now()
    due = WebhookDelivery.objects.due(moment).filter(webhook=OuterRef("pk"))
    waiting = Webhook.objects.sendable(moment).filter(Exists(due))
    keys = waiting.order_by("not_before").values_list("pk", flat=True)
    sent = list(keys[:_MOST_SENT])
    for key in sent:
        enqueue(SEND, webhook_id=key)
    return len(sent)


def tell_owners() -> int:
    """Mail the owners of webhooks that were disabled since; return how many.

    Each row is locked while its mail leaves, and marked in the same transaction: two
    sweeps at once send one mail, and one that could not be sent stays due.
    """
    waiting = Webhook.objects.filter(owner_to_be_told=True)
    keys = list(waiting.values_list("pk", flat=True)[:_MOST_SENT])
    return sum(_tell_owner_in_peace(key) for key in keys)


def forget_old() -> int:
    """Delete deliveries of more than a month ago; return how many."""
    old = WebhookDelivery.objects.filter(created_at__lt=now() - KEPT_FOR)
    return old.delete()[0]


def _tell_owner_in_peace(webhook_id: str) -> bool:
    try:
        return _tell_owner(webhook_id)
    except OSError as error:  # of the mail server; one address must not keep others
        logger.warning("no mail about %s (%s)", webhook_id, type(error).__name__)
        return False


@transaction.atomic
def _tell_owner(webhook_id: str) -> bool:
    locked = Webhook.objects.select_for_update(skip_locked=True, of=("self",))
    webhook = (
        locked.select_related("user")
        .filter(pk=webhook_id, owner_to_be_told=True)
        .first()
    )
    if webhook is None:
        return False
    Webhook.objects.filter(pk=webhook.pk).update(owner_to_be_told=False)
    if webhook.user.deleted_at is None:
        send_mail(
            "webhook_disabled",
            to=webhook.user.email,
            context={
                "host": host_of(webhook),
                "webhook_id": webhook.pk,
                "reason": webhook.disabled_reason,
            },
        )
    return True


def _send_in_order(webhook: Webhook) -> timedelta:
    """Return how long the webhook is to rest."""
    ends_at = time.monotonic() + TURN_SECONDS
    due = webhook.deliveries.due(now()).order_by("created_at", "pk")
    for delivery in due[:_MOST_SENT]:
        result = _try(webhook, delivery)
        if result is not None and not result.is_delivered:
            return max(_rest_after(webhook), result.pause)
        if time.monotonic() > ends_at:
            break
    return timedelta(0)


def _rest_after(webhook: Webhook) -> timedelta:
    failed = Webhook.objects.filter(pk=webhook.pk)
    failed.update(failures=F("failures") + 1)
    n = failed.values_list("failures", flat=True).first() or 1
    seconds = min(_FIRST_REST_SECONDS * 2 ** min(n - 1, 10), _LONGEST_REST_SECONDS)
    return timedelta(seconds=seconds)


def _try(webhook: Webhook, delivery: WebhookDelivery) -> Result | None:
    """Send once and note what came of it. None: somebody else has tried meanwhile."""
    if delivery.attempts >= _most_attempts(delivery):
        # The last try took its worker along.
        _note(webhook, delivery, Result("interrupted", 0))
        return None
    moment = now()
    counted = WebhookDelivery.objects.waiting().filter(
        pk=delivery.pk, attempts=delivery.attempts
    )
    if not counted.update(
        attempts=F("attempts") + 1, next_at=moment + HOLD, sent_at=moment
    ):
        return None
    delivery.attempts += 1
    result = _send(webhook, delivery, moment)
    _note(webhook, delivery, result)
    return result


def _send(webhook: Webhook, delivery: WebhookDelivery, moment: datetime) -> Result:
    body = body_of(delivery)
    try:
        headers = signed_headers(
            event_id=delivery.event_id,
            timestamp=int(moment.timestamp()),
            body=body,
            keys=_secrets(webhook, moment),
        )
    except SealBroken:  # sealed under a key that the operator has thrown away
        return Result("secret_unreadable", 0)
    release_connections()  # none is held while somebody else's server thinks
    began = time.monotonic()
    try:
        status, retry_after = async_to_sync(_post)(webhook.url, headers, body)
    except EgressError as error:
        return Result(error.code, _ms_since(began))
    return Result(
        _outcome_of(status), _ms_since(began), status, _pause_of(retry_after, moment)
    )


def body_of(delivery: WebhookDelivery) -> bytes:
    """Return what is sent, the same at each try."""
    return jsons.dumps(
        {
            "type": delivery.event_type,
            "timestamp": rfc3339(delivery.created_at),
            "data": delivery.data,
        }
    )


async def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
    headers = {"content-type": "application/json"} | headers
    async with open_url(
        "POST", url, content=body, headers=headers, caps=CAPS, trust=trust()
    ) as answer:
        return answer.status, answer.headers.get("retry-after", "")


def _secrets(webhook: Webhook, moment: datetime) -> Iterable[str]:
    """Return the secret, and the one before while both sign. Raises SealBroken."""
    sealed = [webhook.sealed_secret]
    until = webhook.previous_secret_until
    if until is not None and moment < until:
        sealed.append(webhook.previous_sealed_secret)
    return [unseal(text, purpose=purpose_of(webhook)) for text in sealed]


def _outcome_of(status: int) -> str:
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    return "redirected" if 300 <= status < 400 else "refused"


def _pause_of(retry_after: str, moment: datetime) -> timedelta:
    """Return what `Retry-After` asks for, in seconds or as a date (RFC 9110)."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        asked = timedelta(seconds=int(retry_after))
    else:
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return timedelta(0)
        asked = (date if date.tzinfo else date.replace(tzinfo=UTC)) - moment
    return min(max(asked, timedelta(0)), LONGEST_PAUSE)


def _note(webhook: Webhook, delivery: WebhookDelivery, result: Result) -> None:
    """Write down what came of a try, unless somebody has tried again since."""
    moment = now()
    mine = WebhookDelivery.objects.waiting().filter(
        pk=delivery.pk, attempts=delivery.attempts
    )
    told: dict[str, object] = {
        "outcome": result.outcome,
        "response_status": result.status,
        "took_ms": result.took_ms,
    }
    reason = _reason_to_disable(webhook, delivery, result)
    if result.is_delivered:
        told |= {"state": WebhookDelivery.State.DELIVERED}
    elif reason or delivery.attempts >= _most_attempts(delivery):
        told |= {"state": WebhookDelivery.State.FAILED}
    if "state" in told:
        told |= {"next_at": None, "finished_at": moment}
    else:
        told |= {"next_at": moment + _pause_before_next(delivery, result)}
    with transaction.atomic():
        if not mine.update(**told):
            return
        if result.is_delivered:
            Webhook.objects.filter(pk=webhook.pk).update(
                failures=0, last_success_at=moment
            )
        if reason:
            disable(webhook, reason)
    count_webhook_try(result.outcome)


def _reason_to_disable(
    webhook: Webhook, delivery: WebhookDelivery, result: Result
) -> Webhook.Disabled | None:
    if delivery.event_type == TEST or result.is_delivered:
        return None
    if result.outcome == "gone":
        return Webhook.Disabled.GONE
    if delivery.attempts < MAX_ATTEMPTS:
        return None
    got_through = Webhook.objects.filter(
        pk=webhook.pk, last_success_at__gt=delivery.created_at
    )
    # If others did, it was about this one.
    return None if got_through.exists() else Webhook.Disabled.FAILING


def _pause_before_next(delivery: WebhookDelivery, result: Result) -> timedelta:
    seconds = PAUSES_SECONDS[delivery.attempts - 1] * random.uniform(1, 1 + JITTER)
    return max(timedelta(seconds=seconds), result.pause)


def _most_attempts(delivery: WebhookDelivery) -> int:
    return 1 if delivery.event_type == TEST else MAX_ATTEMPTS


def _ms_since(began: float) -> int:
    return round(1000 * (time.monotonic() - began))
