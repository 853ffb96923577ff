"""Index a workspace: from an accepted job to a new generation that searches see.

A job may be cut off after any statement and taken up by another worker. The job's
row says how far it came, the vector store itself says which points are there, and
nothing written before the switch is visible (`generations`).
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import zstandard
from django.db import transaction
from django.db.models import Q

from aiassist.lib.clock import now
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.embedding import MODEL_NAME
from workspaces.indexing.generations import (
    SPLITTER_VERSION,
    FileKey,
    batches,
    plan_ending,
    point_ids,
    put_right,
    survey,
)
from workspaces.indexing.keywords import passage_terms
from workspaces.indexing.reuse import vectors_for
from workspaces.indexing.splitting import split
from workspaces.jobs import end_job
from workspaces.leases import Lease
from workspaces.models import Blob, IndexJob, JobState, SourceFile, Workspace
from workspaces.skips import FIELDS, Skips
from workspaces.storage import unpack
from workspaces.texts import MAX_TEXT_BYTES, NotIndexable, indexable_text
from workspaces.vectors.base import Point, PointPayload, VectorStore

logger = logging.getLogger(__name__)

INDEX_VERSION = f"{MODEL_NAME}/{SPLITTER_VERSION}"
BATCH_CHUNKS = 128
BATCH_FILES = 50
BATCH_BYTES = 8 * 1024 * 1024
SLICE_SECONDS = 20.0  # then another user's job gets its turn

Step = Callable[[str], None]  # told the name of each step; a test may stop there


class LeaseLost(Exception):
    """Another worker took over, or the workspace is gone: stop without a trace."""


class StopRequested(Exception):
    """The owner cancelled the job, or is no longer a user."""


class TurnOver(Exception):
    """Somebody else waits; the job goes on in its next slice."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files that a job indexes, as they were when it started."""

    files: dict[str, str]  # path → sha256, in path order

    @classmethod
    def of(cls, workspace: Workspace) -> "Manifest":
        rows = SourceFile.objects.for_workspace(workspace).searched()
        # Sorted here, as databases order by their own collations.
        return cls(dict(sorted(rows.values_list("path", "sha256").iterator())))

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> "Manifest":
        return cls(dict(json.loads(zstandard.ZstdDecompressor().decompress(packed))))

    def pack(self) -> bytes:
        return zstandard.ZstdCompressor().compress(
            json.dumps(list(self.files.items())).encode()
        )

    def holds(self, key: FileKey) -> bool:
        return self.files.get(key[0]) == key[1]


@dataclass(slots=True)
class _Batch:
    """Files read and cut, waiting to be embedded and written together."""

    last_path: str = ""
    n_files: int = 0
    chunks: list[tuple[Chunk, str, str]] = field(default_factory=list)  # id, sha256

    @property
    def is_full(self) -> bool:
        return len(self.chunks) >= BATCH_CHUNKS or self.n_files >= BATCH_FILES


def nothing(step: str) -> None:
    """Ignore a step."""


class IndexRun:
    """One worker's slice of one job, under the workspace's lease."""

    def __init__(
        self,
        *,
        job: IndexJob,
        lease: Lease,
        store: VectorStore,
        others_wait: Callable[[], bool],
        step: Step = nothing,
    ) -> None:
        self.job = job
        self.workspace = job.workspace
        self.lease = lease
        self.store = store
        self.step = step
        self._others_wait = others_wait
        self._turn_ends = time.monotonic() + SLICE_SECONDS
        if job.generation is None or job.manifest is None:
            raise LeaseLost
        self.generation: int = job.generation
        self.manifest = Manifest.unpack(job.manifest)
        self.reusable = (
            not job.rebuild and self.workspace.index_version == INDEX_VERSION
        )
        # A rebuild must not overwrite points that searches still see.
        self.salt = (
            INDEX_VERSION if self.reusable else f"{INDEX_VERSION}/{self.generation}"
        )
        self.skips = Skips.of(job)

    def run(self) -> None:
        """Raise LeaseLost, StopRequested, TurnOver, or an AppError to try later."""
        self.step("before ensure")
        self.guard()
        self.store.ensure(self.workspace.pk)
        self.step("after ensure")
        self.guard()
        todo = self._plan()
        self.step("planned")
        for batch in self._batches(todo):
            self._write(batch)
        self._finish()

    def guard(self) -> None:
        """Renew the lease: before and after each write (J8)."""
        if not self.lease.renew():
            raise LeaseLost

    def _plan(self) -> list[str]:
        """Put leftovers right and return the paths that are still to be indexed."""
        found = survey(
            self.store,
            self.workspace.pk,
            visible=self.workspace.generation,
            building=self.generation,
            on_progress=self.guard,
        )
        self.step("surveyed")
        put_right(self.store, self.workspace.pk, found, self.guard)
        kept = found.visible if self.reusable else {}
        todo = [
            path
            for path, sha in self.manifest.files.items()
            if path > self.job.cursor and (path, sha) not in kept
        ]
        self.job.files_done = len(self.manifest.files) - len(todo)
        self.job.chunks = sum(
            n
            for key, n in (*found.own.items(), *kept.items())
            if self.manifest.holds(key)
        )
        self._save_progress()
        return todo

    def _batches(self, todo: list[str]) -> Iterator[_Batch]:
        # After a worker died here, go file by file to find the culprit.
        most_files = 1 if self.job.attempts > 1 else BATCH_FILES
        batch = _Batch()
        for path, data in self._contents(todo):
            self._cut(path, data, batch)
            if batch.is_full or batch.n_files >= most_files:
                yield batch
                batch = _Batch()
        if batch.n_files:
            yield batch

    def _contents(self, todo: list[str]) -> Iterator[tuple[str, bytes | str]]:
        """Yield each path with its bytes, or with the reason why there are none."""
        blobs = Blob.objects.for_workspace(self.workspace)
        for start in range(0, len(todo), 200):
            paths = todo[start : start + 200]
            shas = {self.manifest.files[path] for path in paths}
            sizes = dict(blobs.filter(sha256__in=shas).values_list("sha256", "n_bytes"))
            for group in _groups(paths, self.manifest, sizes):
                wanted = {self.manifest.files[path] for path in group}
                contents = {
                    blob.sha256: unpack(blob.content, blob.n_bytes)
                    for blob in blobs.filter(
                        sha256__in=wanted, n_bytes__lte=MAX_TEXT_BYTES
                    )
                }
                for path in group:
                    sha = self.manifest.files[path]
                    yield path, contents.get(sha) or _absence(sizes.get(sha))

    def _cut(self, path: str, data: bytes | str, batch: _Batch) -> None:
        batch.last_path = path
        batch.n_files += 1
        if isinstance(data, str):
            if data:
                self.skips.add(path, data)
            return
        try:
            chunks = split(path, indexable_text(data))
        except NotIndexable as error:
            self.skips.add(path, error.sentence)
            return
        sha = self.manifest.files[path]
        ids = point_ids(self.workspace.pk, self.salt, chunks, sha)
        batch.chunks.extend(
            (chunk, point_id, sha) for chunk, point_id in zip(chunks, ids, strict=True)
        )

    def _write(self, batch: _Batch) -> None:
        """Embed and upsert a batch, then say in the job's row how far we came."""
        self.step("before embed")
        for start in range(0, len(batch.chunks), BATCH_CHUNKS):
            self._write_points(batch.chunks[start : start + BATCH_CHUNKS])
        self.job.cursor = batch.last_path
        self.job.files_done += batch.n_files
        self.job.chunks += len(batch.chunks)
        # Whoever gets this far is not what kills workers.
        self.job.attempts = 1
        self._save_progress()
        self.step("progress saved")
        if time.monotonic() > self._turn_ends and self._others_wait():
            raise TurnOver

    def _write_points(self, chunks: list[tuple[Chunk, str, str]]) -> None:
        texts = [chunk.embedded_text for chunk, _, _ in chunks]
        vectors = vectors_for(self.workspace, texts, self._look_up)
        points = [
            Point(
                id=point_id,
                dense=vector,
                sparse=passage_terms(chunk.text, chunk.path, chunk.symbol),
                payload=PointPayload(
                    path=chunk.path,
                    start_line=chunk.start_line,
                    end_line=chunk.end_line,
                    language=chunk.language,
                    symbol=chunk.symbol,
                    sha256=sha,
                    since=self.generation,
                ),
            )
            for (chunk, point_id, sha), vector in zip(chunks, vectors, strict=True)
        ]
        self.step("before upsert")
        self.guard()
        self.store.upsert(self.workspace.pk, points)
        self.step("after upsert")
        self.guard()

    def _look_up(self) -> None:
        """Between two calls of the model: still ours, still wanted?"""
        self.guard()
        if _stop_wanted(self.job):
            raise StopRequested

    @transaction.atomic
    def _save_progress(self) -> None:
        self.guard()
        if _stop_wanted(self.job):
            raise StopRequested
        self.skips.store_in(self.job)
        self.job.heartbeat_at = now()
        self.job.save(
            update_fields=[
                "cursor",
                "files_done",
                "chunks",
                "attempts",
                *FIELDS,
                "heartbeat_at",
            ]
        )

    def _finish(self) -> None:
        self.step("before ending")
        ending = plan_ending(
            self.store,
            self.workspace.pk,
            visible=self.workspace.generation,
            building=self.generation,
            wanted=self.manifest.holds,
            keep_visible=self.reusable,
            on_progress=self.guard,
        )
        for ids in batches(ending.foreign):
            self.guard()
            self.store.delete(self.workspace.pk, ids)
        self.step("before until")
        for ids in batches(ending.to_drop):
            self.guard()
            self.store.set_until(self.workspace.pk, ids, self.generation)
            self.step("until set")
        self.step("before switch")
        self._switch(ending.n_points)
        self.step("after switch")
        for ids in batches(ending.to_drop):
            self.guard()
            self.store.delete(self.workspace.pk, ids)
            self.step("dropped")
        mark_clean(self.job)

    @transaction.atomic
    def _switch(self, n_points: int) -> None:
        """Make the new generation the one that searches see: all or nothing."""
        workspace = locked_by(self.lease)
        job = IndexJob.objects.select_for_update().get(pk=self.job.pk)
        if job.state != JobState.RUNNING:
            raise LeaseLost
        if _stop_wanted(job):
            raise StopRequested
        workspace.generation = self.generation
        workspace.index_version = INDEX_VERSION
        workspace.n_chunks = n_points
        workspace.last_indexed_at = now()
        workspace.save(
            update_fields=["generation", "index_version", "n_chunks", "last_indexed_at"]
        )
        job.chunks = n_points
        job.save(update_fields=["chunks"])
        end_job(workspace, job, JobState.SUCCEEDED)
        self._forget_retired(workspace)
        self.job = job

    def _forget_retired(self, workspace: Workspace) -> None:
        """Remove contents that neither a file nor this generation shows."""
        indexed = set(self.manifest.files.values())
        retired = Blob.objects.for_workspace(workspace).retired()
        gone = [
            pk for pk, sha in retired.values_list("pk", "sha256") if sha not in indexed
        ]
        for start in range(0, len(gone), 400):
            Blob.objects.filter(pk__in=gone[start : start + 400]).delete()


def locked_by(lease: Lease) -> Workspace:
    """Return the workspace's row, locked. Raises LeaseLost."""
    workspace = (
        Workspace.objects.living()
        .select_for_update()
        .filter(pk=lease.workspace_id, lease_token=lease.token)
        .first()
    )
    if workspace is None:
        raise LeaseLost
    return workspace


def put_leftovers_right(job: IndexJob, lease: Lease, store: VectorStore) -> None:
    """After a job ended in whatever way: no point of it that nobody sees remains."""

    def guard() -> None:
        if not lease.renew():
            raise LeaseLost

    workspace = Workspace.objects.get(pk=job.workspace_id)
    found = survey(
        store,
        workspace.pk,
        visible=workspace.generation,
        building=None,
        on_progress=guard,
    )
    put_right(store, workspace.pk, found, guard)
    IndexJob.objects.for_workspace(workspace).unclean().update(cleaned_at=now())


def mark_clean(job: IndexJob) -> None:
    IndexJob.objects.filter(pk=job.pk).update(cleaned_at=now())


def _stop_wanted(job: IndexJob) -> bool:
    """Cancelled, or its owner was disabled or deleted (T10)."""
    return not IndexJob.objects.filter(
        Q(user__is_active=True, user__deleted_at=None),
        pk=job.pk,
        state=JobState.RUNNING,
        cancel_requested=False,
    ).exists()


def _groups(
    paths: list[str], manifest: Manifest, sizes: dict[str, int]
) -> Iterator[list[str]]:
    """Cut the paths so that a group's contents fit in memory together."""
    group: list[str] = []
    held = 0
    for path in paths:
        n_bytes = min(sizes.get(manifest.files[path], 0), MAX_TEXT_BYTES)
        if group and held + n_bytes > BATCH_BYTES:
            yield group
            group, held = [], 0
        group.append(path)
        held += n_bytes
    if group:
        yield group


def _absence(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "It was deleted while the workspace was indexed."
    if n_bytes > MAX_TEXT_BYTES:
        return f"It has more than {MAX_TEXT_BYTES // 1024**2} MB: stored, not indexed."
    return ""  # an empty file: nothing to say
