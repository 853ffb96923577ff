"""Users' own keys for providers: kept sealed, bound to a host, never shown again.

A key is sealed for the host it was given for (`assistant.places`) and goes nowhere
else; the platform's own keys never go to an address that a user gave. Whoever has a
key for a provider is served there by it: their calls count as requests and cost them
nothing here.
"""

import asyncio
import time
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.cached_principals import end_cached_principals
from aiassist.lib.db import release_connections
from aiassist.lib.errors import AppError, Conflict, NotFound, ValidationFailed
from aiassist.lib.vault import SealBroken
from assistant.errors import OwnKeyRefused, ProviderMisconfigured, ProviderUnavailable
from assistant.models import ProviderKey
from assistant.places import (
    MAX_KEY_CHARS,
    Place,
    checked_base_url,
    is_key,
    seal_key,
)
from assistant.providers import PROVIDERS
from assistant.providers.vendors import VENDORS
from billing.metering.gates import require_own_provider_keys
from billing.models import Tier

MAX_LISTED = 200  # models of an address that are offered
TRIAL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of asking the provider for its models with a key."""

    ok: bool
    took_ms: int
    models: tuple[str, ...] = ()
    error: AppError | None = None  # why not


def keys_of(user: User) -> list[ProviderKey]:
    """Return the user's keys, newest first."""
    return list(ProviderKey.objects.for_user(user))


def get_key(user: User, key_id: str) -> ProviderKey:
    """Return one of the user's keys. Raises NotFound."""
    found = ProviderKey.objects.for_user(user).filter(pk=key_id).first()
    if found is None:
        raise NotFound
    return found


def add_key(
    *,
    user: User,
    tier: Tier,
    provider: str,
    key: str,
    base_url: str = "",
    request: HttpRequest | None = None,
) -> ProviderKey:
    """Keep a key for a provider; "" as address is the vendor's own.

    Raises FeatureNotInTier, ValidationFailed, Conflict when there is one already.
    """
    require_own_provider_keys(tier)
    if provider not in VENDORS:
        raise _invalid("provider", f"Keys are kept for: {', '.join(VENDORS)}.")
    row = ProviderKey(user=user, provider=provider)
    _put(row, key, base_url)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _mark(user)
            _note("provider_key.added", row, user, request)
    except IntegrityError:
        raise Conflict(
            f"There is a key for '{provider}' already. Replace or remove it."
        ) from None
    return row


def replace_key(
    *,
    row: ProviderKey,
    tier: Tier,
    key: str,
    base_url: str | None = None,
    request: HttpRequest | None = None,
) -> ProviderKey:
    """Put another key, and another address if one is given, in its place.

    Raises FeatureNotInTier, ValidationFailed.
    """
    require_own_provider_keys(tier)
    _put(row, key, row.base_url if base_url is None else base_url)
    row.replaced_at, row.tried_at = clock.now(), None
    with transaction.atomic():
        row.save()
        _note("provider_key.replaced", row, row.user, request)
    return row


@transaction.atomic
def remove_key(*, row: ProviderKey, request: HttpRequest | None = None) -> None:
    """Forget a key. Calls go on by the platform's own, where the tier has it."""
    user = row.user
    _note("provider_key.removed", row, user, request)
    row.delete()
    _mark(user)


def try_key(*, row: ProviderKey, request: HttpRequest | None = None) -> Trial:
    """Ask the provider for its models with the key, and keep what it lists."""
    began = time.monotonic()
    error: AppError | None = None
    names: tuple[str, ...] = ()
    release_connections()  # none is held while somebody else's server thinks
    try:
        names = async_to_sync(_ask)(row)
    except AppError as failure:
        error = failure
    took_ms = round(1000 * (time.monotonic() - began))
    with transaction.atomic():
        changes: dict[str, object] = {"tried_at": clock.now()}
        if error is None:
            changes |= {"listed": list(names)}
        ProviderKey.objects.filter(pk=row.pk, sealed_key=row.sealed_key).update(
            **changes
        )
        _note("provider_key.tried", row, row.user, request)
    row.refresh_from_db()
    return Trial(error is None, took_ms, names, error)


def place_of(row: ProviderKey) -> Place:
    """Return where the key belongs, still sealed."""
    return Place(row.base_url, "user", row.sealed_key)


async def _ask(row: ProviderKey) -> tuple[str, ...]:
    try:
        access = place_of(row).access()
        async with asyncio.timeout(TRIAL_SECONDS):
            names = await PROVIDERS[row.provider].names(access)
    except (SealBroken, ProviderMisconfigured):
        raise OwnKeyRefused(provider=row.provider) from None
    except TimeoutError:
        raise ProviderUnavailable("It did not answer in time.") from None
    return tuple(names)[:MAX_LISTED]


def _put(row: ProviderKey, key: str, base_url: str) -> None:
    key = key.strip()
    if not is_key(key):
        raise _invalid(
            "key", f"A key is visible ASCII, of up to {MAX_KEY_CHARS} characters."
        )
    base_url = checked_base_url(base_url or VENDORS[row.provider], "user")
    if base_url != row.base_url:
        row.listed = []
    row.base_url = base_url
    row.sealed_key = seal_key(key, base_url=base_url, giver="user")
    # Of a short key even four characters would tell too much.
    row.hint = key[-4:] if len(key) >= 16 else ""


def _mark(user: User) -> None:
    """Let the hot path know, without a query of its own, who has keys."""
    # Two changes at once wait for each other here, or the last one would not see what
    # the other did.
    User.objects.lock(user.pk)
    has_keys = ProviderKey.objects.for_user(user).exists()
    User.objects.filter(pk=user.pk).update(has_provider_keys=has_keys)
    user.has_provider_keys = has_keys
    end_cached_principals()


def _note(
    action: str, row: ProviderKey, user: User, request: HttpRequest | None
) -> None:
    audit.record(
        action,
        actor=user,
        subject=user,
        request=request,
        provider_key=row.pk,
        provider=row.provider,
        host=place_of(row).host,
    )


def _invalid(field: str, sentence: str) -> ValidationFailed:
    return ValidationFailed(
        sentence, errors=[{"field": field, "code": "invalid", "detail": sentence}]
    )
