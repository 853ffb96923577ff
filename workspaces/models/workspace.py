"""A user's isolated body of code."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import User
from aiassist.lib.ids import new_id


def new_workspace_id() -> str:
    """Return `workspace_` + 22 base62 characters; also the Qdrant collection."""
    return new_id("workspace")


class WorkspaceStatus(models.TextChoices):
    EMPTY = "empty"
    INDEXING = "indexing"  # an older generation may serve meanwhile
    READY = "ready"
    FAILED = "failed"


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def for_user(self, user: User) -> Self:
        """The user's workspaces, those being deleted left out."""
        return self.living().filter(user=user)

    def living(self) -> Self:
        return self.filter(deleted_at=None)

    def leasable(self, moment: datetime) -> Self:
        return self.living().filter(
            Q(lease_until=None) | Q(lease_until__lt=moment),
        )


class Workspace(models.Model):
    """A user's code, its files and its index."""

    id = models.CharField(primary_key=True, max_length=64, default=new_workspace_id)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="workspaces"
    )
    name = models.CharField(max_length=100)
    status = models.CharField(
        max_length=16,
        choices=WorkspaceStatus.choices,
        default=WorkspaceStatus.EMPTY,
    )
    # The generation that searches see; 0: none yet.
    generation = models.PositiveBigIntegerField(default=0)
    # The first index while it is made, searched until it is whole; 0: none.
    preview_generation = models.PositiveBigIntegerField(default=0)
    # The highest number ever given to a job; never given twice.
    last_generation = models.PositiveBigIntegerField(default=0)
    # Splitter and model of the visible generation; others are not comparable.
    index_version = models.CharField(max_length=100, blank=True, default="")
    n_files = models.PositiveIntegerField(default=0)
    n_chunks = models.PositiveIntegerField(default=0)
    n_bytes = models.PositiveBigIntegerField(default=0)
    # What its owner wants in and out, as patterns of .gitignore; see `rules`.
    include = models.JSONField(default=list, blank=True)
    exclude = models.JSONField(default=list, blank=True)
    use_gitignore = models.BooleanField(default=True)
    # Who may write this workspace's points now; one at a time.
    lease_token = models.CharField(max_length=64, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)  # None: free
    # When the index was last compared with the record, point by point; None: never.
    checked_at = models.DateTimeField(null=True, blank=True)
    last_indexed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)  # None: alive

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-created_at"], name="workspace_of_user"),
            models.Index(fields=["-created_at"], name="workspace_newest"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(generation__lte=models.F("last_generation")),
                name="workspace_generation_was_given",
            ),
            models.CheckConstraint(
                condition=Q(status__in=WorkspaceStatus.values),
                name="workspace_status_known",
            ),
            models.CheckConstraint(
                condition=Q(id__startswith="workspace_"), name="workspace_id_prefixed"
            ),
        ]

    def __str__(self) -> str:
        return self.id


class UserStorage(models.Model):
    """How many bytes a user's files hold; locked while they change.

    Every change of stored bytes takes this row's lock first, so that parallel
    uploads are judged one after the other and the cap is exact.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="storage",
    )
    n_bytes = models.PositiveBigIntegerField(default=0)

    objects = models.Manager["UserStorage"]()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(n_bytes__gte=0), name="user_storage_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"storage of {self.user_id}"


class TombstoneQuerySet(models.QuerySet["Tombstone"]):
    def unconfirmed(self) -> Self:
        return self.filter(confirmed_at=None)


class Tombstone(models.Model):
    """A deleted workspace, remembered so that nobody writes its points again.

    It has no link to the user: it outlives them.
    """

    KEEP_WATCH = timedelta(seconds=60)

    workspace_id = models.CharField(primary_key=True, max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    # Collection found missing after every writer must have noticed; None: not yet.
    confirmed_at = models.DateTimeField(null=True, blank=True)

    objects = TombstoneQuerySet.as_manager()

    def __str__(self) -> str:
        return f"tombstone of {self.workspace_id}"
