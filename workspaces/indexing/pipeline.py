"""Index a workspace: from an accepted job to a new generation that searches see.

A job may be cut off after any statement and taken up by another worker. What it has
done is recorded file by file (`IndexedFile`), its manifest says what there is to do,
and nothing written before the switch is visible (`generations`).

The first index of a workspace is made in two rounds, so that it can be searched within
seconds: the words of every passage first, then the vectors
(`workspaces.finding.serving`).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet

from aiassist.lib.clock import now
from workspaces.errors import VectorsUnavailable
from workspaces.ignoring.skips import FIELDS, Skips
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.generations import (
    INDEX_VERSION,
    batches,
    drift,
    point_ids,
    put_right,
    visible_points_of,
)
from workspaces.indexing.keywords import passage_terms
from workspaces.indexing.manifest import Manifest, total
from workspaces.indexing.reading import CutFile, Reader
from workspaces.indexing.records import (
    begin_generation,
    forget_retired,
    mark_clean,
    points_by_file,
)
from workspaces.indexing.renames import Renames
from workspaces.indexing.reuse import Asked, Embedder
from workspaces.jobs.leases import Lease, LeaseLost, locked_by
from workspaces.jobs.queue import end_job
from workspaces.models import IndexedFile, IndexJob, JobPhase, JobState, Workspace
from workspaces.vectors.base import Point, PointPayload, Vector, VectorStore

BATCH_CHUNKS = 128
BATCH_FILES = 50
WORDS_AT_ONCE = 8  # batches at once where the model is not asked
SLICE_SECONDS = 2.0  # then another user's job gets its turn
_MOST_MENDINGS = 3
_ROWS = 400

T = TypeVar("T")
Step = Callable[[str], None]  # told the name of each step; a test may stop there


class StopRequested(Exception):
    """The owner cancelled the job, or is no longer a user."""


class TurnOver(Exception):
    """The job goes on in its next slice: somebody else waits, or it begins anew."""


@dataclass(slots=True)
class _Batch:
    """Passages to be embedded and written together, and the files that end here."""

    chunks: list[tuple[Chunk, str, str]] = field(default_factory=list)  # id, sha256
    files: list[CutFile] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    path: str = ""  # the last file, and
    n_chunks: int = 0  # how many of its passages are written by now; 0: all


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
        self.reader = Reader(self.workspace)
        self.renames = Renames(self.manifest, self.reader)
        self.skips = Skips.of(job)

    def run(self) -> None:
        """Raise LeaseLost, StopRequested, TurnOver, or an AppError to try later."""
        self.step("before ensure")
        self.guard()
        self.store.ensure(self.workspace.pk)
        self.step("after ensure")
        self.guard()
        self._put_right()
        self.step("planned")
        for _ in range(_MOST_MENDINGS):
            if not self.workspace.generation:
                self._round(JobPhase.KEYWORDS)
            self._round(JobPhase.EMBEDDING)
            self.store.settle(self.workspace.pk)
            self.step("before ending")
            if self._is_true():
                self._finish()
                return
        raise VectorsUnavailable("The vector database does not keep what it is given.")

    def guard(self) -> None:
        """Renew the lease: before and after each write (J8)."""
        if not self.lease.renew():
            raise LeaseLost

    def _built(self) -> QuerySet[IndexedFile]:
        return IndexedFile.objects.of_generation(self.workspace, self.generation)

    # Is the store as the record says?

    def _put_right(self) -> None:
        put_right(
            self.store,
            self.workspace.pk,
            visible=self.workspace.generation,
            building=self.generation,
            watch=self.guard,
        )
        self.step("surveyed")
        if not self.job.phase:  # its first slice
            self._is_true()

    def _is_true(self) -> bool:
        """Compare the store with the record, point by point only if counts differ.

        Points of no file go. Files with points missing are to be indexed again:
        then False, or TurnOver where even the visible index has lost some.
        """
        shown = IndexedFile.objects.visible(self.workspace)
        recorded = total(shown, "n_points") + total(self._built(), "n_points")
        if self.store.count(self.workspace.pk) == recorded:
            return True
        found = drift(
            self.store,
            self.workspace.pk,
            visible=self.workspace.generation,
            building=self.generation,
            shown=points_by_file(shown),
            built=points_by_file(self._built()),
            watch=self.guard,
        )
        for ids in batches(found.ghosts):
            self.guard()
            self.store.delete(self.workspace.pk, ids)
        if found.visible and not self.job.rebuild:
            self._begin_anew()
        if found.own:
            self._forget(found.own)
        return not found.own

    @transaction.atomic
    def _forget(self, paths: list[str]) -> None:
        locked_by(self.lease)
        for start in range(0, len(paths), _ROWS):
            self._built().filter(path__in=paths[start : start + _ROWS]).delete()

    def _begin_anew(self) -> None:
        """Nothing of the visible index can be kept: index every file (TurnOver)."""
        with transaction.atomic():
            workspace = locked_by(self.lease)
            job = IndexJob.objects.select_for_update().get(pk=self.job.pk)
            if job.state != JobState.RUNNING:
                raise LeaseLost
            job.rebuild = True
            begin_generation(job, workspace)
            job.save()
        raise TurnOver

    # Reading, embedding, writing

    def _round(self, phase: JobPhase) -> None:
        """Write the words, or all, of the files that have not got so far."""
        done = self._built()
        if phase == JobPhase.EMBEDDING:
            done = done.filter(is_whole=True)
        paths = set(done.values_list("path", flat=True).iterator())
        todo = [item for item in self.manifest.add.items() if item[0] not in paths]
        if not todo and phase == JobPhase.KEYWORDS:
            return
        self._enter(phase)
        batches = self._batches(todo, phase)
        if phase == JobPhase.KEYWORDS:
            for batch in batches:
                self._upsert(batch, [None] * len(batch.chunks), "words")
                self._end_batch(batch, phase, "words saved")
        else:
            self._embed(batches)

    def _embed(self, batches: Iterator[_Batch]) -> None:
        """Read the next batch and write the last one while the model is at work."""
        with Embedder(self.workspace, self._look_up) as embedder:
            under_way = self._ask(batches, embedder)
            # After a worker died here the culprit is to be the file after the cursor.
            ahead = under_way if self.job.attempts > 1 else _one_ahead(under_way)
            for batch, asked in ahead:
                self._upsert(batch, embedder.vectors(asked), "upsert")
                n_computed = len(asked.coming)
                self._end_batch(batch, JobPhase.EMBEDDING, "progress saved", n_computed)

    def _ask(
        self, batches: Iterator[_Batch], embedder: Embedder
    ) -> Iterator[tuple[_Batch, Asked]]:
        for batch in batches:
            self.step("before embed")
            texts = [chunk.embedded_text for chunk, _, _ in batch.chunks]
            yield batch, embedder.ask(texts, batch.aliases)

    @transaction.atomic
    def _enter(self, phase: JobPhase) -> None:
        """Say what is done by now, from the record alone."""
        job, manifest = self.job, self.manifest
        whole = self._built().filter(is_whole=True)
        job.files_read = manifest.n_kept + self._built().count()
        job.files_done = manifest.n_kept + whole.count()
        job.chunks = manifest.n_kept_points + total(whole, "n_points")
        job.bytes_done = total(whole, "n_bytes")
        if job.phase == phase == JobPhase.EMBEDDING:
            job.chunks += job.cursor_chunks
        if job.phase != phase:
            job.phase, job.phase_at = phase, now()
            job.cursor, job.cursor_chunks = "", 0
            if phase == JobPhase.EMBEDDING and not self.workspace.generation:
                job.chunks_total = total(self._built(), "n_points")
        if not self.workspace.generation:
            Workspace.objects.filter(pk=self.workspace.pk).update(
                preview_generation=self.generation
            )
        self._save_progress()

    def _batches(
        self, todo: list[tuple[str, str]], phase: JobPhase
    ) -> Iterator[_Batch]:
        factor = WORDS_AT_ONCE if phase == JobPhase.KEYWORDS else 1
        most_chunks = BATCH_CHUNKS * factor
        # After a worker died here, go file by file to find the culprit.
        most_files = 1 if self.job.attempts > 1 else BATCH_FILES * factor
        cursor, n_written = self.job.cursor, self.job.cursor_chunks
        batch = _Batch()
        for file in self.reader.cut_all(todo):
            if phase == JobPhase.EMBEDDING:
                batch.aliases |= self.renames.aliases(file)
            start = n_written if file.path == cursor else 0
            rest = self._with_ids(file)[start:]
            batch.path = file.path
            while len(batch.chunks) + len(rest) > most_chunks:
                room = most_chunks - len(batch.chunks)
                batch.chunks += rest[:room]
                rest = rest[room:]
                batch.n_chunks = len(file.chunks) - len(rest)
                yield batch
                batch = _Batch(path=file.path, aliases=batch.aliases)
            batch.chunks += rest
            batch.files.append(file)
            if len(batch.chunks) == most_chunks or len(batch.files) >= most_files:
                yield batch
                batch = _Batch()
        if batch.files:
            yield batch

    def _with_ids(self, file: CutFile) -> list[tuple[Chunk, str, str]]:
        ids = point_ids(self.workspace.pk, self.manifest.salt, file.chunks, file.sha256)
        return [
            (chunk, point_id, file.sha256)
            for chunk, point_id in zip(file.chunks, ids, strict=True)
        ]

    def _end_batch(
        self, batch: _Batch, phase: JobPhase, step: str, n_computed: int = 0
    ) -> None:
        """Say in the database how far we came; then it may be another's turn."""
        self._record(batch, phase, n_computed)
        self.step(step)
        if time.monotonic() > self._turn_ends and self._others_wait():
            raise TurnOver

    def _upsert(
        self, batch: _Batch, vectors: "list[Vector] | list[None]", what: str
    ) -> None:
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
                    symbol_start=chunk.symbol_start,
                    symbol_end=chunk.symbol_end,
                ),
            )
            for (chunk, point_id, sha), vector in zip(
                batch.chunks, vectors, strict=True
            )
        ]
        self.step(f"before {what}")
        self.guard()
        self.store.upsert(self.workspace.pk, points)
        self.step(f"after {what}")
        self.guard()

    @transaction.atomic
    def _record(self, batch: _Batch, phase: JobPhase, n_computed: int) -> None:
        embedding = phase == JobPhase.EMBEDDING
        IndexedFile.objects.bulk_create(
            (
                IndexedFile(
                    workspace=self.workspace,
                    path=file.path,
                    sha256=file.sha256,
                    since=self.generation,
                    n_points=len(file.chunks),
                    n_bytes=file.n_bytes,
                    is_whole=embedding or not file.chunks,
                    reason=file.reason,
                )
                for file in batch.files
            ),
            update_conflicts=True,
            unique_fields=["workspace", "path", "since"],
            update_fields=["n_points", "n_bytes", "is_whole", "reason"],
        )
        for file in batch.files:
            if file.reason:
                self.skips.add(file.path, file.reason)
        job = self.job
        job.cursor, job.cursor_chunks = batch.path, batch.n_chunks
        whole = [file for file in batch.files if embedding or not file.chunks]
        job.files_done += len(whole)
        job.bytes_done += sum(file.n_bytes for file in whole)
        if not embedding or self.workspace.generation:
            job.files_read += len(batch.files)
        if embedding:
            job.chunks += len(batch.chunks)
            job.chunks_computed += n_computed
        # Whoever gets this far is not what kills workers.
        job.attempts = 1
        self._save_progress()

    def _look_up(self) -> None:
        """While the model is at work: still ours, still wanted?"""
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
                "phase",
                "phase_at",
                "cursor",
                "cursor_chunks",
                "files_read",
                "files_done",
                "bytes_done",
                "chunks",
                "chunks_total",
                "chunks_computed",
                "attempts",
                *FIELDS,
                "heartbeat_at",
            ]
        )

    # The switch

    def _finish(self) -> None:
        to_drop = visible_points_of(
            self.store,
            self.workspace.pk,
            self.manifest.drop,
            visible=self.workspace.generation,
            watch=self.guard,
        )
        self.step("before until")
        for ids in batches(to_drop):
            self.guard()
            self.store.set_until(self.workspace.pk, ids, self.generation)
            self.step("until set")
        self.step("before switch")
        self._switch()
        self.step("after switch")
        for ids in batches(to_drop):
            self.guard()
            self.store.delete(self.workspace.pk, ids)
            self.step("dropped")
        mark_clean(self.job)

    @transaction.atomic
    def _switch(self) -> None:
        """Make the new generation the one that searches see: all or nothing."""
        workspace = locked_by(self.lease)
        job = IndexJob.objects.select_for_update().get(pk=self.job.pk)
        if job.state != JobState.RUNNING:
            raise LeaseLost
        if _stop_wanted(job):
            raise StopRequested
        self._replace_records(workspace)
        workspace.generation = self.generation
        workspace.index_version = INDEX_VERSION
        workspace.n_chunks = total(
            IndexedFile.objects.for_workspace(workspace), "n_points"
        )
        workspace.last_indexed_at = now()
        workspace.save(
            update_fields=["generation", "index_version", "n_chunks", "last_indexed_at"]
        )
        job.chunks = job.chunks_total = workspace.n_chunks
        job.save(update_fields=["chunks", "chunks_total"])
        end_job(workspace, job, JobState.SUCCEEDED)
        forget_retired(workspace)
        self.job = job

    def _replace_records(self, workspace: Workspace) -> None:
        rows = IndexedFile.objects.for_workspace(workspace)
        rows.filter(since__gt=workspace.generation, since__lt=self.generation).delete()
        gone = list(self.manifest.drop)
        for start in range(0, len(gone), _ROWS):
            rows.filter(
                since__lt=self.generation, path__in=gone[start : start + _ROWS]
            ).delete()


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield each once the one after it has been fetched."""
    held: list[T] = []
    for item in items:
        held.append(item)
        if len(held) > 1:
            yield held.pop(0)
    yield from held


def _stop_wanted(job: IndexJob) -> bool:
    """Cancelled, or its owner was disabled or deleted (T10)."""
    return not IndexJob.objects.filter(
        Q(user__is_active=True, user__deleted_at=None),
        pk=job.pk,
        state=JobState.RUNNING,
        cancel_requested=False,
    ).exists()
