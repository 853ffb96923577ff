"""What staff fill in about tiers, prices and subscriptions."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.template.defaultfilters import filesizeformat
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
)

from aiassist.lib import clock
from billing.models import FEATURES, PROVIDERS, Subscription, Tier

if TYPE_CHECKING:
    # Generic for mypy only: Django's own classes cannot be subscribed.
    _TierForm = forms.ModelForm[Tier]
    _AnyForm = forms.ModelForm[Any]
else:
    _TierForm = _AnyForm = forms.ModelForm

_MICROS = 1_000_000
TIER_FIELDS = (
    *("code", "name", "rank", "monthly_price_usd_micros"),
    *("requests_per_hour", "requests_per_day", "max_concurrent"),
    *("max_file_bytes", "max_storage_bytes", "max_workspaces"),
    *("max_files_per_workspace", "context_tokens"),
    *("providers", "features", "own_provider_keys"),
)


class DollarsField(forms.DecimalField):
    """Typed and shown in dollars, for a column that holds micro-dollars."""

    widget = UnfoldAdminDecimalFieldWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_digits=10, decimal_places=6, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value  # as it was typed
        dollars = Decimal(value) / _MICROS
        return f"{dollars:.2f}" if dollars == round(dollars, 2) else dollars.normalize()

    def clean(self, value: Any) -> int | None:
        dollars: Decimal | None = super().clean(value)
        return None if dollars is None else int(dollars * _MICROS)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def require_hour_within_day(form: forms.BaseForm) -> None:
    """Refuse an hour that allows more than its day."""
    given = form.cleaned_data
    hour, day = given.get("requests_per_hour"), given.get("requests_per_day")
    if hour is not None and day is not None and hour > day:
        form.add_error("requests_per_hour", "An hour cannot allow more than its day.")


class UntilForm(_AnyForm):
    """Gives somebody something until `ends_at`."""

    def clean_ends_at(self) -> datetime | None:
        ends_at: datetime | None = self.cleaned_data["ends_at"]
        if ends_at is not None and ends_at <= clock.now():
            raise forms.ValidationError("This moment has passed.")
        return ends_at

    def _get_validation_exclusions(self) -> set[str]:
        # That only one is open is the service's to keep: it ends the other.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded | {"ends_at"}


class TierForm(_TierForm):
    providers = forms.MultipleChoiceField(
        choices=[(name, name) for name in PROVIDERS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
    )
    features = forms.MultipleChoiceField(
        choices=[(name, name) for name in FEATURES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
    )

    monthly_price_usd_micros = DollarsField(
        label="Price",
        required=False,
        help_text="US dollars a month. Empty: this installation tells no price.",
    )

    class Meta:
        model = Tier
        fields = TIER_FIELDS
        help_texts = {
            "rank": "Higher allows more; refusals recommend the next that helps.",
            "max_concurrent": "Metered calls of one user at one time.",
            "max_storage_bytes": "Over all workspaces of one user.",
            "own_provider_keys": "Users may have calls run on keys of their own.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Who may only look has no fields.
        for name in {"max_file_bytes", "max_storage_bytes"} & self.fields.keys():
            now = f"Now {filesizeformat(getattr(self.instance, name) or 0)}."
            told = self.fields[name].help_text
            self.fields[name].help_text = f"{told} {now}".strip()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        require_hour_within_day(self)
        return cleaned


class SubscriptionForm(UntilForm):
    """Who gets which tier, until when, and why."""

    class Meta:
        model = Subscription
        fields = ("user", "tier", "ends_at", "reason")
        labels = {"ends_at": "Until"}
        help_texts = {
            "ends_at": "In UTC; then the tier is Free again. Empty: until changed.",
            "reason": "For colleagues; no personal data.",
        }
