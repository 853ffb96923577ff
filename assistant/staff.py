"""Staff ask the providers whether they answer, with a prompt of two words."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts import audit
from accounts.admin_site import STAFF_PAGES, StaffPage
from accounts.staff import staff_of
from aiassist.lib.errors import AppError
from assistant.providers import PROVIDERS
from assistant.upstreams import Tried, try_provider, try_upstream, upstream_health
from billing.reporting.analytics import provider_health

PERMISSION = "assistant.view_aimodel"


def upstreams(request: HttpRequest) -> HttpResponse:
    """List the providers; a POST has one of them answer."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if request.method == "POST":
        if label := request.POST.get("upstream", ""):
            _tell(request, label, try_upstream)
        else:
            _test(request, request.POST.get("provider", ""))
        return redirect("admin:upstreams")
    recent = {row["provider"]: row for row in provider_health()}
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Upstreams",
        "providers": [
            (provider, provider.is_configured(), recent.get(name))
            for name, provider in PROVIDERS.items()
        ],
        "places": upstream_health(),
    }
    return render(request, "admin/upstreams.html", context)


def _test(request: HttpRequest, name: str) -> None:
    provider = PROVIDERS.get(name)
    if provider is None or not provider.is_configured():
        messages.error(request, "This provider is not configured.")
        return
    _tell(request, name, try_provider)


def _tell(
    request: HttpRequest, name: str, trial: Callable[[str], Awaitable[Tried]]
) -> None:
    """Try one and say what came of it."""
    audit.record(
        "upstream.tested",
        actor=staff_of(request),
        subject=name[:64],
        request=request,
    )
    try:
        tried = async_to_sync(trial)(name)
    except AppError as error:
        messages.error(request, f"{name}: {error.sentence}")
        return
    messages.success(
        request, f"{name} answered in {tried.took_ms} ms, by {tried.model}."
    )


STAFF_PAGES.append(StaffPage("upstreams", "upstreams", upstreams))
