"""One principal: every credential resolves through `resolve`.

Accepted alike: `Authorization: Bearer <API key, JWT or an app's token>`, `X-API-Key:
<API key>` (in any case, as Anthropic's clients send it), and the site's session cookie.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from accounts import keys
from accounts.errors import AmbiguousCredential, MalformedCredential
from accounts.identity import grants
from accounts.models import ApiKey, TokenFamily, User
from accounts.scopes import ALL_SCOPES
from accounts.signing_in import tokens
from aiassist.lib.clock import now
from aiassist.lib.errors import InvalidCredential, ScopeMissing

MAX_CREDENTIAL_CHARS = 4096  # our JWTs have about 500


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a credential resolves to, and what it may do."""

    user: User
    kind: Literal["session", "jwt", "api_key", "app"]
    key_id: str | None
    scopes: frozenset[str]
    session_id: str | None = None  # a session's key, or a token's family

    @property
    def user_id(self) -> str:
        return self.user.pk

    def require_scope(self, scope: str) -> None:
        """Raise ScopeMissing unless the credential holds the scope."""
        if scope not in self.scopes:
            lacking = (
                f"This app was not allowed '{scope}'. Connect it again, with it."
                if self.kind == "app"
                else f"This API key lacks the scope '{scope}'. Create one that has it."
            )
            raise ScopeMissing(lacking, scope=scope)


def resolve(request: HttpRequest) -> Principal | None:
    """Return the request's principal, None when it carries no credential.

    Raises InvalidCredential for a bad one; never falls back from a bad header to
    the session.
    """
    credential = _credential_of(request)
    if credential is None:
        return _from_session(request)
    return resolve_credential(credential)


def is_still_valid(principal: Principal) -> bool:
    """Ask the database again: long streams do so every few seconds (T10)."""
    user = (
        User.objects.filter(pk=principal.user_id).values("is_active", "epoch").first()
    )
    if user != {"is_active": True, "epoch": principal.user.epoch}:
        return False
    if principal.kind == "api_key":
        key = ApiKey.objects.filter(pk=principal.key_id).first()
        return key is not None and key.is_usable()
    if principal.kind in ("jwt", "app"):
        return TokenFamily.objects.living().filter(pk=principal.session_id).exists()
    return principal.session_id is None or _session_lives(principal.session_id)


def resolve_credential(credential: str) -> Principal:
    """Ask the database whom an API key or access token belongs to.

    Raises InvalidCredential, MalformedCredential.
    """
    if grants.looks_like_one(credential):
        return _from_grant(grants.read_access(credential))
    if credential.startswith(keys.MARK):
        return _from_key(keys.authenticate(credential))
    return _from_access_token(tokens.read_access(credential))


def ends_at(credential: str, principal: Principal) -> datetime | None:
    """Return when a credential that was just resolved expires, None: never."""
    if principal.kind == "jwt":
        return tokens.read_access(credential).expires_at
    if principal.kind == "app":
        return grants.read_access(credential).expires_at
    return (
        ApiKey.objects.filter(pk=principal.key_id)
        .values_list("expires_at", flat=True)
        .first()
    )


def _credential_of(request: HttpRequest) -> str | None:
    """Return the one credential of the headers. "" counts as malformed."""
    return credential_in(
        request.META.get("HTTP_AUTHORIZATION"), request.META.get("HTTP_X_API_KEY")
    )


def credential_in(authorization: str | None, key: str | None) -> str | None:
    """Return the one credential of both headers, None when there is neither."""
    bearer = _bearer(authorization)
    if bearer is not None and key is not None and bearer != key.strip():
        raise AmbiguousCredential
    found = bearer if bearer is not None else key
    if found is None:
        return None
    found = found.strip()
    if not found or len(found) > MAX_CREDENTIAL_CHARS or not _is_plain(found):
        raise MalformedCredential
    return found


def _bearer(header: str | None) -> str | None:
    """Return the token of a Bearer header; another scheme is malformed."""
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise MalformedCredential(
            "The Authorization header must be 'Bearer' and an API key or token."
        )
    return token.strip()


def _is_plain(text: str) -> bool:
    # RFC 6750 allows only these in a bearer token, all of them visible ASCII.
    return text.isascii() and text.isprintable() and " " not in text


def _from_key(key: ApiKey) -> Principal:
    _require_live(key.user)
    return Principal(
        user=key.user,
        kind="api_key",
        key_id=key.pk,
        scopes=frozenset(key.scopes) & ALL_SCOPES,
    )


def _from_access_token(claims: tokens.AccessClaims) -> Principal:
    family = (
        TokenFamily.objects.living()
        .select_related("user")
        .filter(pk=claims.family_id, user_id=claims.user_id)
        .first()
    )
    if family is None or family.user.epoch != claims.epoch:
        raise InvalidCredential
    _require_live(family.user)
    return Principal(
        user=family.user,
        kind="jwt",
        key_id=None,
        scopes=ALL_SCOPES,
        session_id=family.pk,
    )


def _from_grant(access: grants.Access) -> Principal:
    _require_live(access.family.user)
    return Principal(
        user=access.family.user,
        kind="app",
        key_id=None,
        scopes=access.scopes & ALL_SCOPES,
        session_id=access.family.pk,
    )


def _from_session(request: HttpRequest) -> Principal | None:
    session: SessionBase | None = getattr(request, "session", None)
    if session is None:
        return None
    # DRF sets request.user itself, so the session is asked, not the request.
    user = get_user(request)
    if not isinstance(user, User):
        return None
    return Principal(
        user=user,
        kind="session",
        key_id=None,
        scopes=ALL_SCOPES,
        session_id=session.session_key,
    )


def _require_live(user: User) -> None:
    if not user.is_active:
        raise InvalidCredential


def _session_lives(session_key: str) -> bool:
    kept = Session.objects.filter(session_key=session_key, expire_date__gt=now())
    return kept.exists()
