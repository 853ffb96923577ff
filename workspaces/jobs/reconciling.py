"""Keep the index true: compare it with the record, mend it, renew what is outdated.

The database is right. Collections without a workspace go, points that no record names
go, and where points are missing the workspace is indexed anew. What was found is
counted for operators (`aiassist_index_drift_total`).
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import F, QuerySet

from aiassist.lib.clock import now
from aiassist.lib.metrics import count_index_drift
from workspaces.content.storage import lock_workspace
from workspaces.indexing.generations import INDEX_VERSION, batches, drift, put_right
from workspaces.indexing.manifest import total
from workspaces.indexing.records import adopt, points_by_file
from workspaces.jobs.leases import Lease, LeaseLost, locked_by, take_lease
from workspaces.jobs.queue import request_index
from workspaces.models import ChunkEmbedding, IndexedFile, IndexJob, JobState, Workspace
from workspaces.vectors.base import VectorStore

logger = logging.getLogger(__name__)

_CHECKED_AT_ONCE = 5  # workspaces compared point by point though their counts agree
_RENEWED_AT_ONCE = 4  # outdated workspaces indexed anew at the same time
_GIVE_UP_FOR = timedelta(days=1)  # after a renewal failed
_KEEP_EMBEDDINGS = timedelta(days=60)


def reconcile(get_store: Callable[[], VectorStore]) -> dict[str, int]:
    """Compare the vector store with the database and mend it; return what was done."""
    store = get_store()
    done = {"collections": 0, "points": 0, "rebuilds": 0}
    there = set(store.collections())
    known = set(Workspace.objects.living().values_list("pk", flat=True))
    for orphan in there - known:
        # Asked again for each: it may have been created since.
        if not Workspace.objects.living().filter(pk=orphan).exists():
            store.drop(orphan)
            done["collections"] += 1
    suspects = {
        workspace.pk
        for workspace in _idle().iterator()
        if store.count(workspace.pk) != workspace.n_chunks
    }
    in_turn = _idle().order_by(F("checked_at").asc(nulls_first=True))
    suspects.update(in_turn.values_list("pk", flat=True)[:_CHECKED_AT_ONCE])
    for workspace_id in sorted(suspects):
        _check(workspace_id, store, done)
    ChunkEmbedding.objects.filter(used_at__lt=now() - _KEEP_EMBEDDINGS).delete()
    for kind, n_found in done.items():
        count_index_drift(kind, n_found)
        if n_found:
            logger.warning("index drift mended: %s=%s", kind, n_found)
    return done


def renew_outdated() -> int:
    """Index anew, in the background, what another model or splitter made.

    The old index serves until the new one is whole. Returns how many were begun.
    """
    under_way = IndexJob.objects.active().filter(background=True).count()
    tried = IndexJob.objects.filter(
        background=True,
        state=JobState.FAILED,
        finished_at__gt=now() - _GIVE_UP_FOR,
    )
    outdated = (
        _idle()
        .exclude(generation=0)
        .exclude(index_version=INDEX_VERSION)
        .exclude(pk__in=tried.values("workspace"))
        .order_by("last_indexed_at")
    )
    chosen = list(outdated[: max(_RENEWED_AT_ONCE - under_way, 0)])
    for workspace in chosen:
        _renew(workspace)
    return len(chosen)


@transaction.atomic
def _renew(workspace: Workspace) -> None:
    request_index(lock_workspace(workspace), background=True)


def _idle() -> QuerySet[Workspace]:
    busy = IndexJob.objects.active().values("workspace")
    return Workspace.objects.living().exclude(pk__in=busy)


def _check(workspace_id: str, store: VectorStore, done: dict[str, int]) -> None:
    lease = take_lease(workspace_id)
    if lease is None:
        return
    try:
        adopt(lease, store)
        _mend(lease, store, done)
    except LeaseLost:
        return
    finally:
        lease.release()


def _mend(lease: Lease, store: VectorStore, done: dict[str, int]) -> None:
    def watch() -> None:
        if not lease.renew():
            raise LeaseLost

    workspace = _idle().filter(pk=lease.workspace_id).first()
    if workspace is None:
        return  # its next job looks itself
    visible = workspace.generation
    shown = points_by_file(IndexedFile.objects.visible(workspace))
    done["points"] += put_right(
        store, workspace.pk, visible=visible, building=None, watch=watch
    )
    found = drift(
        store,
        workspace.pk,
        visible=visible,
        building=None,
        shown=shown,
        built={},
        watch=watch,
    )
    for ids in batches(found.ghosts):
        watch()
        store.delete(workspace.pk, ids)
    done["points"] += len(found.ghosts)
    done["rebuilds"] += _settle(lease, n_short=len(found.visible))


@transaction.atomic
def _settle(lease: Lease, *, n_short: int) -> int:
    """Count anew, and index anew what lost points. Returns how many rebuilds."""
    workspace = locked_by(lease)
    workspace.n_chunks = total(IndexedFile.objects.visible(workspace), "n_points")
    workspace.checked_at = now()
    workspace.save(update_fields=["n_chunks", "checked_at"])
    if not n_short:
        return 0
    request_index(workspace, rebuild=True)
    return 1
