"""Make a set of names the workspace's files: what archives, syncs and PUTs share."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from aiassist.lib.clock import now
from billing.models import Tier
from workspaces.errors import TooManyFiles
from workspaces.models import SourceFile, Workspace
from workspaces.room import room_of

_BATCH = 400


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file's row holds beside its path."""

    sha256: str
    n_bytes: int
    language: str
    skipped: str = ""  # the rule that keeps it out of the index


@dataclass(frozen=True, slots=True)
class Changes:
    """How many files a change of the manifest touched."""

    written: int
    deleted: int
    unchanged: int


def apply_files(
    workspace: Workspace,
    wanted: Mapping[str, FileFacts],
    *,
    delete_missing: bool,
    tier: Tier,
) -> Changes:
    """Write the files' rows; the caller holds the workspace's lock.

    Raises TooManyFiles.
    """
    rows = SourceFile.objects.for_workspace(workspace)
    present = {
        path: (pk, (sha, skipped))
        for pk, path, sha, skipped in rows.values_list(
            "pk", "path", "sha256", "skipped"
        )
    }
    new = [
        path
        for path, facts in wanted.items()
        if path not in present or present[path][1] != (facts.sha256, facts.skipped)
    ]
    gone = [p for p in present if p not in wanted] if delete_missing else []
    total = len(present) - len(gone) + sum(path not in present for path in new)
    require_few_files(total, tier)
    stale = [present[p][0] for p in (*new, *gone) if p in present]
    for start in range(0, len(stale), _BATCH):
        SourceFile.objects.filter(pk__in=stale[start : start + _BATCH]).delete()
    moment = now()
    SourceFile.objects.bulk_create(
        (
            SourceFile(
                workspace=workspace,
                path=path,
                sha256=wanted[path].sha256,
                n_bytes=wanted[path].n_bytes,
                language=wanted[path].language,
                skipped=wanted[path].skipped,
                updated_at=moment,
            )
            for path in new
        ),
        batch_size=_BATCH,
    )
    recount(workspace)
    return Changes(len(new), len(gone), len(wanted) - len(new))


def require_few_files(n_files: int, tier: Tier) -> None:
    """Raise TooManyFiles when a workspace of the tier holds fewer."""
    limit = tier.max_files_per_workspace
    if n_files > limit:
        raise too_many_files(tier, n_files)


def too_many_files(tier: Tier, n_files: int | None) -> TooManyFiles:
    """Return the refusal; None: nobody counted them all."""
    room = room_of(
        tier,
        lambda t: t.max_files_per_workspace,
        lambda n: f"{n:,} files in a workspace",
        verb="holds",
    )
    counted = "more" if n_files is None else f"{n_files:,}"
    return TooManyFiles(
        f"{room.sentence} This would make {counted}.",
        policy="files",
        scope="workspace",
        limit=tier.max_files_per_workspace,
        used=n_files,
        resets_at=None,
        alternatives=[
            *("Leave files out.", "Split the code over workspaces."),
            *room.alternatives,
        ],
    )


def recount(workspace: Workspace) -> None:
    """Bring the workspace's number of files and bytes up to its rows."""
    totals = SourceFile.objects.for_workspace(workspace).aggregate(
        files=Count("pk"), bytes=Coalesce(Sum("n_bytes"), 0)
    )
    workspace.n_files, workspace.n_bytes = totals["files"], totals["bytes"]
    workspace.save(update_fields=["n_files", "n_bytes", "updated_at"])
