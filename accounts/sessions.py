"""Where a user is signed in: browsers, and clients that hold tokens."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from allauth.usersessions.models import UserSession
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import audit
from accounts.models import TokenFamily, User
from accounts.principals import Principal
from aiassist.lib.clock import now
from aiassist.lib.errors import NotFound


@dataclass(frozen=True, slots=True)
class SignIn:
    """One place where somebody is signed in."""

    id: str
    kind: Literal["browser", "token", "app"]
    app: str  # the connected app's name; "": none
    ip: str | None
    user_agent: str
    created_at: datetime
    last_seen_at: datetime
    is_current: bool


def list_sign_ins(principal: Principal) -> list[SignIn]:
    """Return the user's living sign-ins, the last seen first."""
    found = [_of_browser(s, principal) for s in _browsers(principal.user)]
    found += [_of_family(f, principal) for f in _families(principal.user)]
    return sorted(found, key=lambda sign_in: sign_in.last_seen_at, reverse=True)


def end_sign_in(
    *, principal: Principal, sign_in_id: str, request: HttpRequest | None = None
) -> None:
    """End one of the user's sign-ins. Raises NotFound."""
    user = principal.user
    with transaction.atomic():
        for session in _browsers(user):
            if _public_id(session) == sign_in_id:
                session.end()
                break
        else:
            family = _families(user).filter(pk=sign_in_id).first()
            if family is None:
                raise NotFound
            family.revoked_at = now()
            family.save(update_fields=["revoked_at"])
        audit.record("session.ended", actor=user, subject=sign_in_id, request=request)


def end_other_sign_ins(
    *, principal: Principal, request: HttpRequest | None = None
) -> int:
    """End every sign-in but the one that asks; return how many ended."""
    others = [found for found in list_sign_ins(principal) if not found.is_current]
    for other in others:
        end_sign_in(principal=principal, sign_in_id=other.id, request=request)
    return len(others)


def end_browser_sessions(user: User) -> None:
    """End every browser session of a user, to the last cookie."""
    for session in UserSession.objects.filter(user=user):
        session.end()


def _browsers(user: User) -> list[UserSession]:
    sessions: list[UserSession] = UserSession.objects.purge_and_list(user)
    return sessions


def _families(user: User) -> QuerySet[TokenFamily]:
    return TokenFamily.objects.select_related("client").filter(
        user=user, revoked_at__isnull=True, expires_at__gt=now()
    )


def _of_browser(session: UserSession, principal: Principal) -> SignIn:
    return SignIn(
        id=_public_id(session),
        kind="browser",
        app="",
        ip=session.ip,
        user_agent=session.user_agent,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        is_current=principal.kind == "session"
        and principal.session_id == session.session_key,
    )


def _of_family(family: TokenFamily, principal: Principal) -> SignIn:
    return SignIn(
        id=family.pk,
        kind="app" if family.client else "token",
        app=family.client.name if family.client else "",
        ip=family.ip,
        user_agent=family.user_agent,
        created_at=family.created_at,
        last_seen_at=family.rotated_at,
        is_current=principal.session_id == family.pk,
    )


def _public_id(session: UserSession) -> str:
    """Return an id that is not the cookie: who reads the list cannot use it."""
    digest = hashlib.sha256(f"session id:{session.session_key}".encode()).hexdigest()
    return f"session_{digest[:22]}"
