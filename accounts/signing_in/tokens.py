"""JWT pairs: 24 h access, 30 d refresh, rotated at every use.

A sign-in is a family. Its row names the one refresh token that is good; using an
older one means that somebody else holds a copy, so the whole family ends. Within
10 s of a rotation the token just replaced is answered with its same successor: that
is a client whose answer got lost, or which asked twice at once.
Source: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import Token

from accounts.errors import TokenReplayed
from accounts.models import TokenFamily, User
from accounts.signing_in import families
from aiassist.lib.clock import now
from aiassist.lib.errors import InvalidCredential

ACCESS_LIFETIME = timedelta(hours=24)
REFRESH_LIFETIME = timedelta(days=30)
RETRY_GRACE = timedelta(seconds=10)
ALGORITHM = "HS256"
ISSUER = "aiassist"
AUDIENCE = "aiassist-api"


@cache
def _backend(secret: str) -> TokenBackend:
    return TokenBackend(ALGORITHM, signing_key=secret, audience=AUDIENCE, issuer=ISSUER)


class _OurToken(Token):
    def get_token_backend(self) -> TokenBackend:
        return _backend(settings.JWT_SECRET)


class AccessToken(_OurToken):
    token_type = "access"
    lifetime = ACCESS_LIFETIME


class RefreshToken(_OurToken):
    token_type = "refresh"
    lifetime = REFRESH_LIFETIME


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token of ours says, its signature and expiry checked."""

    user_id: str
    family_id: str
    epoch: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client gets."""

    access: str
    refresh: str
    expires_in: int  # seconds the access token lives


def sign_in(user: User, request: HttpRequest | None = None) -> TokenPair:
    """Start a family for a user whose credentials were checked."""
    family = families.start(user, request, lasts=REFRESH_LIFETIME, jti=uuid4().hex)
    return _pair(family, user)


def refresh(raw: str, request: HttpRequest | None = None) -> TokenPair:
    """Spend a refresh token for a new pair.

    Raises InvalidCredential, or TokenReplayed after ending the family.
    """
    claims = _read(raw, RefreshToken)
    with transaction.atomic():
        family = _locked_family(claims)
        if family is None:
            raise InvalidCredential
        if claims["jti"] == family.current_jti:
            _rotate(family)
            return _pair(family, family.user)
        if _is_own_retry(family, claims["jti"]):
            return _pair(family, family.user)
        # Ending the family must be kept, so nothing is raised in here.
        families.end(family, "token.replayed", request)
    raise TokenReplayed


def revoke(raw: str, request: HttpRequest | None = None) -> None:
    """End the family of an access or refresh token.

    An unknown or ended one is fine (RFC 7009, section 2.2).
    """
    try:
        claims = _read(raw, RefreshToken)
    except InvalidCredential:
        try:
            claims = _read(raw, AccessToken)
        except InvalidCredential:
            return
    with transaction.atomic():
        family = _locked_family(claims)
        if family is not None:
            families.end(family, "token.revoked", request)


def read_access(raw: str) -> AccessClaims:
    """Check signature, algorithm, type, issuer, audience and expiry; no query."""
    claims = _read(raw, AccessToken)
    return AccessClaims(
        user_id=str(claims["sub"]),
        family_id=str(claims["fam"]),
        epoch=int(claims["epoch"]),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _read(raw: str, kind: type[_OurToken]) -> _OurToken:
    try:
        token = kind(raw)  # type: ignore[arg-type]  # it takes the encoded text
    except TokenError as error:
        raise InvalidCredential from error
    if not {"sub", "fam", "epoch"} <= token.payload.keys():
        raise InvalidCredential
    return token


def _locked_family(claims: _OurToken) -> TokenFamily | None:
    family = families.locked(str(claims["fam"]))
    return family if family is not None and family.user_id == claims["sub"] else None


def _rotate(family: TokenFamily) -> None:
    family.previous_jti = family.current_jti
    family.current_jti = uuid4().hex
    family.rotated_at = now()
    family.expires_at = family.rotated_at + REFRESH_LIFETIME
    family.save(
        update_fields=["previous_jti", "current_jti", "rotated_at", "expires_at"]
    )


def _is_own_retry(family: TokenFamily, jti: str) -> bool:
    return jti == family.previous_jti and now() - family.rotated_at <= RETRY_GRACE


def _pair(family: TokenFamily, user: User) -> TokenPair:
    access = AccessToken()
    refresh_token = RefreshToken()
    for token in (access, refresh_token):
        token["sub"] = user.pk
        token["fam"] = family.pk
        token["epoch"] = user.epoch
    # The same row gives the same refresh token, so that a retry changes nothing.
    refresh_token["jti"] = family.current_jti
    refresh_token["iat"] = _seconds(family.expires_at - REFRESH_LIFETIME)
    refresh_token["exp"] = _seconds(family.expires_at)
    return TokenPair(
        access=str(access),
        refresh=str(refresh_token),
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def forget_old() -> int:
    """Delete families that nothing can revive; returns how many."""
    dead = now() - REFRESH_LIFETIME
    return TokenFamily.objects.filter(expires_at__lt=dead).delete()[0]
