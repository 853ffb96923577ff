"""The verbs of a workspace's life: create, rename, delete."""

from collections.abc import Sequence

from django.db import transaction

from accounts import audit
from accounts.models import User
from aiassist.lib.clock import now
from aiassist.lib.errors import ValidationFailed
from aiassist.lib.queue import enqueue
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.content.storage import (
    charged_bytes,
    give_back,
    lock_storage,
    lock_workspace,
)
from workspaces.errors import WorkspaceLimit
from workspaces.ignoring.leaving_out import reapply, rules_of, stored_ignore_files
from workspaces.ignoring.rules import checked_patterns
from workspaces.jobs.queue import request_index
from workspaces.models import Tombstone, Workspace
from workspaces.room import room_of

MAX_NAME_CHARS = 100


@transaction.atomic
def create_workspace(*, user: User, name: str) -> Workspace:
    """Add an empty workspace. Raises WorkspaceLimit when the tier holds no more."""
    lock_storage(user)  # parallel creations are counted one after the other
    require_workspaces(user, tier_of(user))
    return Workspace.objects.create(user=user, name=clean_name(name))


@transaction.atomic
def change_workspace(
    *,
    workspace: Workspace,
    name: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    use_gitignore: bool | None = None,
) -> Workspace:
    """Change what is given. New rules hold for the stored files at once.

    Files that were left out before come with the next upload. Raises ValidationFailed.
    """
    locked = lock_workspace(workspace)
    if name is not None:
        locked.name = clean_name(name)
    if include is not None:
        locked.include = checked_patterns(include, field="include")
    if exclude is not None:
        locked.exclude = checked_patterns(exclude, field="exclude")
    if use_gitignore is not None:
        locked.use_gitignore = use_gitignore
    locked.save(
        update_fields=["name", "include", "exclude", "use_gitignore", "updated_at"]
    )
    if (include, exclude, use_gitignore) != (None, None, None):
        if reapply(locked, rules_of(locked, stored_ignore_files(locked))):
            request_index(locked)
    return locked


@transaction.atomic
def delete_workspace(*, workspace: Workspace) -> None:
    """Hide the workspace at once; a task removes its points, files and rows.

    The storage is the user's again on return. The tombstone stops a worker that is
    indexing it just now.
    """
    storage = lock_storage(workspace.user)
    living = lock_workspace(workspace)
    give_back(storage, charged_bytes(living))
    living.deleted_at = now()
    living.save(update_fields=["deleted_at", "updated_at"])
    Tombstone.objects.get_or_create(workspace_id=living.pk)
    audit.record(
        "workspace.deleted",
        actor=workspace.user,
        subject=workspace.user,
        workspace_id=living.pk,
    )
    enqueue("workspaces.erase", workspace_id=living.pk)


def clean_name(name: str) -> str:
    """Return the name stripped. Raises ValidationFailed."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= MAX_NAME_CHARS or not stripped.isprintable():
        raise ValidationFailed(
            errors=[
                {
                    "field": "name",
                    "code": "invalid",
                    "detail": f"A name has 1 to {MAX_NAME_CHARS} printable characters.",
                }
            ]
        )
    return stripped


def require_workspaces(user: User, tier: Tier, n: int = 1) -> None:
    """Raise WorkspaceLimit unless the tier holds so many more."""
    used = Workspace.objects.for_user(user).count()
    if used + n > tier.max_workspaces:
        room = room_of(
            tier, lambda t: t.max_workspaces, lambda n: f"{n} workspaces", verb="holds"
        )
        raise WorkspaceLimit(
            f"{room.sentence} All of yours are in use. Delete one to make room.",
            policy="workspaces",
            scope="user",
            limit=tier.max_workspaces,
            used=used,
            resets_at=None,
            alternatives=["Delete a workspace.", *room.alternatives],
        )
