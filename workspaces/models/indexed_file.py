"""What each generation of an index shows of a file: the database's own record."""

from typing import Self

from django.db import models
from django.db.models import Q

from workspaces.models.workspace import Workspace


class IndexedFileQuerySet(models.QuerySet["IndexedFile"]):
    def for_workspace(self, workspace: Workspace) -> Self:
        return self.filter(workspace=workspace)

    def visible(self, workspace: Workspace) -> Self:
        """Those that the workspace's generation shows."""
        return self.filter(workspace=workspace, since__lte=workspace.generation)

    def of_generation(self, workspace: Workspace, generation: int) -> Self:
        """Those that a build of this number has written so far."""
        return self.filter(workspace=workspace, since=generation)


class IndexedFile(models.Model):
    """One file's content in the index, from the generation `since` on.

    The row that another replaces goes with the switch, so those up to the visible
    generation are what it shows, and those of a higher number are under construction.
    """

    workspace = models.ForeignKey(
        Workspace, models.CASCADE, related_name="indexed_files"
    )
    path = models.CharField(max_length=1024)
    sha256 = models.CharField(max_length=64)  # of the raw bytes, lower-case hex
    since = models.PositiveBigIntegerField()
    n_points = models.PositiveIntegerField()
    n_bytes = models.PositiveBigIntegerField()  # raw
    # False: its points can be found by their words only; the vectors follow.
    is_whole = models.BooleanField()
    reason = models.TextField(blank=True, default="")  # why it has no points

    objects = IndexedFileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "path", "since"], name="indexed_file_once"
            ),
            models.CheckConstraint(
                condition=Q(n_points=0) | Q(reason=""),
                name="indexed_file_skipped_has_no_points",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "since"], name="indexed_file_since"),
            models.Index(fields=["workspace", "sha256"], name="indexed_file_by_sha"),
        ]

    def __str__(self) -> str:
        return self.path
