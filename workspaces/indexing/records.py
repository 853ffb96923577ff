"""The database's record of an index: begun, compared, tidied."""

from collections import Counter

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from aiassist.lib.clock import now
from workspaces.ignoring.skips import Skips
from workspaces.indexing.generations import FileKey, put_right
from workspaces.indexing.manifest import Manifest
from workspaces.jobs.leases import Lease, LeaseLost, locked_by
from workspaces.models import Blob, IndexedFile, IndexJob, Workspace
from workspaces.vectors.base import VectorStore


def begin_generation(job: IndexJob, workspace: Workspace) -> None:
    """Give the job a number never given before and the files as they are now.

    The caller holds the workspace's lock and saves the job.
    """
    workspace.last_generation += 1
    workspace.save(update_fields=["last_generation"])
    job.generation = workspace.last_generation
    rows = IndexedFile.objects.for_workspace(workspace)
    rows.filter(since__gt=workspace.generation).delete()
    manifest = Manifest.of(workspace, rebuild=job.rebuild, generation=job.generation)
    job.manifest = manifest.pack()
    job.phase, job.phase_at = "", None
    job.cursor, job.cursor_chunks = "", 0
    job.files_total, job.bytes_total = manifest.n_files, manifest.n_bytes
    job.files_read = job.files_done = manifest.n_kept
    job.chunks, job.chunks_total = manifest.n_kept_points, None
    job.bytes_done = job.chunks_computed = 0
    skips = Skips.of(job)
    for path, reason in _still_left_out(workspace, manifest):
        skips.add(path, reason)
    skips.store_in(job)


def _still_left_out(workspace: Workspace, manifest: Manifest) -> list[tuple[str, str]]:
    """Return the files that stay as they are: not indexed, for the same reason."""
    rows = IndexedFile.objects.visible(workspace).exclude(reason="")
    return [
        (path, reason)
        for path, reason in rows.order_by("path").values_list("path", "reason")
        if path not in manifest.drop
    ]


def put_leftovers_right(job: IndexJob, lease: Lease, store: VectorStore) -> None:
    """After a job ended in whatever way: no point of it that nobody sees remains."""

    def guard() -> None:
        if not lease.renew():
            raise LeaseLost

    with transaction.atomic():
        workspace = locked_by(lease)
        # The next one may be between two of its slices.
        running = IndexJob.objects.for_workspace(workspace).running().first()
        building = running.generation if running else None
        IndexedFile.objects.for_workspace(workspace).filter(
            since__gt=workspace.generation
        ).exclude(since=building or 0).delete()
    put_right(
        store,
        workspace.pk,
        visible=workspace.generation,
        building=building,
        watch=guard,
    )
    IndexJob.objects.for_workspace(workspace).unclean().update(cleaned_at=now())


def points_by_file(rows: QuerySet[IndexedFile]) -> dict[FileKey, int]:
    """Return how many points the record says that each file has."""
    found = rows.exclude(n_points=0).values_list("path", "sha256", "n_points")
    return {(path, sha): n for path, sha, n in found.iterator()}


def mark_clean(job: IndexJob) -> None:
    IndexJob.objects.filter(pk=job.pk).update(cleaned_at=now())


def forget_retired(workspace: Workspace) -> None:
    """Remove contents that neither a file nor the index shows."""
    shown = IndexedFile.objects.for_workspace(workspace).filter(
        sha256=OuterRef("sha256")
    )
    Blob.objects.for_workspace(workspace).retired().exclude(Exists(shown)).delete()


def adopt(lease: Lease, store: VectorStore) -> None:
    """Record an index that was made before there was a record, as the store has it."""
    workspace = Workspace.objects.living().filter(pk=lease.workspace_id).first()
    if workspace is None or not workspace.generation or not workspace.n_chunks:
        return
    if IndexedFile.objects.for_workspace(workspace).exists():
        return
    counts: Counter[FileKey] = Counter()
    for _, payload in store.scroll(workspace.pk):
        if payload.since <= workspace.generation < payload.until:
            counts[payload.path, payload.sha256] += 1
    with transaction.atomic():
        locked_by(lease)
        IndexedFile.objects.bulk_create(
            (
                IndexedFile(
                    workspace=workspace,
                    path=path,
                    sha256=sha,
                    since=workspace.generation,
                    n_points=n_points,
                    n_bytes=0,
                    is_whole=True,
                )
                for (path, sha), n_points in counts.items()
            ),
            batch_size=400,
            ignore_conflicts=True,
        )
