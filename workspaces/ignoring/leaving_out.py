"""What a workspace leaves out: its rules, and the list that its owner reads."""

from collections.abc import Iterable, Mapping

from django.db.models import Q

from workspaces.content.storage import in_batches, unpack
from workspaces.ignoring.filters import GENERATED
from workspaces.ignoring.rules import IGNORE_NAMES, Rules, Verdict, ignore_text
from workspaces.ignoring.skips import Skips
from workspaces.models import Blob, LeftOutFile, SourceFile, Workspace

_BATCH = 400


def rules_of(
    workspace: Workspace,
    ignore_files: Mapping[str, str],
    *,
    tracked_alone: bool = False,
) -> Rules:
    """Return the workspace's rules over these ignore files (path → text).

    Among files that git tracks (`tracked_alone`) no `.gitignore` decides.
    """
    return Rules(
        include=workspace.include,
        exclude=workspace.exclude,
        ignore_files=ignore_files,
        use_gitignore=workspace.use_gitignore and not tracked_alone,
    )


def stored_ignore_files(workspace: Workspace) -> dict[str, str]:
    """Return the ignore files among the workspace's files, with their texts."""
    named = Q(path__in=IGNORE_NAMES)
    for name in IGNORE_NAMES:
        named |= Q(path__endswith=f"/{name}")
    rows = SourceFile.objects.for_workspace(workspace).filter(named)
    shas = dict(rows.values_list("path", "sha256"))
    texts = ignore_texts(workspace, set(shas.values()))
    return {path: texts[sha] for path, sha in shas.items() if sha in texts}


def ignore_texts(workspace: Workspace, shas: set[str]) -> dict[str, str]:
    """Return the stored ones of these contents as ignore files' texts."""
    texts: dict[str, str] = {}
    blobs = Blob.objects.for_workspace(workspace)
    for some in in_batches(sorted(shas)):
        for blob in blobs.filter(sha256__in=some):
            texts[blob.sha256] = ignore_text(unpack(blob.content, blob.n_bytes))
    return texts


def objections_of(workspace: Workspace, files: Iterable[SourceFile]) -> dict[str, str]:
    """Return why the contents of these files are not indexed, where they are not."""
    shas = {file.sha256 for file in files}
    blobs = Blob.objects.for_workspace(workspace).filter(sha256__in=shas)
    return dict(
        blobs.exclude(objection__in=("", GENERATED)).values_list("sha256", "objection")
    )


def skipped_by(verdict: Verdict, objection: str) -> str:
    """Return why a file that is stored stays out of the index; or ""."""
    if verdict.reason:
        return verdict.reason
    return GENERATED if objection == GENERATED and not verdict.named else ""


def generated_shas(workspace: Workspace) -> set[str]:
    """Return the contents that say of themselves that a program wrote them."""
    blobs = Blob.objects.for_workspace(workspace).filter(objection=GENERATED)
    return set(blobs.values_list("sha256", flat=True))


def reapply(workspace: Workspace, rules: Rules) -> int:
    """Judge every stored file anew; the caller holds the lock.

    Return how many went in or out of the index.
    """
    generated = generated_shas(workspace)
    rows = SourceFile.objects.for_workspace(workspace).only("sha256", "path", "skipped")
    changed = []
    for file in rows.iterator():
        objection = GENERATED if file.sha256 in generated else ""
        skipped = skipped_by(rules.verdict(file.path), objection)
        if skipped != file.skipped:
            file.skipped = skipped
            changed.append(file)
    SourceFile.objects.bulk_update(changed, ["skipped"], batch_size=_BATCH)
    return len(changed)


def record_left_out(workspace: Workspace, skips: Skips, *, replace: bool) -> None:
    """Keep the list of what was left out; `replace` what an older upload left."""
    rows = LeftOutFile.objects.for_workspace(workspace)
    paths = [entry["path"] for entry in skips.entries]
    if replace:
        rows.delete()
    else:
        for some in in_batches(paths):
            rows.filter(path__in=some).delete()
    room = LeftOutFile.MAX_PER_WORKSPACE - (0 if replace else rows.count())
    LeftOutFile.objects.bulk_create(
        (
            LeftOutFile(
                workspace=workspace, path=entry["path"], reason=entry["reason"][:300]
            )
            for entry in skips.entries[: max(0, room)]
        ),
        batch_size=_BATCH,
        ignore_conflicts=True,
    )
