"""Rows that hold over a half-open span of time for one person."""

from datetime import datetime
from typing import Self, TypeVar

from django.db import models
from django.db.models import Q

Row = TypeVar("Row", bound=models.Model)


class SpanQuerySet(models.QuerySet[Row]):
    """For models with `user`, `starts_at` and `ends_at` (None: open-ended)."""

    def for_user(self, user_id: str) -> Self:
        return self.filter(user_id=user_id)

    def running_at(self, moment: datetime) -> Self:
        """Those whose half-open span `[starts_at, ends_at)` holds `moment`."""
        return self.filter(starts_at__lte=moment).filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=moment)
        )
