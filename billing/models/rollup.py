"""Sums per day, derived from the ledger; may be thrown away and derived again."""

from typing import Self

from django.conf import settings
from django.db import models


class UsageDayQuerySet(models.QuerySet["UsageDay"]):
    def for_user(self, user_id: str) -> Self:
        return self.filter(user_id=user_id)


class _Sums(models.Model):
    """What is summed of the calls of a day to one feature, provider and model."""

    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=120, blank=True)
    requests = models.PositiveBigIntegerField()
    tokens_in = models.PositiveBigIntegerField()
    tokens_out = models.PositiveBigIntegerField()
    cost_usd_micros = models.PositiveBigIntegerField()
    errors = models.PositiveBigIntegerField()  # status "error" or "abandoned"

    class Meta:
        abstract = True


class UsageDay(_Sums):
    """One user's sums of one UTC day, feature, provider and model."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,  # None: the user was erased
        related_name="usage_days",
        db_index=False,
    )
    day = models.DateField(db_index=True)

    objects = UsageDayQuerySet.as_manager()

    class Meta:
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "day", "feature", "provider", "model"],
                name="usage_day_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.day} {self.feature}"


class DayTotal(_Sums):
    """Everybody's sums of one UTC day, feature, provider and model.

    Small whatever the number of users: the staff's first page reads it alone.
    """

    day = models.DateField()

    class Meta:
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "feature", "provider", "model"], name="day_total_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.feature}"


class DaySpeed(models.Model):
    """How many good calls of one UTC day took about so long."""

    day = models.DateField()
    bucket = models.PositiveSmallIntegerField()  # see billing.reporting.speeds
    requests = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["-day", "bucket"]
        constraints = [
            models.UniqueConstraint(fields=["day", "bucket"], name="day_speed_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.bucket}"


class RollupMark(models.Model):
    """How far the rollups have read the ledger; the only row has the id 1."""

    read_until = models.DateTimeField()  # records created before this are summed

    def __str__(self) -> str:
        return self.read_until.isoformat()
