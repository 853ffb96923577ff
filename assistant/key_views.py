"""The page of one's own keys for providers."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.profile import change_profile
from accounts.web import add_error, login_required, signed_in
from aiassist.lib.errors import AppError, NotFound
from assistant import own_keys
from assistant.models import ProviderKey
from assistant.providers.vendors import VENDORS
from assistant.web_forms import FallbackForm, ProviderKeyForm
from billing.models import Tier
from billing.tiers.selectors import smallest_tier, tier_of


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider, the user's key for it if there is one, and the form for the next."""

    name: str
    row: ProviderKey | None
    form: ProviderKeyForm


@login_required
@never_cache
@require_http_methods(["GET", "HEAD"])
def key_list(request: HttpRequest) -> HttpResponse:
    """Show each provider with the user's key for it, to add, replace, try, remove."""
    return _page(request)


@login_required
@never_cache
@require_POST
def key_put(request: HttpRequest, provider: str) -> HttpResponse:
    """Keep a key for the provider, in the place of one that is there."""
    if provider not in VENDORS:
        raise NotFound
    user = signed_in(request)
    form = ProviderKeyForm(request.POST, prefix=provider)
    if not form.is_valid():
        return _page(request, provider, form)
    tier, given = tier_of(user), form.cleaned_data
    row = _rows(request).get(provider)
    try:
        if row is None:
            own_keys.add_key(
                user=user,
                tier=tier,
                provider=provider,
                key=given["key"],
                base_url=given["base_url"],
                request=request,
            )
        else:
            own_keys.replace_key(
                row=row,
                tier=tier,
                key=given["key"],
                base_url=given["base_url"],
                request=request,
            )
    except AppError as error:
        add_error(form, error)
        return _page(request, provider, form)
    messages.success(request, "The key is kept. Test it, to be sure.")
    return redirect("provider_keys:list")


@login_required
@require_POST
def key_try(request: HttpRequest, provider_key_id: str) -> HttpResponse:
    """Ask the provider for its models with the key."""
    row = own_keys.get_key(signed_in(request), provider_key_id)
    trial = own_keys.try_key(row=row, request=request)
    if trial.error is not None:
        messages.error(request, trial.error.sentence)
    else:
        n = len(trial.models)
        messages.success(
            request,
            f"It works: {n} model{'' if n == 1 else 's'} in {trial.took_ms} ms.",
        )
    return redirect("provider_keys:list")


@login_required
@require_POST
def key_remove(request: HttpRequest, provider_key_id: str) -> HttpResponse:
    """Forget the key."""
    own_keys.remove_key(
        row=own_keys.get_key(signed_in(request), provider_key_id), request=request
    )
    messages.success(request, "The key is forgotten.")
    return redirect("provider_keys:list")


@login_required
@require_POST
def fallback_put(request: HttpRequest) -> HttpResponse:
    """Say whether a local model may answer when the quota is used up."""
    user = signed_in(request)
    form = FallbackForm(request.POST)
    form.full_clean()
    change_profile(user=user, preferences=user.preferences | form.cleaned_data)
    messages.success(request, "Saved.")
    return redirect("provider_keys:list")


def _page(
    request: HttpRequest, provider: str = "", form: ProviderKeyForm | None = None
) -> HttpResponse:
    tier, rows = tier_of(signed_in(request)), _rows(request)
    vendors = [
        Vendor(
            name,
            rows.get(name),
            form if form is not None and name == provider else _empty(name, rows),
        )
        for name in VENDORS
    ]
    context = {
        "section": "settings",
        "tier": tier,
        "better": None if tier.own_provider_keys else _tier_with_keys(),
        "vendors": vendors,
        "spare_calls": settings.LOCAL_FALLBACK_PER_HOUR,
        "fallback": FallbackForm(initial=signed_in(request).preferences),
    }
    status = 200 if form is None else 422
    return render(request, "settings/provider_keys.html", context, status=status)


def _rows(request: HttpRequest) -> dict[str, ProviderKey]:
    return {row.provider: row for row in own_keys.keys_of(signed_in(request))}


def _empty(provider: str, rows: dict[str, ProviderKey]) -> ProviderKeyForm:
    row = rows.get(provider)
    elsewhere = row.base_url if row and row.base_url != VENDORS[provider] else ""
    return ProviderKeyForm(prefix=provider, initial={"base_url": elsewhere})


def _tier_with_keys() -> Tier | None:
    return smallest_tier(lambda tier: tier.own_provider_keys)
