"""Index in this process, and look at what came of it."""

from collections.abc import Mapping
from typing import Any

from tests.workspaces.packing import zip_of
from workspaces.indexing.runner import run_next
from workspaces.models import Blob, IndexJob, Workspace
from workspaces.receiving.archives import import_archive
from workspaces.vectors.base import FOREVER, VectorStore


class Indexer:
    """Puts files into a workspace and indexes it in this process."""

    def __init__(self, store: VectorStore) -> None:
        self.store = store

    def put(self, workspace: Workspace, files: Mapping[str, bytes | str]) -> IndexJob:
        """Make these the workspace's files; the job waits."""
        return import_archive(workspace=workspace, file=zip_of(files))

    def run(self, step: Any = None, *, most: int = 50) -> int:
        """Give slices until nobody waits; return how many."""
        extra = {} if step is None else {"step": step}
        for done in range(most):
            if not run_next(lambda: self.store, **extra):
                return done
        raise AssertionError("the jobs never end")

    def index(self, workspace: Workspace, files: Mapping[str, bytes | str]) -> IndexJob:
        """Put and run."""
        job = self.put(workspace, files)
        self.run()
        job.refresh_from_db()
        workspace.refresh_from_db()
        return job

    def visible(self, workspace: Workspace) -> set[tuple[str, int, int, str]]:
        """Return what a search can find now: path, lines, content."""
        seen = Workspace.objects.get(pk=workspace.pk).generation
        return {
            (p.path, p.start_line, p.end_line, p.sha256)
            for _, p in self.store.scroll(workspace.pk)
            if p.since <= seen < p.until
        }

    def assert_clean(self, workspace: Workspace) -> None:
        """Every point is visible, none is doomed, each has its content."""
        fresh = Workspace.objects.get(pk=workspace.pk)
        points = list(self.store.scroll(workspace.pk))
        assert all(
            p.since <= fresh.generation and p.until == FOREVER for _, p in points
        ), points
        assert len(points) == fresh.n_chunks, (len(points), fresh.n_chunks)
        shas = set(Blob.objects.for_workspace(fresh).values_list("sha256", flat=True))
        assert {p.sha256 for _, p in points} <= shas
