"""A client's declaration of what its workspace shall hold."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q

from aiassist.lib.ids import new_id
from workspaces.models.workspace import Workspace


def new_sync_id() -> str:
    return new_id("sync")


class SyncState(models.TextChoices):
    OPEN = "open"
    COMMITTED = "committed"
    EXPIRED = "expired"


class SyncQuerySet(models.QuerySet["Sync"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def open(self) -> Self:
        return self.filter(state=SyncState.OPEN)

    def overdue(self, moment: datetime) -> Self:
        return self.open().filter(created_at__lt=moment - Sync.LIFETIME)


class Sync(models.Model):
    """A manifest waiting for its files; what they change are `SyncEntry` rows."""

    LIFETIME = timedelta(hours=24)

    id = models.CharField(primary_key=True, max_length=64, default=new_sync_id)
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="syncs")
    state = models.CharField(
        max_length=16, choices=SyncState.choices, default=SyncState.OPEN
    )
    delete_missing = models.BooleanField()
    # zstd JSON {path: sha256} of everything it names; gone when it is over.
    manifest = models.BinaryField(null=True)
    skipped = models.JSONField(default=list)  # [{path, reason}], bounded
    n_skipped = models.PositiveIntegerField(default=0)
    skipped_reasons = models.JSONField(default=list)  # [{reason, count}]
    job = models.ForeignKey(
        "workspaces.IndexJob", models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    committed_at = models.DateTimeField(null=True)  # None: not yet

    objects = SyncQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "state"], name="sync_of_workspace"),
            models.Index(
                fields=["created_at"],
                name="sync_overdue",
                condition=Q(state="open"),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=SyncState.values), name="sync_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.id


class SyncEntry(models.Model):
    """One file that a sync changes. Its rows go when the sync is over."""

    sync = models.ForeignKey(Sync, models.CASCADE, related_name="entries")
    path = models.CharField(max_length=1024)
    sha256 = models.CharField(max_length=64)

    objects = models.Manager["SyncEntry"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sync", "path"], name="sync_path_once"),
        ]
        indexes = [models.Index(fields=["sync", "sha256"], name="sync_entry_by_sha")]

    def __str__(self) -> str:
        return self.path
