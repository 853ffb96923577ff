"""API keys: `aia_` + 30 random base62 characters + a CRC32 of them in base62.

The checksum lets a typo, or a secret scanner, be answered without a query. We keep
the first characters to find the row by, and an HMAC-SHA256 under a pepper that lives
outside the database. `pepper_version` names the pepper, so that it can be changed:
API_KEY_PEPPER_PREVIOUS still opens old keys, which move to the new one when used.
Source: https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/
"""

import hashlib
import hmac
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.errors import (
    MalformedCredential,
    ScopeNotYours,
    TooManyKeys,
    UnknownScope,
)
from accounts.models import ApiKey, User
from accounts.scopes import ALL_SCOPES, DEFAULT_KEY_SCOPES
from accounts.webhooks.events import emit
from aiassist.lib.cached_principals import end_cached_principals
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.errors import Conflict, InvalidCredential, NotFound
from aiassist.lib.ids import BASE62, base62_encode, base62_random

MARK = "aia_"
N_RANDOM = 30  # base62: 178 bits
N_CHECKSUM = 6
# The mark and 8 characters find the row; 22 unseen ones (131 bits) stay secret.
N_PREFIX = len(MARK) + 8
LIFETIME = timedelta(days=365)
LONGEST_LIFETIME = timedelta(days=3650)
ROTATION_OVERLAP = timedelta(hours=24)
LAST_USED_PRECISION = timedelta(seconds=60)
MAX_KEYS = 100  # usable ones of a user

_ALPHABET = frozenset(BASE62)


def get_key(user: User, key_id: str) -> ApiKey:
    """Return one of the user's keys. Raises NotFound."""
    found = ApiKey.objects.for_user(user).filter(pk=key_id).first()
    if found is None:
        raise NotFound
    return found


def create_key(
    user: User,
    name: str,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    *,
    actor: User | None = None,
    grantor_scopes: frozenset[str] = ALL_SCOPES,
    request: HttpRequest | None = None,
) -> tuple[ApiKey, str]:
    """Save a key; return it and its secret, which cannot be read again.

    Raises UnknownScope, ScopeNotYours when `grantor_scopes` (of the credential
    that asks) lack one, TooManyKeys.
    """
    wanted = DEFAULT_KEY_SCOPES & grantor_scopes if scopes is None else set(scopes)
    _require_grantable(set(wanted), grantor_scopes)
    with transaction.atomic():
        User.objects.lock(user.pk)  # so that the cap is exact
        if ApiKey.objects.for_user(user).usable().count() >= MAX_KEYS:
            raise TooManyKeys(limit=MAX_KEYS)
        key, secret = _new(user, name, wanted, expires_at or now() + LIFETIME)
        key.save()
        audit.record("key.created", actor=actor or user, subject=key, request=request)
        emit(user_id=user.pk, event_type="key.created", data=event_data(key))
    return key, secret


def rotate_key(
    key: ApiKey,
    *,
    actor: User | None = None,
    grantor_scopes: frozenset[str] = ALL_SCOPES,
    request: HttpRequest | None = None,
) -> tuple[ApiKey, str]:
    """Save a successor; the old key works on for 24 hours at most.

    Raises Conflict for a key that is revoked, expired or rotated already.
    """
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        if not old.is_usable() or old.replaced_by_id is not None:
            raise Conflict(
                "This key is revoked, expired or has a successor already. "
                "Create a new key instead."
            )
        _require_grantable(set(old.scopes), grantor_scopes)
        new, secret = _new(old.user, old.name, old.scopes, now() + LIFETIME)
        new.save()
        end = now() + ROTATION_OVERLAP
        old.expires_at = min(old.expires_at or end, end)
        old.replaced_by = new
        old.save(update_fields=["expires_at", "replaced_by"])
        end_cached_principals()
        audit.record(
            "key.rotated",
            actor=actor or old.user,
            subject=old,
            request=request,
            successor_id=new.pk,
        )
        emit(
            user_id=old.user_id,
            event_type="key.rotated",
            data={**event_data(old), "successor_id": new.pk},
        )
    key.refresh_from_db()
    return new, secret


def change_key(
    key: ApiKey,
    *,
    name: str | None = None,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    actor: User | None = None,
    grantor_scopes: frozenset[str] = ALL_SCOPES,
    request: HttpRequest | None = None,
) -> None:
    """Change the given properties; None leaves one as it is.

    Raises Conflict for scopes or expiry of a key that is on its way out, else as
    `create_key` does.
    """
    wanted: dict[str, object] = {"name": name, "expires_at": expires_at}
    if scopes is not None:
        _require_grantable(set(scopes), grantor_scopes)
        wanted["scopes"] = sorted(set(scopes))
    given = {field: value for field, value in wanted.items() if value is not None}
    if not given:
        return
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=key.pk)
        on_its_way_out = not locked.is_usable() or locked.replaced_by_id is not None
        if on_its_way_out and given.keys() - {"name"}:
            raise Conflict("This key is revoked, expired or replaced.")
        ApiKey.objects.filter(pk=key.pk).update(**given)
        end_cached_principals()
        audit.record(
            "key.changed",
            actor=actor or key.user,
            subject=key,
            request=request,
            fields=sorted(given),
        )
    key.refresh_from_db()


def revoke_key(
    key: ApiKey, *, actor: User | None = None, request: HttpRequest | None = None
) -> None:
    """End a key at once; revoking it again changes nothing."""
    with transaction.atomic():
        ended = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(
            revoked_at=now()
        )
        if ended:
            end_cached_principals()
            audit.record(
                "key.revoked", actor=actor or key.user, subject=key, request=request
            )
            emit(user_id=key.user_id, event_type="key.revoked", data=event_data(key))
    key.refresh_from_db(fields=["revoked_at"])


def event_data(key: ApiKey) -> dict[str, object]:
    """Return what webhooks are told of a key."""
    ends = key.expires_at
    return {"key_id": key.pk, "expires_at": rfc3339(ends) if ends else None}


def authenticate(secret: str) -> ApiKey:
    """Return the usable key with this secret, its user loaded.

    Raises MalformedCredential before any query, or InvalidCredential.
    """
    if not has_key_form(secret):
        raise MalformedCredential
    candidates = ApiKey.objects.select_related("user").filter(prefix=secret[:N_PREFIX])
    for key in candidates:
        if _opens(key, secret) and key.is_usable():
            _note_use(key, secret)
            return key
    raise InvalidCredential


def has_key_form(secret: str) -> bool:
    """Whether mark, length, alphabet and checksum are right."""
    body = secret.removeprefix(MARK)
    return (
        len(secret) == len(MARK) + N_RANDOM + N_CHECKSUM
        and len(body) == N_RANDOM + N_CHECKSUM
        and _ALPHABET.issuperset(body)
        and _checksum(body[:N_RANDOM]) == body[N_RANDOM:]
    )


def _new(
    user: User, name: str, scopes: Iterable[str], expires_at: datetime
) -> tuple[ApiKey, str]:
    body = base62_random(N_RANDOM)
    secret = f"{MARK}{body}{_checksum(body)}"
    version, pepper = next(iter(_peppers().items()))
    key = ApiKey(
        user=user,
        name=name,
        prefix=secret[:N_PREFIX],
        digest=_digest(secret, pepper),
        pepper_version=version,
        scopes=sorted(scopes),
        expires_at=expires_at,
    )
    return key, secret


def _require_grantable(wanted: set[str], grantor_scopes: frozenset[str]) -> None:
    if unknown := wanted - ALL_SCOPES:
        raise UnknownScope(scopes=sorted(unknown))
    if foreign := wanted - grantor_scopes:
        raise ScopeNotYours(scopes=sorted(foreign))


def _checksum(body: str) -> str:
    return base62_encode(zlib.crc32(body.encode("ascii")), N_CHECKSUM)


def _peppers() -> dict[str, str]:
    """Return version → pepper, the current one first."""
    found = [settings.API_KEY_PEPPER, settings.API_KEY_PEPPER_PREVIOUS]
    return {_version(pepper): pepper for pepper in found if pepper}


def _version(pepper: str) -> str:
    return hashlib.sha256(f"version of {pepper}".encode()).hexdigest()[:8]


def _digest(secret: str, pepper: str) -> str:
    return hmac.new(pepper.encode(), secret.encode("ascii"), hashlib.sha256).hexdigest()


def cache_digest(credential: str) -> str:
    """Return the name under which Redis may keep whom a credential belongs to.

    Of the whole credential (T8), and another one than the database holds.
    """
    text = f"cached principal:{credential}".encode()
    return hmac.digest(settings.API_KEY_PEPPER.encode(), text, "sha256").hex()


def _opens(key: ApiKey, secret: str) -> bool:
    pepper = _peppers().get(key.pepper_version)
    return pepper is not None and hmac.compare_digest(
        key.digest, _digest(secret, pepper)
    )


def _note_use(key: ApiKey, secret: str) -> None:
    """Write the last use at most once a minute; move to the current pepper."""
    moment = now()
    fields: dict[str, object] = {}
    if key.last_used_at is None or key.last_used_at <= moment - LAST_USED_PRECISION:
        fields["last_used_at"] = moment
    version, pepper = next(iter(_peppers().items()))
    if key.pepper_version != version:
        fields.update(pepper_version=version, digest=_digest(secret, pepper))
    if fields:
        # Another process may have written the same a moment ago: then skip.
        ApiKey.objects.filter(pk=key.pk, last_used_at=key.last_used_at).update(**fields)
        key.last_used_at = moment
