"""The admin behind the site's own sign-in and, where asked for, a second factor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from unfold.sites import UnfoldAdminSite


@dataclass(frozen=True, slots=True)
class StaffPage:
    """A page of the admin beyond the tables."""

    path: str
    name: str
    view: Callable[..., HttpResponse]


# Filled by the apps' admin modules.
STAFF_PAGES: list[StaffPage] = []


class StaffAdminSite(UnfoldAdminSite):
    """Opens to staff who signed in on the site (ADMIN_REQUIRES_MFA: with a code)."""

    site_header = "aiassist"
    site_title = "aiassist admin"
    index_title = "Overview"

    def register(
        self, model_or_iterable: Any, admin_class: Any = None, **options: Any
    ) -> None:
        """Take no page of allauth's: they show secrets, and audit nothing.

        accounts.allauth_admin has pages to look at.
        """
        if admin_class is None or not admin_class.__module__.startswith("allauth."):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and (
            not settings.ADMIN_REQUIRES_MFA or used_second_factor(request)
        )

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Let unfold's scripts (Alpine) compile what its own templates hold.

        Only here, for staff; the rest of the site keeps the strict policy, and
        no inline script or style sheet is let in here either.
        """
        policy = {
            "script-src": ["'unsafe-eval'"],
            "style-src-attr": ["'unsafe-inline'"],
        }
        return csp_update(policy)(super().admin_view(view, cacheable))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Leave unfold's inline colours out; static/css/pages/staff.css has them."""
        return {**super().each_context(request), "colors": None, "border_radius": None}

    def get_urls(self) -> list[Any]:
        """Add the pages that higher apps registered."""
        extra = [
            path(f"{page.path}/", self.admin_view(page.view), name=page.name)
            for page in STAFF_PAGES
        ]
        tables: list[Any] = super().get_urls()
        return extra + tables

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send to the site's sign-in; the admin has no password form of its own."""
        target = _safe_next(request)
        if not request.user.is_authenticated:
            return _to("account_login", target)
        if not super().has_permission(request):
            raise PermissionDenied
        if self.has_permission(request):
            return redirect(target)
        if is_mfa_enabled(request.user):
            return _to("mfa_reauthenticate", target)
        messages.warning(
            request, "The admin needs a second factor. Set one up, then come back."
        )
        return _to("mfa_index", target)


def used_second_factor(request: HttpRequest) -> bool:
    """Whether this very session was opened, or confirmed later, with a code."""
    user = request.user
    if not user.is_authenticated or not is_mfa_enabled(user):
        return False
    return any(
        record["method"] == "mfa"
        for record in get_authentication_records(request, user)
    )


def _to(name: str, target: str) -> HttpResponse:
    return redirect(f"{reverse(name)}?{urlencode({'next': target})}")


def _safe_next(request: HttpRequest) -> str:
    target = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else reverse("admin:index")
