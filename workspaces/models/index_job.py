"""Accepted work: bringing a workspace's index up to its files."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import User
from aiassist.lib.ids import new_id
from workspaces.models.workspace import Workspace


def new_job_id() -> str:
    return new_id("job")


class JobState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobPhase(models.TextChoices):
    """What a running job is at; empty until its first slice."""

    KEYWORDS = "keywords"  # a first index: the words of all files, then the rest
    EMBEDDING = "embedding"


ACTIVE_STATES = (JobState.QUEUED, JobState.RUNNING)
FINAL_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class IndexJobQuerySet(models.QuerySet["IndexJob"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def for_user(self, user: User) -> Self:
        return self.filter(user=user, workspace__deleted_at=None)

    def active(self) -> Self:
        return self.filter(state__in=ACTIVE_STATES)

    def running(self) -> Self:
        return self.filter(state=JobState.RUNNING)

    def unclean(self) -> Self:
        """Finished, but the points that they leave behind may still be there."""
        return self.filter(state__in=FINAL_STATES, cleaned_at=None)

    def due(self, moment: datetime) -> Self:
        """Active, not put off, not parked; another job or worker may be in the way."""
        return self.active().filter(
            Q(not_before=None) | Q(not_before__lte=moment),
            fetching=False,
            parked_at=None,
        )

    def runnable(self, moment: datetime) -> Self:
        """Those that a worker may take now: due, and nobody holds the workspace."""
        running = IndexJob.objects.running().filter(
            workspace=models.OuterRef("workspace")
        )
        return self.due(moment).filter(
            Q(workspace__lease_until=None) | Q(workspace__lease_until__lt=moment),
            Q(state=JobState.RUNNING)
            | Q(state=JobState.QUEUED) & ~models.Exists(running),
            workspace__deleted_at=None,
        )


class IndexJob(models.Model):
    """The truth about a piece of indexing; messages only point here."""

    MAX_SKIPPED = 200  # entries kept; `n_skipped` counts all
    MAX_ATTEMPTS = 3  # workers lost before it is parked
    RESEND_AFTER = timedelta(seconds=30)

    id = models.CharField(primary_key=True, max_length=64, default=new_job_id)
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="jobs")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="index_jobs"
    )
    state = models.CharField(
        max_length=16, choices=JobState.choices, default=JobState.QUEUED
    )
    rebuild = models.BooleanField(default=False)  # do not trust what is there
    # Asked for by an import, whose code comes first: nobody joins it meanwhile.
    imported = models.BooleanField(default=False)
    fetching = models.BooleanField(default=False)  # its code is still on the way
    background = models.BooleanField(default=False)  # nobody waits for it
    generation = models.PositiveBigIntegerField(null=True)  # None: never started
    # zstd JSON of `indexing.manifest`, as of the start; gone at the end.
    manifest = models.BinaryField(null=True)
    phase = models.CharField(
        max_length=16, choices=JobPhase.choices, blank=True, default=""
    )
    phase_at = models.DateTimeField(null=True)  # when it began
    cursor = models.CharField(max_length=1024, blank=True, default="")  # last path,
    cursor_chunks = models.PositiveIntegerField(default=0)  # passages of it; 0: all
    files_total = models.PositiveIntegerField(default=0)
    files_read = models.PositiveIntegerField(default=0)  # found by their words
    files_done = models.PositiveIntegerField(default=0)  # found by their meaning, too
    bytes_total = models.PositiveBigIntegerField(default=0)  # of the files that changed
    bytes_done = models.PositiveBigIntegerField(default=0)
    chunks = models.PositiveIntegerField(default=0)  # of the new generation by now
    chunks_total = models.PositiveIntegerField(null=True)  # None: not all are cut
    chunks_computed = models.PositiveIntegerField(default=0)  # that the model has read
    skipped = models.JSONField(default=list)  # [{path, reason}], at most MAX_SKIPPED
    n_skipped = models.PositiveIntegerField(default=0)
    skipped_reasons = models.JSONField(default=list)  # [{reason, count}], most first
    error = models.TextField(blank=True, default="")  # a sentence for people
    # Times taken by a worker that has not come back in order since.
    attempts = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(default=0)  # a part was away
    cancel_requested = models.BooleanField(default=False)
    not_before = models.DateTimeField(null=True)  # None: at once
    parked_at = models.DateTimeField(null=True)  # put aside by staff; None: it is not
    sent_at = models.DateTimeField(null=True)  # last message; None: never
    heartbeat_at = models.DateTimeField(null=True)  # last sign of a worker
    cleaned_at = models.DateTimeField(null=True)  # None: points may be left over
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = IndexJobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="job_of_workspace"),
            models.Index(fields=["user", "heartbeat_at"], name="job_turn_of_user"),
            models.Index(
                fields=["user", "created_at"],
                name="job_active_of_user",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["created_at"],
                name="job_active",
                condition=Q(state__in=["queued", "running"]),
            ),
            models.Index(
                fields=["finished_at"],
                name="job_unclean",
                condition=Q(cleaned_at=None)
                & Q(state__in=["succeeded", "failed", "cancelled"]),
            ),
            models.Index(fields=["-created_at"], name="job_newest"),
            models.Index(
                fields=["-finished_at"],
                name="job_first_ended",
                condition=Q(generation=1, state="succeeded"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace"],
                condition=Q(state="running"),
                name="job_one_running_per_workspace",
            ),
            models.UniqueConstraint(
                fields=["workspace"],
                condition=Q(state="queued", imported=False),
                name="job_one_queued_per_workspace",
            ),
            models.UniqueConstraint(
                fields=["workspace"],
                condition=Q(state="queued", fetching=True),
                name="job_one_fetching_per_workspace",
            ),
            models.CheckConstraint(
                condition=Q(state__in=JobState.values), name="job_state_known"
            ),
            models.CheckConstraint(
                condition=Q(files_done__lte=models.F("files_total")),
                name="job_done_within_total",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "cancelled", "failed"])
                | Q(generation__isnull=False),
                name="job_started_has_generation",
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_over(self) -> bool:
        return self.state in FINAL_STATES
