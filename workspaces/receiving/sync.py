"""The sync protocol: declare a manifest, upload what is missing, commit."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import zstandard
from django.db import transaction

from aiassist.lib.clock import now
from aiassist.lib.errors import ValidationFailed
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.content.files import accepted_path, require_short
from workspaces.content.manifests import FileFacts, apply_files, require_few_files
from workspaces.content.paths import normalise, shown
from workspaces.content.storage import (
    Spool,
    in_batches,
    lock_storage,
    lock_workspace,
    release_unused,
    store,
    stored_shas,
    unpack,
)
from workspaces.errors import (
    ContentMismatch,
    IncompleteSync,
    PathRefused,
    SyncClosed,
)
from workspaces.ignoring.filters import GENERATED
from workspaces.ignoring.leaving_out import (
    generated_shas,
    ignore_texts,
    reapply,
    record_left_out,
    rules_of,
    skipped_by,
    stored_ignore_files,
)
from workspaces.ignoring.rules import Rules, is_ignore_file
from workspaces.ignoring.skips import Skips
from workspaces.indexing.languages import language_of
from workspaces.jobs.queue import request_index
from workspaces.models import (
    Blob,
    IndexJob,
    LeftOutFile,
    SourceFile,
    Sync,
    SyncEntry,
    SyncState,
    Workspace,
)

MAX_OPEN_SYNCS = 5  # of one workspace; an older one expires
_MAX_NAMED = 100
_BATCH = 400
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a client has to do after declaring its manifest."""

    sync: Sync
    missing: list[str]  # paths whose content must be uploaded, ignore files first
    deleted: int  # files that the commit will remove
    unchanged: int
    skips: Skips  # files that we do not keep, and why


def start_sync(
    *,
    workspace: Workspace,
    manifest: Mapping[str, str],
    delete_missing: bool,
    ignore_files: Mapping[str, str] | None = None,
) -> SyncPlan:
    """Take a manifest of `path: sha256`.

    `ignore_files` are the texts of ignore files that it names: with them, what they
    leave out need not be uploaded at all.
    Raises PathRefused, ValidationFailed, TooManyFiles.
    """
    named = _read_manifest(manifest)
    return _open(workspace, named, dict(ignore_files or {}), delete_missing)


@transaction.atomic
def _open(
    workspace: Workspace,
    named: dict[str, str],
    texts: dict[str, str],
    delete_missing: bool,
) -> SyncPlan:
    # Holding the locks, nobody removes a content between our look and our entries.
    lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    _expire_oldest(locked)
    sent = {
        path: text
        for path, text in texts.items()
        if sha256(text.encode()).hexdigest() == named.get(path)
    }
    rules = _rules(locked, named, delete_missing, sent)
    wanted, skips = _judge(named, rules)
    require_few_files(len(wanted), tier_of(workspace.user))
    rows = SourceFile.objects.for_workspace(locked)
    present = dict(rows.values_list("path", "sha256"))
    changed = {p: sha for p, sha in wanted.items() if present.get(p) != sha}
    stored = stored_shas(locked, set(changed.values()))
    sync = Sync(
        workspace=locked, delete_missing=delete_missing, manifest=_packed(named)
    )
    skips.store_in(sync)
    sync.save()
    SyncEntry.objects.bulk_create(
        (SyncEntry(sync=sync, path=path, sha256=sha) for path, sha in changed.items()),
        batch_size=_BATCH,
    )
    missing = [path for path, sha in changed.items() if sha not in stored]
    return SyncPlan(
        sync=sync,
        missing=sorted(missing, key=lambda path: not is_ignore_file(path)),
        deleted=sum(path not in wanted for path in present) if delete_missing else 0,
        unchanged=len(wanted) - len(changed),
        skips=skips,
    )


def missing_of(*, workspace: Workspace, sync: Sync) -> list[str]:
    """Return the paths that an open sync still waits for. Raises SyncClosed.

    They may be more than at the start: an ignore file that has come meanwhile may
    bring files back.
    """
    _require_open(sync)
    named = _unpacked(sync)
    wanted, _ = _judge(named, _rules(workspace, named, sync.delete_missing, {}))
    rows = SourceFile.objects.for_workspace(workspace)
    present = dict(rows.values_list("path", "sha256"))
    changed = {path: sha for path, sha in wanted.items() if present.get(path) != sha}
    stored = stored_shas(workspace, set(changed.values()))
    return sorted(path for path, sha in changed.items() if sha not in stored)


def _read_manifest(manifest: Mapping[str, str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for raw, sha in manifest.items():
        path = normalise(raw, field="files")
        if not SHA256.fullmatch(sha):
            raise ValidationFailed(
                errors=[
                    {
                        "field": "files",
                        "code": "invalid",
                        "detail": f"{shown(path)} needs a SHA-256 of 64 hex digits "
                        "in lower case.",
                    }
                ]
            )
        if path in named:
            detail = f"{shown(path)} is named twice once Unicode is normalised."
            raise PathRefused(
                detail,
                reason=detail,
                errors=[{"field": "files", "code": "path_refused", "detail": detail}],
            )
        named[path] = sha
    return named


def _judge(named: dict[str, str], rules: Rules) -> tuple[dict[str, str], Skips]:
    wanted: dict[str, str] = {}
    skips = Skips(limit=LeftOutFile.MAX_PER_WORKSPACE)
    for path, sha in named.items():
        if reason := rules.refusal(path):
            skips.add(path, reason)
        else:
            wanted[path] = sha
    return wanted, skips


def _rules(
    workspace: Workspace,
    named: Mapping[str, str],
    delete_missing: bool,
    sent: Mapping[str, str],
) -> Rules:
    """Return the rules as far as the ignore files' contents are known by now."""
    shas = {path: sha for path, sha in named.items() if is_ignore_file(path)}
    texts = ignore_texts(workspace, set(shas.values()))
    ignore_files = {} if delete_missing else stored_ignore_files(workspace)
    ignore_files |= {path: texts[sha] for path, sha in shas.items() if sha in texts}
    return rules_of(workspace, ignore_files | dict(sent))


def _packed(named: dict[str, str]) -> bytes:
    return zstandard.ZstdCompressor().compress(json.dumps(named).encode())


def _unpacked(sync: Sync) -> dict[str, str]:
    if sync.manifest is None:
        raise SyncClosed("This sync was begun by an older version. Start a new one.")
    plain = zstandard.ZstdDecompressor().decompress(sync.manifest)
    named: dict[str, str] = json.loads(plain)
    return named


def _expire_oldest(workspace: Workspace) -> None:
    open_ones = Sync.objects.for_workspace(workspace).open().order_by("-created_at")
    for sync in open_ones[MAX_OPEN_SYNCS - 1 :]:
        _close(sync, SyncState.EXPIRED)


class Readable(Protocol):
    """An uploaded file's bytes."""

    def read(self, limit: int, /) -> bytes:
        """Return what is left, at most `limit` bytes."""


def upload_files(
    *, workspace: Workspace, sync: Sync, files: Iterable[tuple[str, Readable, int]]
) -> list[str]:
    """Take (path, bytes, length at least) of files that the sync waits for.

    All or none. Raises PathRefused, FileTooLarge, ContentMismatch, SyncClosed,
    StorageExceeded.
    """
    tier = tier_of(workspace.user)
    with Spool() as spool:
        digests: dict[str, str] = {}
        for raw, stream, n_bytes in files:
            path = accepted_path(raw)
            require_short(path, n_bytes, tier)
            data = stream.read(tier.max_file_bytes + 1)
            require_short(path, len(data), tier)
            if path in digests:
                raise ContentMismatch(f"This upload names {shown(path)} twice.")
            digests[path] = spool.add(data)
        if not digests:
            raise ValidationFailed(
                errors=[
                    {
                        "field": "files",
                        "code": "required",
                        "detail": "Send one part per file, named by its path.",
                    }
                ]
            )
        _stage(workspace, sync, digests, spool, tier)
    return sorted(digests)


@transaction.atomic
def _stage(
    workspace: Workspace, sync: Sync, digests: dict[str, str], spool: Spool, tier: Tier
) -> None:
    storage = lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    fresh = Sync.objects.defer("manifest").get(pk=sync.pk)
    _require_open(fresh)
    named = _declared_shas(fresh, digests)
    for path, digest in digests.items():
        if path not in named:
            raise ContentMismatch(f"The sync does not name {shown(path)}.")
        if named[path] != digest:
            raise ContentMismatch(
                f"The bytes of {shown(path)} do not have the SHA-256 that the sync "
                "declared. The file changed meanwhile: start a new sync."
            )
    # Those that seemed to be left out at the start have no entry yet.
    SyncEntry.objects.bulk_create(
        (SyncEntry(sync=fresh, path=p, sha256=sha) for p, sha in digests.items()),
        batch_size=_BATCH,
        ignore_conflicts=True,
    )
    store(locked, spool.sizes, spool.load, storage, tier)


def _declared_shas(sync: Sync, paths: Collection[str]) -> dict[str, str]:
    """Return the SHA-256s that the sync declared, of these paths if it waits for all.

    Reading a large folder's whole manifest for each of its uploads would take long.
    """
    waiting: dict[str, str] = {}
    for some in in_batches(sorted(paths)):
        rows = SyncEntry.objects.filter(sync=sync, path__in=some)
        waiting.update(rows.values_list("path", "sha256"))
    return waiting if len(waiting) == len(paths) else _unpacked(sync)


@transaction.atomic
def commit_sync(*, workspace: Workspace, sync: Sync) -> IndexJob:
    """Make the declared files the workspace's files and ask for an index.

    Committing again returns the same job. Raises IncompleteSync when a file of the
    manifest never arrived, SyncClosed for an expired sync, TooManyFiles.
    """
    storage = lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    fresh = Sync.objects.select_for_update().get(pk=sync.pk)
    if fresh.state == SyncState.COMMITTED and fresh.job_id:
        return IndexJob.objects.defer("manifest").get(pk=fresh.job_id)
    _require_open(fresh)
    tier = tier_of(workspace.user)
    named = _unpacked(fresh)
    rules = _rules(locked, named, fresh.delete_missing, {})
    wanted, skips = _judge(named, rules)
    apply_files(
        locked,
        _declared_files(wanted, rules, locked, skips),
        delete_missing=fresh.delete_missing,
        tier=tier,
    )
    if not fresh.delete_missing:
        reapply(locked, rules)
    record_left_out(locked, skips, replace=fresh.delete_missing)
    job = request_index(locked, skips=skips)
    fresh.job = job
    fresh.committed_at = now()
    fresh.save(update_fields=["job", "committed_at"])
    _close(fresh, SyncState.COMMITTED)
    release_unused(locked, storage, tier)
    return job


def _require_open(sync: Sync) -> None:
    if sync.state != SyncState.OPEN:
        raise SyncClosed(f"This sync is {sync.state}. Start a new one.")


def _incomplete(missing: list[str]) -> IncompleteSync:
    paths = sorted(missing)
    return IncompleteSync(
        f"{len(paths)} of this sync's files never arrived, {shown(paths[0])} among "
        "them. Upload them, then commit again.",
        missing=paths[:_MAX_NAMED],
        n_missing=len(paths),
    )


def _declared_files(
    wanted: dict[str, str], rules: Rules, workspace: Workspace, skips: Skips
) -> dict[str, FileFacts]:
    """Return the facts of every file that shall be there. Raises IncompleteSync."""
    rows = SourceFile.objects.for_workspace(workspace)
    present = {
        path: (sha, n_bytes, language)
        for path, sha, n_bytes, language in rows.values_list(
            "path", "sha256", "n_bytes", "language"
        )
    }
    changed = {
        sha
        for path, sha in wanted.items()
        if path not in present or present[path][0] != sha
    }
    known = _stored_facts(workspace, changed)
    generated = generated_shas(workspace)
    declared: dict[str, FileFacts] = {}
    missing: list[str] = []
    for path, sha in wanted.items():
        before = present.get(path)
        if before and before[0] == sha:
            # The rules may have changed although the file did not.
            objection = GENERATED if sha in generated else ""
            skipped = skipped_by(rules.verdict(path), objection)
            declared[path] = FileFacts(*before, skipped)
        elif sha in known:
            n_bytes, objection = known[sha]
            language = _language(path, sha, workspace)
            skipped = skipped_by(rules.verdict(path), objection)
            declared[path] = FileFacts(sha, n_bytes, language, skipped)
        else:
            missing.append(path)
            continue
        if declared[path].skipped:
            skips.add(path, declared[path].skipped)
    if missing:
        raise _incomplete(missing)
    return declared


def _stored_facts(
    workspace: Workspace, shas: Collection[str]
) -> dict[str, tuple[int, str]]:
    """Return the length of each content that is there, and why it is not indexed."""
    found: dict[str, tuple[int, str]] = {}
    for some in in_batches(sorted(shas)):
        rows = Blob.objects.for_workspace(workspace).charged().filter(sha256__in=some)
        for sha, n_bytes, objection in rows.values_list(
            "sha256", "n_bytes", "objection"
        ):
            found[sha] = n_bytes, objection
    return found


def _language(path: str, sha: str, workspace: Workspace) -> str:
    """Look into a file only where its name alone does not tell."""
    language = language_of(path)
    if language != "text" and not path.endswith(".h"):
        return language
    blob = Blob.objects.for_workspace(workspace).get(sha256=sha)
    return language_of(path, unpack(blob.content, blob.n_bytes))


def _close(sync: Sync, state: SyncState) -> None:
    sync.state = state
    sync.manifest = None
    sync.save(update_fields=["state", "manifest"])
    SyncEntry.objects.filter(sync=sync).delete()


def expire_syncs() -> int:
    """End syncs that nobody committed within a day; their bytes are free again."""
    overdue = list(Sync.objects.overdue(now()).select_related("workspace__user"))
    for sync in overdue:
        _expire(sync)
    return len(overdue)


@transaction.atomic
def _expire(sync: Sync) -> None:
    workspace = sync.workspace
    storage = lock_storage(workspace.user)
    locked = Workspace.objects.select_for_update().get(pk=workspace.pk)
    fresh = Sync.objects.select_for_update().get(pk=sync.pk)
    if fresh.state == SyncState.OPEN:
        _close(fresh, SyncState.EXPIRED)
        release_unused(locked, storage, tier_of(workspace.user))
