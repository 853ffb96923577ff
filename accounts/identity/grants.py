"""What somebody let an app do: approved once, spent for tokens, ended like a sign-in.

Approving makes a family. The first token binds to it, each refresh goes on with it,
and a token is good as long as its family lives and the user's epoch is the one it was
made in. A spent refresh token stays behind as an expired row, so that a copy of it is
recognised: that ends the family.
Source: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.idp.oidc.internal.oauthlib import authorization_codes, device_codes
from allauth.idp.oidc.models import Client, Token
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import TokenFamily, User
from accounts.signing_in import families
from accounts.signing_in.tokens import REFRESH_LIFETIME, RETRY_GRACE
from aiassist.lib.clock import now
from aiassist.lib.errors import InvalidCredential

# How allauth makes them: 64 random bytes. No key of ours has this length.
_OPAQUE = re.compile(r"[A-Za-z0-9_-]{86}")
# Codes live five minutes at most; a family that no token came of ends with them.
_APPROVAL_LASTS = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Access:
    """What an app's access token opens."""

    family: TokenFamily
    scopes: frozenset[str]
    expires_at: datetime


def looks_like_one(credential: str) -> bool:
    """Whether a credential has the form of an app's token."""
    return bool(_OPAQUE.fullmatch(credential))


def read_access(raw: str) -> Access:
    """Return what an access token opens. Raises InvalidCredential."""
    token = Token.objects.lookup(Token.Type.ACCESS_TOKEN, raw)
    if token is None or not token.data or token.expires_at is None:
        raise InvalidCredential
    family = (
        TokenFamily.objects.living()
        .select_related("user")
        .filter(
            pk=token.data.get("family"),
            user_id=token.user_id,
            client_id=token.client_id,
        )
        .first()
    )
    if family is None or family.user.epoch != token.data.get("epoch"):
        raise InvalidCredential
    return Access(family, frozenset(token.get_scopes()), token.expires_at)


def approve_code(
    *, user: User, client: Client, code: str, request: HttpRequest
) -> None:
    """Note in an authorization code what it was approved for."""
    kept = authorization_codes.lookup(client.pk, code)
    if kept is None:
        return
    kept["family"] = _approve(user, client, request).pk
    cache.set(
        authorization_codes.cache_key(client.pk, code),
        kept,
        timeout=settings.IDP_OIDC_AUTHORIZATION_CODE_EXPIRES_IN,
    )


def decide_device(
    *, user: User, client: Client, device_code: str, allow: bool, request: HttpRequest
) -> bool:
    """Let a device in or refuse it; False when somebody has decided already."""
    key = device_codes.cache_device_code_key(device_code)
    # One of two who press at once: a cache has no rows to lock.
    if not cache.add(f"{key}:decided", True, settings.IDP_OIDC_DEVICE_CODE_EXPIRES_IN):
        return False
    waiting = cache.get(key)
    if waiting is None or waiting["granted"] is not None:
        return False
    if allow:
        waiting["family"] = _approve(user, client, request).pk
        device_codes.update_device_state(device_code, waiting)
    return bool(device_codes.confirm_or_deny_device_code(user, device_code, allow))


def scopes_of_device(device_code: str, client: Client) -> list[str]:
    """Return what a waiting device asks for."""
    waiting = cache.get(device_codes.cache_device_code_key(device_code)) or {}
    return list(waiting.get("scope") or client.get_default_scopes())


def of_code(client_id: str, code: str) -> str | None:
    """Return the family an authorization code was approved for."""
    kept = authorization_codes.lookup(client_id, code) or {}
    return kept.get("family")


def of_device(device_code: str) -> str | None:
    """Return the family a device code was approved for, None: not yet."""
    waiting = cache.get(device_codes.cache_device_code_key(device_code)) or {}
    return waiting.get("family")


def of_token(raw: str) -> str | None:
    """Return the family of an access or refresh token, spent ones too."""
    token = Token.objects.by_value(raw).filter(data__isnull=False).first()
    return token.data.get("family") if token is not None else None


def is_replay(raw: str) -> bool:
    """Whether a refresh token was spent so long ago that no retry explains it.

    Within the grace a client's own retry is refused, and ends nothing.
    """
    spent = Token.objects.by_value(raw).filter(
        type=Token.Type.REFRESH_TOKEN, data__has_key="spent"
    )
    return bool(spent.filter(created_at__lt=now() - RETRY_GRACE).exists())


def bind(
    family: TokenFamily, *, access: str, refresh: str | None, spent: str | None
) -> None:
    """Tie tokens just made to their family and to the user's epoch."""
    made = [raw for raw in (access, refresh) if raw]
    for raw in made:
        for token in Token.objects.by_value(raw):
            token.data = {
                **(token.data or {}),
                "family": family.pk,
                "epoch": family.user.epoch,
            }
            token.save(update_fields=["data"])
    if spent:
        _keep_spent(family, spent)
    moment = now()
    TokenFamily.objects.filter(pk=family.pk).update(
        previous_jti=family.current_jti,
        current_jti=_digest(refresh or access),
        rotated_at=moment,
        expires_at=moment + REFRESH_LIFETIME,
    )


def forget_old() -> int:
    """Delete what has run out; spent tokens stay as long as a copy may turn up."""
    gone = Token.objects.expired()
    accesses, _ = gone.filter(type=Token.Type.ACCESS_TOKEN).delete()
    others, _ = gone.filter(expires_at__lt=now() - REFRESH_LIFETIME).delete()
    return int(accesses) + int(others)


@transaction.atomic
def _approve(user: User, client: Client, request: HttpRequest) -> TokenFamily:
    family = families.start(user, request, lasts=_APPROVAL_LASTS, client=client)
    audit.record(
        "app.connected", actor=user, subject=family, request=request, app=client.pk
    )
    return family


def _keep_spent(family: TokenFamily, raw: str) -> None:
    Token.objects.create(
        type=Token.Type.REFRESH_TOKEN,
        hash=_digest(raw),
        client_id=family.client_id,
        user=family.user,
        created_at=now(),
        expires_at=now(),
        data={"family": family.pk, "spent": True},
    )


def _digest(raw: str) -> str:
    probe = Token()
    probe.set_value(raw)
    return str(probe.hash)
