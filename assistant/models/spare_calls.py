"""Local answers that a user got after their quota was used up."""

from typing import Self

from django.conf import settings
from django.db import models

from accounts.models import User


class SpareCallsQuerySet(models.QuerySet["SpareCalls"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class SpareCalls(models.Model):
    """One user's count in the clock hour that runs; locked while it changes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="spare_calls",
    )
    hour_start = models.DateTimeField()
    used = models.PositiveIntegerField(default=0)

    objects = SpareCallsQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.user_id}: {self.used} this hour"
