"""An archive becomes the workspace's files: read once, judged while being read."""

from dataclasses import dataclass, field
from typing import IO

from django.db import transaction

from aiassist.lib.errors import StorageExceeded
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.content.manifests import FileFacts, apply_files, require_few_files
from workspaces.content.paths import normalise
from workspaces.content.storage import (
    Spool,
    lock_storage,
    lock_workspace,
    megabytes,
    release_unused,
    storage_room,
    store,
)
from workspaces.errors import BadArchive, PathRefused
from workspaces.ignoring.filters import (
    GENERATED,
    LFS_POINTER,
    is_lfs_pointer,
    says_generated,
    soft_refusal,
)
from workspaces.ignoring.leaving_out import (
    reapply,
    record_left_out,
    rules_of,
    stored_ignore_files,
)
from workspaces.ignoring.rules import (
    MAX_IGNORE_FILES,
    Rules,
    ignore_text,
    is_ignore_file,
)
from workspaces.ignoring.skips import Skips
from workspaces.indexing.languages import is_binary, language_of
from workspaces.jobs.queue import request_index
from workspaces.models import IndexJob, LeftOutFile, Workspace
from workspaces.receiving.unpacking import Archive, Entry, Limits, open_archive

# What file managers add beside the one folder that everything lies in.
_JUNK = frozenset({"__MACOSX", ".DS_Store", "pax_global_header"})
_MAX_SHOWN_PATH = 200


@dataclass(slots=True)
class Gathered:
    """What an archive holds that we keep."""

    spool: Spool
    rules: Rules
    prefix: str  # of every name, taken off
    files: dict[str, FileFacts] = field(default_factory=dict)
    skips: Skips = field(
        default_factory=lambda: Skips(limit=LeftOutFile.MAX_PER_WORKSPACE)
    )
    n_entries: int = 0
    n_bytes: int = 0


def import_archive(
    *, workspace: Workspace, file: IO[bytes], delete_missing: bool = True
) -> IndexJob:
    """Make the archive's files the workspace's files and ask for an index.

    Files that the archive does not hold are removed, unless `delete_missing` is
    False. Raises BadArchive, ArchiveTooLarge, TooManyFiles, StorageExceeded; then
    nothing has changed.
    """
    tier = tier_of(workspace.user)
    archive = open_archive(file, Limits.of(tier))
    with Spool() as spool:
        # No transaction runs while the archive is read: that may take seconds.
        gathered = gather(archive, spool, workspace, tier, delete_missing)
        _require_something(gathered)
        with transaction.atomic():
            locked = keep(workspace, gathered, delete_missing, tier)
            return request_index(locked, skips=gathered.skips)


def keep(
    workspace: Workspace, gathered: Gathered, delete_missing: bool, tier: Tier
) -> Workspace:
    """Make what was gathered the workspace's files; return it locked."""
    storage = lock_storage(workspace.user)
    locked = lock_workspace(workspace)
    # What the archive replaces goes first, so that its room counts.
    apply_files(locked, gathered.files, delete_missing=delete_missing, tier=tier)
    if not delete_missing:
        reapply(locked, gathered.rules)
    release_unused(locked, storage, tier)
    spool = gathered.spool
    store(locked, spool.sizes, spool.load, storage, tier)
    record_left_out(locked, gathered.skips, replace=delete_missing)
    return locked


def gather(
    archive: Archive,
    spool: Spool,
    workspace: Workspace,
    tier: Tier,
    delete_missing: bool,
    strip_folder: bool = True,
) -> Gathered:
    """Read the archive: its ignore files first, then what they let through."""
    folder, texts = _survey(archive)
    prefix = folder if strip_folder else ""
    ignore_files = {} if delete_missing else stored_ignore_files(workspace)
    ignore_files |= {name.removeprefix(prefix): text for name, text in texts.items()}
    rules = rules_of(workspace, ignore_files, tracked_alone=archive.holds_tracked_files)
    gathered = Gathered(spool, rules, prefix)
    for entry in archive.entries():
        gathered.n_entries += 1
        _take(entry, gathered, tier)
    return gathered


def _survey(archive: Archive) -> tuple[str, dict[str, str]]:
    """Walk the archive once: its one folder as `name/` or "", its ignore files."""
    tops: set[str] = set()
    texts: dict[str, str] = {}
    for entry in archive.entries():
        name = _plain(entry.name)
        top, slash, _ = name.partition("/")
        if top not in _JUNK and len(tops) < 2:
            tops.add(top if slash and top not in {"", ".", ".."} else "")
        # Those of installed code are many, and decide about nothing that is kept.
        if is_ignore_file(name) and not entry.objection and not soft_refusal(name):
            data = entry.read() if len(texts) < MAX_IGNORE_FILES else None
            if data is not None:
                texts[name] = ignore_text(data)
    folder = tops.pop() if len(tops) == 1 else ""
    return f"{folder}/" if folder else "", texts


def _take(entry: Entry, gathered: Gathered, tier: Tier) -> None:
    name = _plain(entry.name).removeprefix(gathered.prefix)
    try:
        path = normalise(name)
    except PathRefused as error:
        gathered.skips.add(visible(name), reason_of(error))
        return
    verdict = gathered.rules.verdict(path)
    reason = verdict.reason or entry.objection
    if not reason and path in gathered.files:
        reason = "has the same name as another file of this archive"
    if not reason and entry.n_bytes > tier.max_file_bytes:
        reason = too_long(tier)
    data = None if reason else entry.read()
    if data is None:
        gathered.skips.add(path, reason or too_long(tier))
    elif is_binary(data):
        gathered.skips.add(path, "is binary")
    elif is_lfs_pointer(data):
        gathered.skips.add(path, LFS_POINTER)
    elif says_generated(data) and not verdict.named:
        gathered.skips.add(path, GENERATED)
    else:
        _add(path, data, gathered, tier)


def _add(path: str, data: bytes, gathered: Gathered, tier: Tier) -> None:
    known = len(gathered.spool.sizes)
    sha = gathered.spool.add(data)
    gathered.n_bytes += len(data) if len(gathered.spool.sizes) > known else 0
    gathered.files[path] = FileFacts(sha, len(data), language_of(path, data))
    require_few_files(len(gathered.files), tier)
    if gathered.n_bytes > tier.max_storage_bytes:
        room = storage_room(tier)
        raise StorageExceeded(
            f"This archive holds more than your tier stores. {room.sentence}",
            policy="storage_bytes",
            scope="user",
            limit=tier.max_storage_bytes,
            used=gathered.n_bytes,
            resets_at=None,
            alternatives=["Leave files out.", *room.alternatives],
        )


def _require_something(gathered: Gathered) -> None:
    if gathered.files:
        return
    if not gathered.n_entries:
        raise BadArchive("This archive holds no files. Pack the folder again.")
    raise BadArchive(
        "This archive holds no file that can be indexed. "
        f"The first one, {gathered.skips.entries[0]['path']!r}, "
        f"{gathered.skips.entries[0]['reason']}.",
        skipped=gathered.skips.entries[:20],
        n_skipped=gathered.skips.count,
    )


def _plain(name: str) -> str:
    """Drop the `./` that tar puts before every name."""
    return name.removeprefix("./")


def visible(name: str) -> str:
    """Return a refused name as it may be stored and shown."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in safe)
    return printable[:_MAX_SHOWN_PATH]


def reason_of(error: PathRefused) -> str:
    return f"has a name that is not allowed: {error.details['reason']}"


def too_long(tier: Tier) -> str:
    return (
        f"is larger than the {megabytes(tier.max_file_bytes)} "
        f"that the tier '{tier.code}' takes"
    )
