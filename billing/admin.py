"""Staff's view of tiers, subscriptions and usage. Records cannot be edited here."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Sum
from django.db.models.query import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat

from accounts import audit
from accounts.admin_site import STAFF_PAGES, StaffPage
from accounts.staff import (
    AddedOnlyAdmin,
    ReadOnlyAdmin,
    SearchByPerson,
    StaffModelAdmin,
    among,
    labelled,
    person_or_404,
    staff_of,
)
from aiassist.lib import clock
from billing.admin_forms import TIER_FIELDS, SubscriptionForm, TierForm
from billing.metering.refusals import REASONS
from billing.models import (
    FEATURES,
    PROVIDERS,
    LimitOverride,
    Quota,
    Refusal,
    Reservation,
    Subscription,
    Tier,
    UsageDay,
    UsageRecord,
)
from billing.override_admin import LimitOverrideAdmin
from billing.reporting.dashboards import dollars
from billing.reporting.insights import insights
from billing.reporting.simulator import (
    DAYS,
    SHOWN,
    by_reason,
    changes,
    excesses,
    shown_price,
    simulate,
)
from billing.reporting.usage import report
from billing.tiers.selectors import holders_of, tier_of
from billing.tiers.subscriptions import change_tier, end_subscription

METERED = ("search", *FEATURES)


@admin.register(Tier)
class TierAdmin(StaffModelAdmin):
    form = TierForm
    list_display = (
        *("name", "rank", "price", "requests_per_hour", "requests_per_day"),
        *("max_concurrent", "context_tokens", "storage"),
    )

    @admin.display(description="Price a month", ordering="monthly_price_usd_micros")
    def price(self, tier: Tier) -> str:
        return shown_price(tier)

    @admin.display(description="Storage", ordering="max_storage_bytes")
    def storage(self, tier: Tier) -> str:
        return filesizeformat(tier.max_storage_bytes)

    def get_fields(
        self, request: HttpRequest, obj: Tier | None = None
    ) -> tuple[str, ...]:
        if obj is None or self.has_change_permission(request, obj):
            return TIER_FIELDS
        to_read = {"monthly_price_usd_micros": "price"}
        return tuple(to_read.get(name, name) for name in TIER_FIELDS)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Tier | None = None
    ) -> tuple[str, ...]:
        # Subscriptions and records name the code.
        return ("code",) if obj else ()

    def has_delete_permission(
        self, request: HttpRequest, obj: Tier | None = None
    ) -> bool:
        # Who has no subscription has this one.
        return super().has_delete_permission(request, obj) and not (
            obj and obj.code == "free"
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Save, or with the other button show first what the draft would do."""
        if request.method == "POST" and "_preview" in request.POST and object_id:
            preview = self._preview(request, object_id)
            if preview is not None:
                return preview
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _preview(self, request: HttpRequest, code: str) -> HttpResponse | None:
        """Return the draft's effects, None when the form itself is not valid."""
        tier = self.get_object(request, code)
        if tier is None or not self.has_change_permission(request, tier):
            raise PermissionDenied
        before = Tier.objects.get(pk=tier.pk)
        form = self.get_form(request, tier, change=True)(request.POST, instance=tier)
        if not form.is_valid():
            return None
        draft = form.save(commit=False)
        holders = holders_of(before)
        today, found = simulate(before, draft)
        context = {
            **self.admin_site.each_context(request),
            "title": f"What the draft of {before.name} would do",
            "opts": self.opts,
            "original": before,
            "changes": list(changes(before, draft)),
            "n_holders": holders.count(),
            "holders": holders[:SHOWN],
            "found": found,
            "today": today,
            "reasons": by_reason(today, found),
            "excesses": list(excesses(before, draft)),
            "fields": [
                (name, value)
                for name, values in request.POST.lists()
                for value in values
                if name not in ("_preview", "csrfmiddlewaretoken")
            ],
            "DAYS": DAYS,
            "SHOWN": SHOWN,
        }
        return render(request, "admin/billing/tier/preview.html", context)

    def save_model(
        self, request: HttpRequest, obj: Tier, form: Any, change: bool
    ) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record(
                "tier.changed" if change else "tier.created",
                actor=staff_of(request),
                subject=obj.code,
                request=request,
                fields=sorted(form.changed_data),
            )

    def delete_model(self, request: HttpRequest, obj: Tier) -> None:
        with transaction.atomic():
            audit.record(
                "tier.deleted",
                actor=staff_of(request),
                subject=obj.code,
                request=request,
            )
            super().delete_model(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Deleting many at once would pass the audit log by.
        return {}


@admin.register(Subscription)
class SubscriptionAdmin(SearchByPerson, AddedOnlyAdmin):
    """Adding one ends the one that ran; the action ends one with none after it."""

    form = SubscriptionForm
    list_display = ("user", "tier", "starts_at", "ends_at", "reason")
    list_filter = ("tier", "starts_at")
    list_select_related = ("user", "tier")
    search_fields = whole_ids = ("id",)
    autocomplete_fields = ("user",)
    actions = ("end_now",)

    def get_fields(
        self, request: HttpRequest, obj: Subscription | None = None
    ) -> tuple[str, ...]:
        asked = ("user", "tier", "ends_at", "reason")
        return ("starts_at", *asked) if obj else asked

    def save_model(
        self,
        request: HttpRequest,
        obj: Subscription,
        form: Any,
        change: bool,
    ) -> None:
        started = change_tier(
            obj.user,
            obj.tier,
            staff_of(request),
            request=request,
            ends_at=obj.ends_at,
            reason=obj.reason,
        )
        obj.pk = started.pk

    @admin.action(description="End the chosen subscriptions now", permissions=["add"])
    def end_now(self, request: HttpRequest, queryset: Any) -> None:
        for subscription in queryset.select_related("user"):
            end_subscription(subscription, staff_of(request), request=request)


admin.site.register(LimitOverride, LimitOverrideAdmin)


@admin.register(UsageRecord)
class UsageRecordAdmin(SearchByPerson, ReadOnlyAdmin):
    list_display = (
        *("admitted_at", "user", "feature", "provider", "model", "outcome"),
        *("tokens_in", "tokens_out", "cost", "latency_ms"),
    )
    list_filter = (
        *("status", among("feature", METERED), among("provider", PROVIDERS)),
        *("estimated", "admitted_at"),
    )
    list_select_related = ("user",)
    search_fields = whole_ids = ("id", "request_id", "key_id")

    @labelled(
        "Status",
        {"ok": "success", "error": "danger", "abandoned": "danger"},
        ordering="status",
    )
    def outcome(self, record: UsageRecord) -> str:
        return record.status

    @admin.display(description="Cost", ordering="cost_usd_micros")
    def cost(self, row: UsageRecord) -> str:
        return dollars(row.cost_usd_micros)


@admin.register(Refusal)
class RefusalAdmin(SearchByPerson, ReadOnlyAdmin):
    """What was not let in, and so is in no record."""

    list_display = (
        *("minute", "user", "reason", "calls"),
        *("feature", "provider", "tier_code"),
    )
    list_filter = (among("reason", REASONS), among("feature", METERED), "minute")
    list_select_related = ("user",)
    search_fields = whole_ids = ("user_id",)

    @admin.display(description="Calls", ordering="n_calls")
    def calls(self, row: Refusal) -> int:
        return row.n_calls


@admin.register(UsageDay)
class UsageDayAdmin(SearchByPerson, ReadOnlyAdmin):
    list_display = (
        *("day", "user", "feature", "provider", "model", "requests"),
        *("tokens_in", "tokens_out", "cost", "errors"),
    )
    list_filter = (among("feature", METERED), among("provider", PROVIDERS), "day")
    list_select_related = ("user",)
    search_fields = whole_ids = ("model",)

    @admin.display(description="Cost", ordering="cost_usd_micros")
    def cost(self, row: UsageDay) -> str:
        return dollars(row.cost_usd_micros)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what the filtered days add up to, above the list itself."""
        answer = super().changelist_view(request, extra_context)
        context = getattr(answer, "context_data", None)
        if context is not None and "cl" in context:
            shown = context["cl"].queryset
            # Years of everybody's days would take seconds to add up.
            dated = any(name.startswith("day__") for name in request.GET)
            since = None if dated else clock.now().date() - timedelta(days=30)
            recent = shown if since is None else shown.filter(day__gte=since)
            context.update(sums=_sums_by_model(recent), sums_since=since)
        return answer


def _sums_by_model(days: "QuerySet[UsageDay]") -> list[dict[str, Any]]:
    """Return rows of feature, provider, model and sums, the dearest first."""
    rows = (
        days.order_by()
        .values("feature", "provider", "model")
        .annotate(
            sum_requests=Sum("requests"),
            sum_in=Sum("tokens_in"),
            sum_out=Sum("tokens_out"),
            sum_cost=Sum("cost_usd_micros"),
            sum_errors=Sum("errors"),
        )
        .order_by("-sum_cost", "-sum_requests")
    )
    return [dict(row) for row in rows]


@admin.register(Reservation)
class ReservationAdmin(SearchByPerson, ReadOnlyAdmin):
    """Calls that run now."""

    list_display = ("id", "user", "feature", "endpoint", "admitted_at", "expires_at")
    list_filter = (among("feature", METERED),)
    list_select_related = ("user",)
    search_fields = whole_ids = ("id", "request_id")


@admin.register(Quota)
class QuotaAdmin(SearchByPerson, ReadOnlyAdmin):
    list_display = ("user", "hour_start", "hour_used", "day_start", "day_used")
    list_select_related = ("user",)
    search_fields = whole_ids = ("user_id",)


def user_insights(request: HttpRequest, user_id: str) -> HttpResponse:
    """Show one person's last 30 days: totals, habits, and the tier that fits."""
    if not request.user.has_perm("billing.view_usagerecord"):
        raise PermissionDenied
    person = person_or_404(user_id)
    context = {
        **admin.site.each_context(request),
        "title": f"How {person.email} works",
        "person": person,
        "tier": tier_of(person),
        "month": report(person, "month").totals,
        "found": insights(person) if settings.ANALYTICS_ENABLED else None,
    }
    return render(request, "admin/insights.html", context)


STAFF_PAGES.append(
    StaffPage("accounts/user/<str:user_id>/insights", "user_insights", user_insights)
)
