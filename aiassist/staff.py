"""The staff's first page: people, usage, money and health at a glance."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.cache import cache
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from accounts.models import ApiKey, User
from aiassist.lib.clock import now
from billing.reporting.analytics import analytics, provider_health
from billing.reporting.usage import PERIODS, Period, period_of
from workspaces.models import IndexJob, Workspace

# The page may be a minute old; its sums are of days.
KEPT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FunnelStep:
    name: str
    n: int
    percent: int  # of those who signed up


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the analytics for those who may see usage (ANALYTICS_ENABLED)."""
    allowed = request.user.has_perm("billing.view_usagerecord")
    context["analytics_on"] = settings.ANALYTICS_ENABLED
    context["may_analyse"] = allowed
    if not (allowed and settings.ANALYTICS_ENABLED):
        return context
    period = period_of(request.GET.get("period"))
    context.update(_kept(period), period=period, periods=PERIODS)
    return context


def _kept(period: Period) -> dict[str, Any]:
    key = f"staff-analytics:{period}"
    found: dict[str, Any] | None = cache.get(key)
    if found is None:
        moment = now()
        report = analytics(period, now=moment)
        found = {
            "report": report,
            "funnel": funnel(report.start),
            "health": provider_health(now=moment),
            "queue": _queue(moment),
        }
        cache.set(key, found, KEPT_SECONDS)
    return found


def funnel(since: datetime) -> list[FunnelStep]:
    """Return how far those got who signed up since then."""
    signed_up = User.objects.filter(date_joined__gte=since, is_staff=False)
    confirmed = signed_up.filter(
        Exists(EmailAddress.objects.filter(user=OuterRef("pk"), verified=True))
    )
    keyed = confirmed.filter(Exists(_keys()))
    called = keyed.filter(Exists(_keys().filter(last_used_at__isnull=False)))
    indexed = confirmed.filter(
        Exists(Workspace.objects.filter(user=OuterRef("pk"), generation__gt=0))
    )
    steps = (
        ("Signed up", signed_up),
        ("Confirmed the address", confirmed),
        ("Made a key", keyed),
        ("Called with it", called),
        ("Indexed a workspace", indexed),
    )
    counted = [(name, rows.count()) for name, rows in steps]
    total = counted[0][1]
    return [FunnelStep(name, n, round(100 * n / (total or 1))) for name, n in counted]


def _keys() -> "QuerySet[ApiKey]":
    return ApiKey.objects.filter(user=OuterRef("pk"))


def _queue(moment: datetime) -> dict[str, Any]:
    active = IndexJob.objects.active()
    oldest = active.order_by("created_at").values_list("created_at", flat=True).first()
    recent = IndexJob.objects.filter(created_at__gte=moment - timedelta(days=1))
    failed = recent.filter(state="failed")
    return {"depth": active.count(), "oldest": oldest, "failed": failed.count()}
