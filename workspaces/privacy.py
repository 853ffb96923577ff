"""What the workspaces' tables hold about a person."""

from aiassist.lib.privacy import classify

_WITH_THE_WORKSPACE = "Until the workspace or the account is deleted."

classify(
    "workspaces.Workspace",
    owner="user",
    export=(
        "id",
        "user",
        "name",
        "status",
        "generation",
        "n_files",
        "n_chunks",
        "n_bytes",
        "include",
        "exclude",
        "use_gitignore",
        "last_indexed_at",
        "created_at",
        "updated_at",
        "deleted_at",
    ),
    withheld={
        "last_generation": "internal",
        "index_version": "internal",
        "lease_token": "internal",
        "lease_until": "internal",
    },
    retention=_WITH_THE_WORKSPACE,
    erase="delete",
)
classify(
    "workspaces.UserStorage",
    owner="user",
    export=("user", "n_bytes"),
    retention="Until the account is deleted.",
    erase="delete",
)
classify(
    "workspaces.SourceFile",
    owner="workspace__user",
    export=(
        "id",
        "workspace",
        "path",
        "sha256",
        "n_bytes",
        "language",
        "skipped",
        "updated_at",
    ),
    retention=_WITH_THE_WORKSPACE,
    erase="delete",
)
classify(
    "workspaces.Blob",
    owner="workspace__user",
    export=("id", "workspace", "sha256", "n_bytes", "objection", "retired_at"),
    withheld={"content": "bulk"},
    retention="While a file has this content and while an index shows it.",
    erase="delete",
)
classify(
    "workspaces.ChunkEmbedding",
    owner="user",
    export=("id", "user", "workspace", "model", "digest", "used_at"),
    withheld={"vector": "bulk"},
    retention="60 days, at most as long as the workspace.",
    erase="delete",
)
classify(
    "workspaces.Sync",
    owner="workspace__user",
    export=(
        "id",
        "workspace",
        "state",
        "delete_missing",
        "skipped",
        "n_skipped",
        "skipped_reasons",
        "job",
        "created_at",
        "committed_at",
    ),
    withheld={"manifest": "bulk"},
    retention=_WITH_THE_WORKSPACE,
    erase="delete",
)
classify(
    "workspaces.SyncEntry",
    owner="sync__workspace__user",
    export=("id", "sync", "path", "sha256"),
    retention="Until the sync is committed or a day has passed.",
    erase="delete",
)
classify(
    "workspaces.IndexJob",
    owner="user",
    export=(
        "id",
        "workspace",
        "user",
        "state",
        "files_total",
        "files_done",
        "chunks",
        "skipped",
        "n_skipped",
        "skipped_reasons",
        "imported",
        "error",
        "created_at",
        "started_at",
        "finished_at",
    ),
    withheld={
        "rebuild": "internal",
        "fetching": "internal",
        "generation": "internal",
        "manifest": "bulk",
        "cursor": "internal",
        "attempts": "internal",
        "retries": "internal",
        "cancel_requested": "internal",
        "not_before": "internal",
        "sent_at": "internal",
        "heartbeat_at": "internal",
        "cleaned_at": "internal",
    },
    retention=_WITH_THE_WORKSPACE,
    erase="delete",
)
classify(
    "workspaces.LeftOutFile",
    owner="workspace__user",
    export=("id", "workspace", "path", "reason"),
    retention="Until the next upload, or the workspace is deleted.",
    erase="delete",
)
classify(
    "workspaces.GitSource",
    owner="workspace__user",
    export=(
        "workspace",
        "url",
        "ref",
        "username",
        "every_hours",
        "next_at",
        "commit",
        "branch",
        "imported_at",
        "error",
        "created_at",
        "updated_at",
    ),
    withheld={
        "token": "secret",
        "hook_id": "secret",
        "hook_secret": "secret",
        "wanted_at": "internal",
        "attempts": "internal",
        "not_before": "internal",
        "sent_at": "internal",
        "lease_token": "internal",
        "lease_until": "internal",
    },
    retention="Until it is forgotten or the workspace is deleted.",
    erase="delete",
)
classify(
    "workspaces.PushDelivery",
    owner="source__workspace__user",
    export=("id", "source", "received_at"),
    withheld={"digest": "internal"},
    retention="Seven days.",
    erase="delete",
)
classify(
    "workspaces.Tombstone",
    owner="",
    withheld={
        "workspace_id": "internal",
        "created_at": "internal",
        "confirmed_at": "internal",
    },
    retention="As long as the service runs: it holds a random id only.",
    erase="keep",
)
