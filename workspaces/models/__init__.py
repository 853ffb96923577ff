"""Workspaces, their files, their index jobs."""

from workspaces.models.chunk_embedding import ChunkEmbedding
from workspaces.models.git_source import GitSource, PushDelivery
from workspaces.models.index_job import (
    ACTIVE_STATES,
    FINAL_STATES,
    IndexJob,
    JobPhase,
    JobState,
)
from workspaces.models.indexed_file import IndexedFile
from workspaces.models.source_file import Blob, LeftOutFile, SourceFile
from workspaces.models.sync import Sync, SyncEntry, SyncState
from workspaces.models.workspace import (
    Tombstone,
    UserStorage,
    Workspace,
    WorkspaceStatus,
)

__all__ = [
    "ACTIVE_STATES",
    "FINAL_STATES",
    "Blob",
    "ChunkEmbedding",
    "GitSource",
    "IndexJob",
    "IndexedFile",
    "JobPhase",
    "JobState",
    "LeftOutFile",
    "PushDelivery",
    "SourceFile",
    "Sync",
    "SyncEntry",
    "SyncState",
    "Tombstone",
    "UserStorage",
    "Workspace",
    "WorkspaceStatus",
]
