"""Staff look at the site as somebody (M4): to read, for a while, and noted twice.

Only pages that show no code and no words of the person open, nothing can be changed,
and a banner stands on each page. The audit log gets an event when it begins and ends,
and one for each page that was looked at.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from accounts import audit
from accounts.models import User
from aiassist.lib.clock import now

LASTS = timedelta(minutes=15)
PERMISSION = "accounts.impersonate_user"
SESSION_KEY = "impersonation"
# Pages without code, questions or secrets.
OPEN_PAGES = frozenset(
    {
        *("dashboard", "steps", "usage:home", "usage:limits", "keys:list"),
        *("workspaces:list", "connect:index", "settings:sessions"),
        *("settings:notifications", "settings:profile"),
    }
)
# The staff member's own way out, and what belongs to nobody.
ALWAYS_OPEN = frozenset({"impersonation_end", "account_logout"})


class NotWhileImpersonating(PermissionDenied):
    """A page or act that stays shut while somebody looks as somebody else."""


@transaction.atomic
def begin(request: HttpRequest, *, actor: User, user: User) -> None:
    """Look as `user` from the next request on. Raises PermissionDenied."""
    if not may_impersonate(actor, user):
        raise PermissionDenied
    request.session[SESSION_KEY] = {
        "user_id": user.pk,
        "until": (now() + LASTS).isoformat(),
    }
    audit.record("impersonation.began", actor=actor, subject=user, request=request)


def end(request: HttpRequest, *, actor: User, why: str = "ended") -> None:
    """Be oneself again."""
    held = request.session.pop(SESSION_KEY, None)
    if held is not None:
        audit.record(
            f"impersonation.{why}",
            actor=actor,
            subject=str(held["user_id"]),
            request=request,
        )


def may_impersonate(actor: User, user: User) -> bool:
    """Whether the right is there, and the person is not staff themselves."""
    ordinary = user.is_active and not (user.is_staff or user.is_superuser)
    return bool(actor.is_staff and actor.has_perm(PERMISSION) and ordinary)


class ImpersonationMiddleware:
    """Puts the person in the place of the staff member who looks as them.

    Who sends no session cookie, as every API client, passes straight through.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self._acall(request)
        actor = _enter(request)
        try:
            return self.get_response(request)
        finally:
            _leave(request, actor)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            answer: HttpResponse = await self.get_response(request)
            return answer
        actor = await sync_to_async(_enter)(request)
        try:
            answer = await self.get_response(request)
            return answer
        finally:
            _leave(request, actor)


def _enter(request: HttpRequest) -> User | None:
    """Change who asks; return who it really is, None when nothing changed."""
    held = _held(request)
    if held is None or _name_of(request) in ALWAYS_OPEN:
        return None
    actor = request.user
    assert isinstance(actor, User)
    user = _target(held)
    if user is None or _is_over(held) or not may_impersonate(actor, user):
        end(request, actor=actor, why="expired")
        return None
    _require_open(request)
    audit.record(
        "impersonation.looked",
        actor=actor,
        subject=user,
        request=request,
        page=_name_of(request),
    )
    request.impersonator = actor  # type: ignore[attr-defined]
    request.user = user
    return actor


def _leave(request: HttpRequest, actor: User | None) -> None:
    # Middleware further out (sessions, activity) must see who it really was.
    if actor is not None:
        request.user = actor


def _held(request: HttpRequest) -> dict[str, str] | None:
    # Without the cookie there is no session to look into.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    if SESSION_KEY not in request.session or not request.user.is_authenticated:
        return None
    held: dict[str, str] = request.session[SESSION_KEY]
    return held


def _target(held: dict[str, str]) -> User | None:
    return User.objects.filter(pk=held["user_id"]).first()


def _is_over(held: dict[str, str]) -> bool:
    return datetime.fromisoformat(held["until"]) <= now()


def _require_open(request: HttpRequest) -> None:
    readable = request.method in ("GET", "HEAD") and _name_of(request) in OPEN_PAGES
    if not readable:
        request.shut_meanwhile = True  # type: ignore[attr-defined]  # for the 403 page
        raise NotWhileImpersonating(
            "This page stays shut while you look at the site as somebody else."
        )


def _name_of(request: HttpRequest) -> str:
    try:
        return resolve(request.path_info).view_name
    except Resolver404:
        return ""
