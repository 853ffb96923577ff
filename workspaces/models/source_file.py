"""Files as uploaded: their names, and their contents once per workspace."""

from typing import Self

from django.db import models
from django.db.models import Q

from workspaces.models.workspace import Workspace


class BlobQuerySet(models.QuerySet["Blob"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def retired(self) -> Self:
        return self.exclude(retired_at=None)

    def charged(self) -> Self:
        """Those that count against the user's storage."""
        return self.filter(retired_at=None)


class Blob(models.Model):
    """One file's bytes, Zstandard-compressed; the database is their only home.

    A blob that no file names any more is *retired*: an older index generation may
    still show its lines, so it stays, uncharged, until the next switch.
    """

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="blobs")
    sha256 = models.CharField(max_length=64)  # of the raw bytes, lower-case hex
    content = models.BinaryField()  # zstd frame
    n_bytes = models.PositiveBigIntegerField()  # raw
    retired_at = models.DateTimeField(null=True, blank=True)  # None: in use
    # Why these bytes are not worth indexing, as a sentence; "": they are.
    objection = models.CharField(max_length=200, blank=True, default="")

    objects = BlobQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "sha256"], name="blob_once_per_workspace"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256


class SourceFileQuerySet(models.QuerySet["SourceFile"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def searched(self) -> Self:
        """Those that belong into the index."""
        return self.filter(skipped="")


class SourceFile(models.Model):
    """One file of a workspace, as last uploaded."""

    workspace = models.ForeignKey(
        Workspace, models.CASCADE, related_name="source_files"
    )
    path = models.CharField(max_length=1024)  # POSIX, relative, normalised
    sha256 = models.CharField(max_length=64)  # of the raw bytes, lower-case hex
    n_bytes = models.PositiveBigIntegerField()
    language = models.CharField(max_length=40)
    # The rule that keeps it out of the index, as a sentence; "": it is indexed.
    skipped = models.CharField(max_length=300, blank=True, default="")
    updated_at = models.DateTimeField()

    objects = SourceFileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "path"], name="source_file_path_once"
            ),
            models.CheckConstraint(
                condition=~Q(path="") & ~Q(path__startswith="/"),
                name="source_file_path_relative",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "sha256"], name="source_file_by_sha"),
        ]

    def __str__(self) -> str:
        return self.path


class LeftOutFileQuerySet(models.QuerySet["LeftOutFile"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)


class LeftOutFile(models.Model):
    """A file that somebody sent or named and that is not kept, with the reason."""

    MAX_PER_WORKSPACE = 2000  # a job's `n_skipped` counts all

    workspace = models.ForeignKey(
        Workspace, models.CASCADE, related_name="left_out_files"
    )
    path = models.CharField(max_length=1024)
    reason = models.CharField(max_length=300)

    objects = LeftOutFileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "path"], name="left_out_path_once"
            ),
        ]

    def __str__(self) -> str:
        return self.path
