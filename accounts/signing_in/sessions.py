"""Where a user is signed in: browsers, and clients that hold tokens."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts import audit
from accounts.models import TokenFamily, User
from accounts.principals import Principal
from accounts.signing_in import families
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
    if not _end(principal.user, {sign_in_id}, request):
        raise NotFound


def end_other_sign_ins(
    *, principal: Principal, request: HttpRequest | None = None
) -> int:
    """End every sign-in but the one that asks; return how many ended."""
    others = {one.id for one in list_sign_ins(principal) if not one.is_current}
    return _end(principal.user, others, request)


def end_browser_sessions(user: User) -> None:
    """End every browser session of a user, to the last cookie."""
    _forget(UserSession.objects.filter(user=user))


@transaction.atomic
def _end(user: User, sign_in_ids: set[str], request: HttpRequest | None) -> int:
    """End those of the ids that are living sign-ins of the user; return how many."""
    browsers = [s for s in _browsers(user) if _public_id(s) in sign_in_ids]
    _forget(browsers)
    for session in browsers:
        audit.record(
            "session.ended", actor=user, subject=_public_id(session), request=request
        )
    by_token = _families(user).select_related("user").filter(pk__in=sign_in_ids)
    for family in by_token:
        families.end(family, "session.ended", request)
    return len(browsers) + len(by_token)


def _browsers(user: User) -> list[UserSession]:
    """Return the user's living browser sessions, and forget the others.

    A session lives as long as its cookie's row does, if it was opened under the
    password of today. Three queries at most, where allauth's own list takes three a
    session.
    """
    seen = list(UserSession.objects.filter(user=user))
    keys = [session.session_key for session in seen]
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=now())
    alive = {row.session_key for row in rows if _is_of(row, user)}
    _forget([session for session in seen if session.session_key not in alive])
    return [session for session in seen if session.session_key in alive]


def _is_of(row: Session, user: User) -> bool:
    """Tell what Django judges when the cookie comes back."""
    held = row.get_decoded()
    return held.get(SESSION_KEY) == str(user.pk) and any(
        constant_time_compare(held.get(HASH_SESSION_KEY, ""), good)
        for good in (
            user.get_session_auth_hash(),
            *user.get_session_auth_fallback_hash(),
        )
    )


def _forget(sessions: Iterable[UserSession]) -> None:
    if found := {session.pk: session.session_key for session in sessions}:
        Session.objects.filter(session_key__in=found.values()).delete()
        UserSession.objects.filter(pk__in=found).delete()


def _families(user: User) -> QuerySet[TokenFamily]:
    return TokenFamily.objects.for_user(user).living().select_related("client")


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
