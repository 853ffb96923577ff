"""Files of a workspace: put, read, list, delete."""

from dataclasses import dataclass
from hashlib import sha256 as sha256_of

from django.db import transaction

from aiassist.lib.errors import NotFound, ValidationFailed
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.content.manifests import FileFacts, apply_files, recount
from workspaces.content.paths import normalise, shown
from workspaces.content.storage import (
    Spool,
    lock_storage,
    lock_workspace,
    megabytes,
    release_unused,
    store,
    unpack,
)
from workspaces.content.texts import lines_of, shown_text
from workspaces.errors import FileRefused, FileTooLarge
from workspaces.ignoring.filters import hard_refusal
from workspaces.ignoring.leaving_out import (
    reapply,
    rules_of,
    skipped_by,
    stored_ignore_files,
)
from workspaces.ignoring.rules import Rules, ignore_text, is_ignore_file
from workspaces.indexing.languages import language_of
from workspaces.jobs.queue import request_index
from workspaces.models import (
    Blob,
    IndexJob,
    SourceFile,
    SyncEntry,
    SyncState,
    Workspace,
)
from workspaces.room import room_of


@dataclass(frozen=True, slots=True)
class PutOutcome:
    """What became of one uploaded file."""

    path: str
    sha256: str
    n_bytes: int
    staged: bool  # waits for its sync's commit
    created: bool
    job: IndexJob | None  # None: staged, or the file was there already


@dataclass(frozen=True, slots=True)
class FileText:
    """Lines of a file as a person or a model may see them, secrets hidden."""

    path: str
    sha256: str
    language: str
    n_lines: int  # of the whole file
    start_line: int  # 1-based, inclusive
    end_line: int
    text: str


def put_file(*, workspace: Workspace, path: str, data: bytes) -> PutOutcome:
    """Keep one file.

    Where an open sync waits for exactly these bytes, they wait for its commit. Else
    they are the workspace's file at once, and an index is asked for.
    Raises PathRefused, FileRefused, FileTooLarge, StorageExceeded, TooManyFiles.
    """
    tier = tier_of(workspace.user)
    name = normalise(path)
    rules = _rules_with(workspace, name, data)
    verdict = rules.verdict(name)
    if verdict.reason:
        raise FileRefused(f"The file {shown(name)} is not kept: it {verdict.reason}.")
    require_short(name, len(data), tier)
    with Spool() as spool:
        digest = spool.add(data)
        facts = FileFacts(
            digest,
            len(data),
            language_of(name, data),
            skipped_by(verdict, spool.objections.get(digest, "")),
        )
        return _put(workspace, name, facts, spool, tier, rules)


def _rules_with(workspace: Workspace, path: str, data: bytes) -> Rules:
    """Return the workspace's rules as they are once this file is there."""
    texts = stored_ignore_files(workspace)
    if is_ignore_file(path):
        texts[path] = ignore_text(data)
    return rules_of(workspace, texts)


@transaction.atomic
def _put(
    workspace: Workspace,
    path: str,
    facts: FileFacts,
    spool: Spool,
    tier: Tier,
    rules: Rules,
) -> PutOutcome:
    storage = lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    before = SourceFile.objects.for_workspace(locked).filter(path=path).first()
    staged = SyncEntry.objects.filter(
        sync__workspace=locked,
        sync__state=SyncState.OPEN,
        path=path,
        sha256=facts.sha256,
    ).exists()
    job = None
    if not staged and (before is None or before.sha256 != facts.sha256):
        apply_files(locked, {path: facts}, delete_missing=False, tier=tier)
        if is_ignore_file(path):
            reapply(locked, rules)
        release_unused(locked, storage, tier)
        job = request_index(locked)
    store(locked, spool.sizes, spool.load, storage, tier)
    return PutOutcome(path, facts.sha256, facts.n_bytes, staged, before is None, job)


def accepted_path(path: str) -> str:
    """Return the path as kept, judged before its bytes are read.

    Raises PathRefused, or FileRefused for what nobody's rules can bring back.
    """
    name = normalise(path)
    reason = hard_refusal(name)
    if reason:
        raise FileRefused(f"The file {shown(name)} is not kept: it {reason}.")
    return name


def require_short(path: str, n_bytes: int, tier: Tier) -> None:
    """Raise FileTooLarge when the tier takes no file of this size."""
    if n_bytes > tier.max_file_bytes:
        room = room_of(
            tier, lambda t: t.max_file_bytes, lambda n: f"{megabytes(n)} a file"
        )
        file = f"The file {shown(path)}" if path else "The file"
        raise FileTooLarge(
            f"{file} has {megabytes(n_bytes)}. {room.sentence}",
            policy="file_bytes",
            scope="request",
            limit=tier.max_file_bytes,
            used=n_bytes,
            resets_at=None,
            alternatives=["Split the file or leave it out.", *room.alternatives],
        )


@transaction.atomic
def delete_file(*, workspace: Workspace, path: str) -> IndexJob:
    """Remove a file: gone from answers at once, from the index by the next job.

    Raises NotFound.
    """
    storage = lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    get_file(locked, path).delete()
    recount(locked)
    release_unused(locked, storage, tier_of(workspace.user), at_once=True)
    return request_index(locked)


def get_file(workspace: Workspace, path: str) -> SourceFile:
    """Return the file's row. Raises NotFound."""
    try:
        return SourceFile.objects.for_workspace(workspace).get(path=path)
    except SourceFile.DoesNotExist:
        raise NotFound from None


def read_bytes(workspace: Workspace, sha256: str) -> bytes:
    """Return a content's raw bytes. Raises NotFound."""
    blob = Blob.objects.for_workspace(workspace).filter(sha256=sha256).first()
    if blob is None:
        raise NotFound
    data = unpack(blob.content, blob.n_bytes)
    if sha256_of(data).hexdigest() != sha256:
        raise NotFound("This file's stored content is damaged. Upload it again.")
    return data


def read_lines(
    workspace: Workspace, path: str, start: int | None = None, end: int | None = None
) -> FileText:
    """Return lines of a file, secrets hidden; all of them without `start` and `end`.

    Raises NotFound, NotIndexable for a file that is no text, ValidationFailed for a
    span that lies outside.
    """
    file = get_file(workspace, path)
    text = shown_text(read_bytes(workspace, file.sha256))
    n_lines = text.count("\n") + (not text.endswith("\n"))
    first = 1 if start is None else start
    last = n_lines if end is None else min(end, n_lines)
    if not 1 <= first <= max(last, 1):
        raise ValidationFailed(
            f"This file has {n_lines} lines.",
            errors=[
                {
                    "field": "start",
                    "code": "out_of_range",
                    "detail": f"Ask for lines within 1 to {n_lines}.",
                }
            ],
        )
    return FileText(
        path=file.path,
        sha256=file.sha256,
        language=file.language,
        n_lines=n_lines,
        start_line=first,
        end_line=last,
        text=lines_of(text, first, last),
    )
