"""Pages of usage and limits."""

from collections.abc import Iterator
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.web import login_required, signed_in
from aiassist.lib import clock
from aiassist.lib.errors import NotFound
from billing.metering.admission import limits_for
from billing.metering.dry_run import reasons_against
from billing.models import Tier, UsageRecord
from billing.reasons import REASONS
from billing.reporting.dashboards import dashboard
from billing.reporting.usage import PERIODS, period_of, report
from billing.tiers.holdings import held_by
from billing.tiers.selectors import tiers_by_rank
from billing.web_forms import WishForm

RECORDS_PER_PAGE = 50


@login_required
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """Show what was used in a period, as sums, plots and single calls."""
    user = signed_in(request)
    period = period_of(request.GET.get("period"))
    moment = clock.now()
    found = report(user, period, now=moment)
    records = UsageRecord.objects.for_user(user.pk).filter(created_at__gte=found.start)
    context = {
        "section": "usage",
        "report": found,
        "periods": PERIODS,
        "dashboard": dashboard(user, found, now=moment),
        "csv_query": urlencode({"format": "csv", "since": clock.rfc3339(found.start)}),
        "page": Paginator(
            records.order_by("-created_at", "-id"), RECORDS_PER_PAGE
        ).get_page(request.GET.get("page")),
        "query": f"period={period}&",
    }
    return render(request, "usage/usage.html", context)


@login_required
@require_safe
def why(request: HttpRequest, code: str = "") -> HttpResponse:
    """Explain a refusal with today's numbers, and try what would be allowed."""
    reason = REASONS.get(code)
    if code and reason is None:
        raise NotFound
    user = signed_in(request)
    form = WishForm(request.GET if "ask" in request.GET else None)
    asked = form.is_bound and form.is_valid()
    found = limits_for(user)
    context = {
        "section": "limits",
        "code": code,
        "reason": reason,
        "reasons": REASONS,
        "limits": found,
        "held": held_by(user, found.tier),
        "tiers": tiers_by_rank(),
        "form": form,
        "asked": asked,
        "refusals": reasons_against(user, form.wish()) if asked else [],
    }
    return render(request, "usage/why.html", context)


@login_required
@require_safe
def limits(request: HttpRequest) -> HttpResponse:
    """Show what the tier allows, what is left, and what others have."""
    user = signed_in(request)
    found, tiers = limits_for(user), tiers_by_rank()
    context = {
        "section": "limits",
        "limits": found,
        "held": held_by(user, found.tier),
        "tiers": tiers,
        "own": list(_own_limits(found.tier, tiers)),
    }
    return render(request, "usage/limits.html", context)


def _own_limits(tier: Tier, tiers: list[Tier]) -> Iterator[dict[str, str]]:
    """Yield the limits that this person has in the place of the tier's."""
    if tier.override is None:
        return
    usual = next(each for each in tiers if each.pk == tier.pk)
    for name in tier.override.fields:
        label = name.replace("_", " ").capitalize()
        yours, theirs = getattr(tier, name), getattr(usual, name)
        yield {"label": label, "yours": _told(yours), "tiers": _told(theirs)}


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(name.replace("_", " ") for name in value) or "none"
    return f"{value:,}"
