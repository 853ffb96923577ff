"""Where a workspace's code comes from when it is imported from a git host."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q

from accounts.models import User
from aiassist.lib.ids import new_id
from workspaces.models.workspace import Workspace


def new_hook_id() -> str:
    return new_id("hook")


class GitSourceQuerySet(models.QuerySet["GitSource"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def for_user(self, user: User) -> Self:
        return self.filter(workspace__user=user, workspace__deleted_at=None)

    def living(self) -> Self:
        return self.filter(workspace__deleted_at=None)

    def scheduled(self, moment: datetime) -> Self:
        return self.living().filter(next_at__lte=moment)

    def held(self, moment: datetime) -> Self:
        """Those that a worker is fetching now."""
        return self.filter(lease_until__gte=moment)


class GitSource(models.Model):
    """A remote repository that a workspace follows. Its secrets are sealed."""

    MAX_ATTEMPTS = 3
    RESEND_AFTER = timedelta(seconds=60)

    workspace = models.OneToOneField(
        Workspace, models.CASCADE, primary_key=True, related_name="git_source"
    )
    url = models.CharField(max_length=500)
    ref = models.CharField(max_length=255, blank=True)  # "": the default branch
    username = models.CharField(max_length=100, blank=True)
    token = models.TextField(blank=True)  # sealed; "": a public repository
    every_hours = models.PositiveSmallIntegerField(null=True)  # None: only when asked
    next_at = models.DateTimeField(null=True)  # None: no schedule
    commit = models.CharField(max_length=64, blank=True)  # last one taken, hex
    branch = models.CharField(max_length=255, blank=True)  # what `ref` led to last
    imported_at = models.DateTimeField(null=True)  # None: never
    error = models.TextField(blank=True)  # of the last try, for people
    # When somebody last asked: a fetch that began before does not answer it.
    wanted_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # None: at once
    sent_at = models.DateTimeField(null=True)  # last message; None: never
    lease_token = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)  # None: nobody fetches
    hook_id = models.CharField(max_length=64, unique=True, default=new_hook_id)
    hook_secret = models.TextField(blank=True)  # sealed; "": pushes are not heard
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = GitSourceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"],
                name="git_source_due",
                condition=Q(next_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"git source of {self.workspace_id}"


class PushDelivery(models.Model):
    """A push that was heard, so that hearing it again changes nothing."""

    KEEP = timedelta(days=7)

    source = models.ForeignKey(GitSource, models.CASCADE, related_name="deliveries")
    digest = models.CharField(max_length=64)  # SHA-256 of the body, hex
    received_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager["PushDelivery"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "digest"], name="push_delivery_once"
            ),
        ]
        indexes = [models.Index(fields=["received_at"], name="push_delivery_age")]

    def __str__(self) -> str:
        return self.digest
