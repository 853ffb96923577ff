"""Pages of webhooks: who is told, what was sent, and whether it got through."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts.models import Webhook, WebhookDelivery
from accounts.web import add_error, login_required, signed_in
from accounts.webhooks import endpoints, sending, words
from accounts.webhooks.forms import WebhookForm, values_of
from aiassist.api.throttles import throttle
from aiassist.lib.clock import now
from aiassist.lib.errors import AppError

DELIVERIES_PER_PAGE = 20
TESTS_PER_USER = "20/m"  # each calls somebody else's server


@dataclass(frozen=True, slots=True)
class ShownWebhook:
    """A webhook in words."""

    row: Webhook
    host: str  # the rest of an address may hold a secret
    told_of: list[str]  # empty: of everything
    quiet: str  # why nothing is sent, "" while it is
    both_sign_until: datetime | None  # None: one secret signs


@dataclass(frozen=True, slots=True)
class ShownDelivery:
    """A message, what came of it, and what was sent."""

    row: WebhookDelivery
    outcome: str
    body: str


@login_required
@require_safe
def webhook_list(request: HttpRequest) -> HttpResponse:
    """List the user's webhooks."""
    found = Webhook.objects.for_user(signed_in(request))
    context = {
        "section": "webhooks",
        "webhooks": [_shown(webhook) for webhook in found],
        "most": endpoints.MAX_WEBHOOKS,
    }
    return render(request, "webhooks/list.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_create(request: HttpRequest) -> HttpResponse:
    """Make a webhook; its secret is in this answer and nowhere else."""
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            webhook, secret = endpoints.create_webhook(
                user=signed_in(request), request=request, **form.cleaned_data
            )
        except AppError as error:
            add_error(form, error)
        else:
            return _show_secret(request, webhook, secret)
    return render(request, "webhooks/form.html", {"section": "webhooks", "form": form})


@login_required
@require_safe
def webhook_detail(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Show a webhook and what was sent there lately."""
    webhook = _get_webhook(request, webhook_id)
    sent = Paginator(webhook.deliveries.all(), DELIVERIES_PER_PAGE)
    page = sent.get_page(request.GET.get("page"))
    context = {
        "section": "webhooks",
        "webhook": webhook,
        "shown": _shown(webhook),
        "page": page,
        "deliveries": [
            ShownDelivery(row, words.outcome_of(row), sending.body_of(row).decode())
            for row in page
        ],
        "days_kept": sending.KEPT_FOR.days,
    }
    return render(request, "webhooks/detail.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_edit(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Change whom it tells of what."""
    webhook = _get_webhook(request, webhook_id)
    form = WebhookForm(request.POST or None, initial=values_of(webhook))
    if request.method == "POST" and form.is_valid():
        try:
            endpoints.change_webhook(
                webhook=webhook, request=request, **form.cleaned_data
            )
        except AppError as error:
            add_error(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("webhooks:detail", webhook.pk)
    context = {"section": "webhooks", "form": form, "shown": _shown(webhook)}
    return render(request, "webhooks/form.html", context)


@login_required
@require_POST
def webhook_test(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Send a test event now, and say what came of it."""
    webhook = _get_webhook(request, webhook_id)
    try:
        throttle(
            request,
            group="webhook-tests",  # shared with the API's
            per_user=TESTS_PER_USER,
            user_id=webhook.user_id,
        )
    except AppError as error:
        messages.error(request, error.sentence)
        return redirect("webhooks:detail", webhook.pk)
    delivery = sending.send_test(webhook)
    told = words.outcome_of(delivery)
    if delivery.state == WebhookDelivery.State.DELIVERED:
        messages.success(request, f"The test event got through. {told}.")
    else:
        messages.error(request, f"The test event did not get through. {told}.")
    return redirect("webhooks:detail", webhook.pk)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_rotate(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Ask, then put a new secret in place and show it."""
    webhook = _get_webhook(request, webhook_id)
    if request.method == "POST":
        secret = endpoints.rotate_secret(webhook=webhook, request=request)
        return _show_secret(request, webhook, secret, is_rotated=True)
    context = {"section": "webhooks", "shown": _shown(webhook)}
    return render(request, "webhooks/rotate.html", context)


@login_required
@require_POST
def webhook_switch(
    request: HttpRequest, webhook_id: str, enabled: bool
) -> HttpResponse:
    """Disable it, or send what happens from now on."""
    webhook = _get_webhook(request, webhook_id)
    endpoints.change_webhook(webhook=webhook, enabled=enabled, request=request)
    messages.success(
        request,
        "Enabled. What happens from now on is sent."
        if enabled
        else "Disabled. Nothing is sent, and nothing is kept for it.",
    )
    return redirect("webhooks:detail", webhook.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_delete(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Ask, then forget it and what was to be sent there."""
    webhook = _get_webhook(request, webhook_id)
    shown = _shown(webhook)
    if request.method == "POST":
        endpoints.remove_webhook(webhook=webhook, request=request)
        messages.success(request, f"The webhook to {shown.host} is deleted.")
        return redirect("webhooks:list")
    context = {"section": "webhooks", "shown": shown}
    return render(request, "webhooks/delete.html", context)


def _get_webhook(request: HttpRequest, webhook_id: str) -> Webhook:
    return endpoints.get_webhook(signed_in(request), webhook_id)


def _shown(webhook: Webhook) -> ShownWebhook:
    reason, until = webhook.disabled_reason, webhook.previous_secret_until
    return ShownWebhook(
        row=webhook,
        host=endpoints.host_of(webhook),
        told_of=[words.EVENTS.get(name, name) for name in webhook.event_types],
        quiet=words.QUIET[Webhook.Disabled(reason)] if reason else "",
        both_sign_until=until if until and until > now() else None,
    )


def _show_secret(
    request: HttpRequest, webhook: Webhook, secret: str, *, is_rotated: bool = False
) -> HttpResponse:
    context = {
        "section": "webhooks",
        "shown": _shown(webhook),
        "secret": secret,
        "is_rotated": is_rotated,
    }
    return render(request, "webhooks/created.html", context)
