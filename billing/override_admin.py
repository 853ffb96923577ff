"""Staff give one person other limits than the tier's, for a reason and a time."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from accounts.staff import AddedOnlyAdmin, SearchByPerson, staff_of
from billing.admin_forms import UntilForm, require_hour_within_day
from billing.models import FEATURES, PROVIDERS, LimitOverride
from billing.models.override import LISTS, NUMBERS, OVERRIDABLE
from billing.tiers.overrides import end_override, override_limits

_CHOICES = {"providers": PROVIDERS, "features": FEATURES}
_AS_THE_TIER = "None chosen: as the tier."


def _number(name: str) -> forms.Field:
    return forms.IntegerField(
        label=_label(name),
        min_value=0,
        max_value=2**31 - 1 if "bytes" not in name else 2**53,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )


def _list(name: str) -> forms.Field:
    return forms.MultipleChoiceField(
        label=_label(name),
        choices=[(choice, choice) for choice in _CHOICES[name]],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
        help_text=_AS_THE_TIER,
    )


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


class LimitOverrideForm(UntilForm):
    """One field for each limit of a tier; what stays empty is the tier's."""

    own_provider_keys = forms.TypedChoiceField(
        choices=[("", "As the tier"), ("yes", "Yes"), ("no", "No")],
        coerce=lambda said: said == "yes",
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = LimitOverride
        fields = ("user", "reason", "ends_at")
        labels = {"ends_at": "Until"}
        help_texts = {
            "ends_at": "In UTC; then the tier's own limits hold again. Empty: until "
            "somebody ends it.",
            "reason": "For colleagues; no personal data.",
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if not self.limits():
            self.add_error(None, "Give at least one limit.")
        require_hour_within_day(self)
        return cleaned

    def limits(self) -> dict[str, Any]:
        """Return what was filled in, by column of the tier."""
        given = {name: self.cleaned_data.get(name) for name in OVERRIDABLE}
        return {name: value for name, value in given.items() if value not in (None, [])}


# Declared from the tier's columns, so that the form cannot forget one.
_LIMITS = {name: _number(name) for name in NUMBERS}
_LIMITS |= {name: _list(name) for name in LISTS}
LimitOverrideForm.declared_fields.update(_LIMITS)
LimitOverrideForm.base_fields.update(_LIMITS)


class LimitOverrideAdmin(SearchByPerson, AddedOnlyAdmin):
    """Adding one ends the one that ran; the action ends one with none after it."""

    form = LimitOverrideForm
    list_display = ("user", "told", "starts_at", "ends_at", "reason")
    list_filter = ("starts_at",)
    list_select_related = ("user",)
    search_fields = whole_ids = ("id",)
    autocomplete_fields = ("user",)
    actions = ("end_now",)

    @admin.display(description="Limits")
    def told(self, override: LimitOverride) -> str:
        return ", ".join(f"{k}: {v}" for k, v in sorted(override.limits.items()))

    def get_fields(
        self, request: HttpRequest, obj: LimitOverride | None = None
    ) -> tuple[str, ...]:
        if obj is not None:
            return ("user", "told", "reason", "starts_at", "ends_at")
        return ("user", "reason", "ends_at", *OVERRIDABLE)

    def save_model(
        self,
        request: HttpRequest,
        obj: LimitOverride,
        form: Any,
        change: bool,
    ) -> None:
        given = override_limits(
            obj.user,
            form.limits(),
            staff_of(request),
            reason=obj.reason,
            ends_at=obj.ends_at,
            request=request,
        )
        obj.pk = given.pk

    @admin.action(description="End the chosen overrides now", permissions=["add"])
    def end_now(self, request: HttpRequest, queryset: Any) -> None:
        for override in queryset.select_related("user"):
            end_override(override, staff_of(request), request=request)
