"""Remove what a deleted workspace or user leaves: points, files, rows (J8)."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import User
from aiassist.lib.clock import now
from workspaces.models import (
    Blob,
    ChunkEmbedding,
    GitSource,
    IndexedFile,
    IndexJob,
    LeftOutFile,
    PushDelivery,
    SourceFile,
    Sync,
    SyncEntry,
    Tombstone,
    Workspace,
)
from workspaces.services import delete_workspace
from workspaces.vectors.base import VectorStore


def erase_workspace(workspace_id: str, get_store: Callable[[], VectorStore]) -> int:
    """Remove everything of a tombstoned workspace; return how many things went.

    May run any number of times. The tombstone is confirmed only when every worker
    that could still write must have noticed it, and nothing is there.
    """
    tombstone = Tombstone.objects.filter(pk=workspace_id).first()
    if tombstone is None:
        return 0
    store = get_store()
    n_points = store.count(workspace_id)
    store.drop(workspace_id)
    n_rows = _delete_rows(workspace_id)
    settled = tombstone.created_at + Tombstone.KEEP_WATCH + _longest_lease()
    if now() > settled and not store.exists(workspace_id):
        tombstone.confirmed_at = now()
        tombstone.save(update_fields=["confirmed_at"])
    return n_points + n_rows


def erase_user(user: User, get_store: Callable[[], VectorStore]) -> int:
    """Remove all workspaces of a user, also those whose deletion is under way."""
    n_things = 0
    for workspace in Workspace.objects.filter(user=user).select_related("user"):
        if workspace.deleted_at is None:
            delete_workspace(workspace=workspace)
        n_things += erase_workspace(workspace.pk, get_store)
    n_cached, _ = ChunkEmbedding.objects.for_user(user).delete()
    return n_things + n_cached


@transaction.atomic
def _delete_rows(workspace_id: str) -> int:
    """Delete leaf rows by one statement each, then the workspace."""
    n_rows = 0
    for rows in (
        SyncEntry.objects.filter(sync__workspace_id=workspace_id),
        Sync.objects.filter(workspace_id=workspace_id),
        IndexJob.objects.filter(workspace_id=workspace_id),
        PushDelivery.objects.filter(source_id=workspace_id),
        GitSource.objects.filter(workspace_id=workspace_id),
        LeftOutFile.objects.filter(workspace_id=workspace_id),
        SourceFile.objects.filter(workspace_id=workspace_id),
        IndexedFile.objects.filter(workspace_id=workspace_id),
        Blob.objects.filter(workspace_id=workspace_id),
        ChunkEmbedding.objects.filter(workspace_id=workspace_id),
        Workspace.objects.filter(pk=workspace_id),
    ):
        n_rows += rows.delete()[0]
    return n_rows


def _longest_lease() -> timedelta:
    return timedelta(seconds=settings.INDEX_LEASE_SECONDS)
