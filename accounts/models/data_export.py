"""A copy of all that we hold about a user, made when they ask."""

import gzip
import json
from typing import Any, Self

from django.db import models
from django.db.models import Q

from accounts.models.user import User
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id


def new_export_id() -> str:
    return new_id("export")


class DataExportQuerySet(models.QuerySet["DataExport"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)

    def queued(self) -> Self:
        return self.filter(state=DataExport.State.QUEUED)


class DataExport(models.Model):
    """One asked-for export; kept for a week."""

    class State(models.TextChoices):
        QUEUED = "queued"
        READY = "ready"
        FAILED = "failed"

    id = models.CharField(
        max_length=40, primary_key=True, default=new_export_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="data_exports")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    created_at = models.DateTimeField(default=now, db_index=True)
    finished_at = models.DateTimeField(null=True)  # None: not yet
    body = models.BinaryField(default=b"")  # gzipped JSON

    objects = DataExportQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(state="queued"),
                name="export_one_queued_per_user",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "ready", "failed"]),
                name="export_state_known",
            ),
        ]

    def __str__(self) -> str:
        return self.pk

    def pack(self, data: dict[str, Any]) -> None:
        """Hold the export's contents."""
        self.body = gzip.compress(json.dumps(data, ensure_ascii=False).encode())

    def unpack(self) -> dict[str, Any] | None:
        """Return the contents, None while there are none."""
        if self.state != self.State.READY:
            return None
        contents: dict[str, Any] = json.loads(gzip.decompress(bytes(self.body)))
        return contents
