"""Staff ask the providers whether they answer, with a prompt of two words."""

import time
from contextlib import aclosing
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts import audit
from accounts.admin_site import STAFF_PAGES, StaffPage
from accounts.staff import staff_of
from aiassist.lib.db import in_db
from aiassist.lib.errors import AppError
from assistant.catalogue import all_offers, live_models
from assistant.errors import ProviderUnavailable
from assistant.providers import PROVIDERS
from assistant.providers.base import ChatMessage, ChatRequest, Provider
from billing.analytics import provider_health

PERMISSION = "assistant.view_aimodel"


def upstreams(request: HttpRequest) -> HttpResponse:
    """List the providers; a POST has one of them answer."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if request.method == "POST":
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
    }
    return render(request, "admin/upstreams.html", context)


def _test(request: HttpRequest, name: str) -> None:
    provider = PROVIDERS.get(name)
    if provider is None or not provider.is_configured():
        messages.error(request, "This provider is not configured.")
        return
    audit.record(
        "upstream.tested", actor=staff_of(request), subject=name, request=request
    )
    began = time.monotonic()
    try:
        model = async_to_sync(_ask)(provider)
    except AppError as error:
        messages.error(request, f"{name}: {error.sentence}")
        return
    took = round(1000 * (time.monotonic() - began))
    messages.success(request, f"{name} answered in {took} ms, by {model}.")


async def _ask(provider: Provider) -> str:
    """Have the default model say one token; return its name. Raises AppError."""
    offers = await in_db(all_offers, await live_models())
    offer = next((o for o in offers if o.provider == provider.name), None)
    if offer is None:
        raise ProviderUnavailable("It offers no model now.")
    question = ChatRequest(
        model=offer.upstream_name,
        messages=(ChatMessage("user", "Say: ok"),),
        max_tokens=16,
    )
    async with aclosing(provider.stream(question)) as deltas:
        async for delta in deltas:
            if delta.says:
                break
    return offer.name


STAFF_PAGES.append(StaffPage("upstreams", "upstreams", upstreams))
