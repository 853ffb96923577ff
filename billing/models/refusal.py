"""What limits refused, counted; the ledger itself holds what was let in."""

from typing import Self

from django.conf import settings
from django.db import models


class RefusalQuerySet(models.QuerySet["Refusal"]):
    def for_user(self, user_id: str) -> Self:
        return self.filter(user_id=user_id)


class Refusal(models.Model):
    """Calls of one user that one limit refused within one minute."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="refusals",
        db_index=False,
    )
    minute = models.DateTimeField(db_index=True)
    tier_code = models.CharField(max_length=40)
    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=40, blank=True)  # "": none was asked for
    reason = models.CharField(max_length=60)  # see billing.metering.refusals
    n_calls = models.PositiveBigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    objects = RefusalQuerySet.as_manager()

    class Meta:
        ordering = ["-minute", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "minute", "tier_code", "feature", "provider", "reason"],
                name="refusal_once_a_minute",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.minute:%Y-%m-%d %H:%M} {self.reason}"
