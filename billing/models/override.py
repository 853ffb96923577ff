"""What one person may have instead of what the tier says."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from aiassist.lib import clock
from aiassist.lib.ids import new_id
from billing.models.spans import SpanQuerySet
from billing.models.tier import Terms, Tier, validate_features, validate_providers

NUMBERS = (
    *("requests_per_hour", "requests_per_day", "max_concurrent", "max_file_bytes"),
    *("max_storage_bytes", "max_workspaces", "max_files_per_workspace"),
    "context_tokens",
)
LISTS = {"providers": validate_providers, "features": validate_features}
_SWITCHES = ("own_provider_keys",)
OVERRIDABLE = (*NUMBERS, *LISTS, *_SWITCHES)


def validate_limits(limits: object) -> None:
    """Raise ValidationError unless `limits` maps columns of a tier to fit values."""
    if not isinstance(limits, dict) or not limits:
        raise ValidationError("Name at least one limit.")
    for name, value in limits.items():
        if name in NUMBERS:
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValidationError(f"'{name}' is a whole number.")
            column = Tier._meta.get_field(name)
            assert isinstance(column, models.Field)
            column.run_validators(value)
        elif name in LISTS:
            LISTS[name](value)
        elif name not in _SWITCHES:
            raise ValidationError(f"'{name}' is not a limit of a tier.")
        elif not isinstance(value, bool):
            raise ValidationError(f"'{name}' is true or false.")


def new_override_id() -> str:
    return new_id("over")


class LimitOverrideQuerySet(SpanQuerySet["LimitOverride"]):
    """Who has which limits of their own."""


class LimitOverride(models.Model):
    """Limits of one person over `[starts_at, ends_at)`; the others are the tier's."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_override_id, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="limit_overrides"
    )
    limits = models.JSONField(default=dict, validators=[validate_limits])  # by column
    reason = models.CharField(max_length=200)  # for staff
    starts_at = models.DateTimeField(default=clock.now)
    ends_at = models.DateTimeField(null=True, blank=True)  # None: open-ended

    objects = LimitOverrideQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="override_ends_after_it_starts",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(ends_at__isnull=True),
                name="override_one_open_per_user",
            ),
        ]
        indexes = [models.Index(fields=["user", "-starts_at"], name="override_newest")]

    def __str__(self) -> str:
        return f"{self.user_id}: {', '.join(sorted(self.limits))}"


def with_limits(tier: Tier, limits: dict[str, Any], ends_at: datetime | None) -> Tier:
    """Put one person's limits in the place of the tier's, in this copy of it."""
    for name, value in limits.items():
        if name in OVERRIDABLE:
            setattr(tier, name, value)
    tier.override = Terms(tuple(sorted(limits)), ends_at)
    return tier
