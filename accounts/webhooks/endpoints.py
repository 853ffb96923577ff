"""Who is told: webhooks as their owner makes, changes, tries and removes them."""

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.errors import TooManyWebhooks
from accounts.models import User, Webhook
from accounts.webhooks.events import EVENT_TYPES, disable
from accounts.webhooks.signing import new_secret
from aiassist.lib.clock import now
from aiassist.lib.egress import AddressRefused
from aiassist.lib.errors import NotFound, ValidationFailed
from aiassist.lib.public_egress import Trust, checked_url
from aiassist.lib.vault import seal

MAX_WEBHOOKS = 10  # of a user
ROTATION_OVERLAP = timedelta(hours=24)


def get_webhook(user: User, webhook_id: str) -> Webhook:
    """Return one of the user's webhooks. Raises NotFound."""
    found = Webhook.objects.for_user(user).filter(pk=webhook_id).first()
    if found is None:
        raise NotFound
    return found


@transaction.atomic
def create_webhook(
    *,
    user: User,
    url: str,
    description: str = "",
    event_types: Iterable[str] = (),
    request: HttpRequest | None = None,
) -> tuple[Webhook, str]:
    """Save a webhook; return it and its secret, which is not shown again.

    No event types are all of them. Raises ValidationFailed, TooManyWebhooks.
    """
    webhook = Webhook(
        user=user,
        url=_checked(url),
        description=description,
        event_types=_known(event_types),
    )
    secret = new_secret()
    webhook.sealed_secret = seal(secret, purpose=purpose_of(webhook))
    User.objects.lock(user.pk)  # so that the cap is exact
    if Webhook.objects.for_user(user).count() >= MAX_WEBHOOKS:
        raise TooManyWebhooks(limit=MAX_WEBHOOKS)
    webhook.save(force_insert=True)
    _note("webhook.created", webhook, request)
    return webhook, secret


@transaction.atomic
def change_webhook(
    *,
    webhook: Webhook,
    url: str | None = None,
    description: str | None = None,
    event_types: Iterable[str] | None = None,
    enabled: bool | None = None,
    request: HttpRequest | None = None,
) -> Webhook:
    """Change what is given; return the webhook as it is then.

    Disabling gives up what waits; enabling starts afresh. Raises ValidationFailed.
    """
    given: dict[str, object] = {}
    if url is not None:
        given["url"] = _checked(url)
    if description is not None:
        given["description"] = description
    if event_types is not None:
        given["event_types"] = _known(event_types)
    if enabled:
        given |= {"disabled_at": None, "disabled_reason": ""}
        given["owner_to_be_told"] = False
    if enabled or url is not None:
        given |= {"failures": 0, "not_before": None}
    if given:
        Webhook.objects.filter(pk=webhook.pk).update(**given)
    if enabled is False:
        disable(webhook, Webhook.Disabled.BY_USER)
    webhook.refresh_from_db()
    _note("webhook.changed", webhook, request)
    return webhook


@transaction.atomic
def remove_webhook(*, webhook: Webhook, request: HttpRequest | None = None) -> None:
    """Forget the webhook, and what was and would be sent there."""
    _note("webhook.removed", webhook, request)
    webhook.delete()


@transaction.atomic
def rotate_secret(*, webhook: Webhook, request: HttpRequest | None = None) -> str:
    """Return a new secret; the one before signs beside it for 24 hours."""
    locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
    secret = new_secret()
    locked.previous_sealed_secret = locked.sealed_secret
    locked.previous_secret_until = now() + ROTATION_OVERLAP
    locked.sealed_secret = seal(secret, purpose=purpose_of(locked))
    locked.save(
        update_fields=[
            "sealed_secret",
            "previous_sealed_secret",
            "previous_secret_until",
        ]
    )
    _note("webhook.rotated", locked, request)
    webhook.refresh_from_db()
    return secret


def purpose_of(webhook: Webhook) -> str:
    """Name what the secret is sealed for: another webhook's does not open it."""
    return f"secret of {webhook.pk}"


def host_of(webhook: Webhook) -> str:
    """Return whom it tells; the rest of an address may hold a secret."""
    return urlsplit(webhook.url).netloc


def trust() -> Trust:
    """Return the hosts in the operator's own network that may be told."""
    return Trust(frozenset(settings.WEBHOOK_ALLOWED_HOSTS), settings.WEBHOOK_CA_FILE)


def _checked(url: str) -> str:
    """Return the address if it may be called; names are judged at each call (W1)."""
    url = url.strip()
    try:
        checked_url(url, trust())
    except AddressRefused as error:
        raise _refused(error.sentence) from None
    if urlsplit(url).scheme != "https" or "#" in url:
        raise _refused("An https:// address without '#', please.")
    return url


def _refused(sentence: str) -> ValidationFailed:
    return ValidationFailed(
        sentence,
        errors=[{"field": "url", "code": "address_refused", "detail": sentence}],
    )


def _known(event_types: Iterable[str]) -> list[str]:
    wanted = set(event_types)
    if unknown := wanted - set(EVENT_TYPES):
        sentence = f"There is no such event: {', '.join(sorted(unknown))}."
        raise ValidationFailed(
            sentence,
            errors=[{"field": "event_types", "code": "invalid", "detail": sentence}],
        )
    return sorted(wanted)


def _note(action: str, webhook: Webhook, request: HttpRequest | None) -> None:
    audit.record(
        action,
        actor=webhook.user,
        subject=webhook.user,
        request=request,
        webhook_id=webhook.pk,  # its address goes with the account
    )
