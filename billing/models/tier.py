"""What is sold, and a user's hold on it over time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from aiassist.lib import clock
from aiassist.lib.cached_principals import end_cached_principals
from aiassist.lib.ids import new_id
from billing.models.spans import SpanQuerySet

FEATURES = ("basic_chat", "code_explanation", "code_generation", "inline_completion")
PROVIDERS = ("extractive", "ollama", "openai", "anthropic", "google")


def _among(known: tuple[str, ...], names: object) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValidationError("Give a list of names.")
    for name in names:
        if name not in known:
            raise ValidationError(f"'{name}' is not one of {', '.join(known)}.")


def validate_features(names: object) -> None:
    """Raise ValidationError unless `names` is a list of known features."""
    _among(FEATURES, names)


def validate_providers(names: object) -> None:
    """Raise ValidationError unless `names` is a list of known providers."""
    _among(PROVIDERS, names)


@dataclass(frozen=True, slots=True)
class Terms:
    """Which of a tier's limits one person has otherwise, and until when."""

    fields: tuple[str, ...]
    ends_at: datetime | None  # None: until staff end it


class Tier(models.Model):
    """What a subscription allows. Edits bite at once, by `update` within a second."""

    code = models.SlugField(max_length=40, primary_key=True)
    name = models.CharField(max_length=80)
    rank = models.PositiveSmallIntegerField(unique=True)  # higher allows more
    # What a month of it costs; None: the installation tells no price.
    monthly_price_usd_micros = models.PositiveBigIntegerField(
        "monthly price", null=True, blank=True
    )
    requests_per_hour = models.PositiveIntegerField()
    requests_per_day = models.PositiveIntegerField()
    max_concurrent = models.PositiveIntegerField()  # metered calls at one time
    max_file_bytes = models.PositiveBigIntegerField()
    max_storage_bytes = models.PositiveBigIntegerField()  # over all workspaces
    max_workspaces = models.PositiveIntegerField()
    max_files_per_workspace = models.PositiveIntegerField()
    context_tokens = models.PositiveIntegerField()  # of one prompt
    providers = models.JSONField(default=list, validators=[validate_providers])
    features = models.JSONField(default=list, validators=[validate_features])
    # May its users bring keys of their own for providers? They pay those themselves.
    own_provider_keys = models.BooleanField(default=False)

    # Set on the copy that `tier_of` hands out, when staff gave the person other limits.
    override: Terms | None = None

    class Meta:
        ordering = ["rank"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.override is not None:
            raise ValueError("This copy of the tier holds one person's limits.")
        super().save(*args, **kwargs)
        end_cached_principals()


def new_subscription_id() -> str:
    return new_id("sub")


class SubscriptionQuerySet(SpanQuerySet["Subscription"]):
    """Who holds which tier."""


class Subscription(models.Model):
    """A user's hold on a tier over `[starts_at, ends_at)`; none means `free`."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_subscription_id, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="subscriptions"
    )
    tier = models.ForeignKey(Tier, models.PROTECT, related_name="subscriptions")
    starts_at = models.DateTimeField(default=clock.now)
    ends_at = models.DateTimeField(null=True, blank=True)  # None: open-ended
    reason = models.CharField(max_length=200, blank=True, default="")  # for staff

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="subscription_ends_after_it_starts",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(ends_at__isnull=True),
                name="subscription_one_open_per_user",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.tier_id}"
