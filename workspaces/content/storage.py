"""Bytes: what a user's files hold, exact under parallel uploads.

Every function here runs inside a transaction and takes locks in one order: the
user's storage row, then the workspace's row.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import zstandard
from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import User
from aiassist.lib.clock import now
from aiassist.lib.errors import NotFound, StorageExceeded
from billing.models import Tier
from workspaces.content.texts import objection
from workspaces.models import (
    Blob,
    IndexJob,
    SourceFile,
    SyncEntry,
    SyncState,
    UserStorage,
    Workspace,
)
from workspaces.room import Room, room_of

_BATCH_ROWS = 400
_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes as they are stored."""

    sha256: str
    n_bytes: int
    packed: bytes  # zstd frame
    objection: str = ""  # why it is not worth indexing


def pack(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(data)


def unpack(packed: bytes | memoryview, n_bytes: int) -> bytes:
    """Return the raw bytes; `n_bytes` bounds the memory."""
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=n_bytes)


class Spool:
    """Compressed contents on temporary disk, each once, until they are stored.

    First all is added, then all is loaded.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="aiassist-upload-")
        self._end = 0
        self._places: dict[str, tuple[int, int]] = {}  # sha256 → offset, length
        self.sizes: dict[str, int] = {}  # sha256 → raw bytes
        self.objections: dict[str, str] = {}  # sha256 → why it is not indexed

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def add(self, data: bytes) -> str:
        """Keep the bytes, return their SHA-256."""
        digest = sha256(data).hexdigest()
        if digest not in self.sizes:
            packed = pack(data)
            self._places[digest] = self._end, len(packed)
            self._file.write(packed)
            self._end += len(packed)
            self.sizes[digest] = len(data)
            if reason := objection(data):
                self.objections[digest] = reason
        return digest

    def load(self, digest: str) -> Content:
        offset, length = self._places[digest]
        self._file.seek(offset)
        return Content(
            digest,
            self.sizes[digest],
            self._file.read(length),
            self.objections.get(digest, ""),
        )


def lock_storage(user: User) -> UserStorage:
    """Take the user's storage row until the transaction's end."""
    UserStorage.objects.bulk_create([UserStorage(user=user)], ignore_conflicts=True)
    return UserStorage.objects.select_for_update().get(user=user)


def lock_workspace(workspace: Workspace) -> Workspace:
    """Take the workspace's row, fresh. Raises NotFound when it was deleted."""
    try:
        return Workspace.objects.living().select_for_update().get(pk=workspace.pk)
    except Workspace.DoesNotExist:
        raise NotFound from None


def charge(storage: UserStorage, n_bytes: int, tier: Tier) -> None:
    """Add bytes to the user's account. Raises StorageExceeded."""
    require_storage(storage.n_bytes, n_bytes, tier)
    storage.n_bytes += n_bytes
    storage.save(update_fields=["n_bytes"])


def require_storage(used: int, n_bytes: int, tier: Tier) -> None:
    """Raise StorageExceeded unless the tier stores so many more bytes."""
    limit = tier.max_storage_bytes
    if n_bytes and used + n_bytes > limit:
        room = storage_room(tier)
        raise StorageExceeded(
            f"{room.sentence} {megabytes(used)} are in use and this adds "
            f"{megabytes(n_bytes)}. Delete files or workspaces to make room.",
            policy="storage_bytes",
            scope="user",
            limit=limit,
            used=used,
            resets_at=None,
            alternatives=["Delete files or workspaces.", *room.alternatives],
        )


def storage_room(tier: Tier) -> Room:
    return room_of(tier, lambda t: t.max_storage_bytes, megabytes, verb="stores")


def megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1024 / 1024:,.1f} MB"


def store(
    workspace: Workspace,
    sizes: Mapping[str, int],
    load: Callable[[str], Content],
    storage: UserStorage,
    tier: Tier,
) -> None:
    """Keep contents, each once, and charge what is new. All or nothing.

    `sizes` maps each SHA-256 to its raw bytes; `load` is called for new ones only.
    """
    known = _known(workspace, sizes)
    new = [sha for sha in sizes if sha not in known]
    revived = [sha for sha, retired in known.items() if retired]
    charge(storage, sum(sizes[sha] for sha in (*new, *revived)), tier)
    for batch in _batches(load(sha) for sha in new):
        Blob.objects.bulk_create(
            Blob(
                workspace=workspace,
                sha256=content.sha256,
                content=content.packed,
                n_bytes=content.n_bytes,
                objection=content.objection,
            )
            for content in batch
        )
    for some in in_batches(revived):
        Blob.objects.for_workspace(workspace).filter(sha256__in=some).update(
            retired_at=None
        )


def _known(workspace: Workspace, shas: Collection[str]) -> dict[str, bool]:
    """Return those that are stored already, and whether each is retired."""
    found: dict[str, bool] = {}
    for some in in_batches(list(shas)):
        rows = Blob.objects.for_workspace(workspace).filter(sha256__in=some)
        found.update(
            (sha, retired is not None)
            for sha, retired in rows.values_list("sha256", "retired_at")
        )
    return found


def stored_shas(workspace: Workspace, shas: Collection[str]) -> set[str]:
    """Return those of the SHA-256s that need not be uploaded again."""
    known = _known(workspace, shas)
    return {sha for sha, retired in known.items() if not retired}


def in_batches(items: Sequence[str], size: int = _BATCH_ROWS) -> Iterator[list[str]]:
    """Cut a list so that SQLite's variables and PostgreSQL's packets suffice."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _batches(contents: Iterable[Content]) -> Iterator[list[Content]]:
    batch: list[Content] = []
    held = 0
    for content in contents:
        batch.append(content)
        held += len(content.packed)
        if len(batch) >= _BATCH_ROWS or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def release_unused(
    workspace: Workspace, storage: UserStorage, tier: Tier, *, at_once: bool = False
) -> None:
    """Give back the bytes of contents that no file and no open sync names.

    While an index may still show them they are retired, not removed, unless they
    shall go `at_once`.
    """
    rows = list(_unused(workspace).values_list("pk", "n_bytes"))
    if not rows:
        return
    keys = [pk for pk, _ in rows]
    shown = workspace.generation > 0 or _is_indexing(workspace)
    for start in range(0, len(keys), _BATCH_ROWS):
        some = Blob.objects.filter(pk__in=keys[start : start + _BATCH_ROWS])
        if shown and not at_once:
            some.update(retired_at=now())
        else:
            some.delete()
    give_back(storage, sum(n_bytes for _, n_bytes in rows))
    _trim_retired(workspace, tier)


def give_back(storage: UserStorage, n_bytes: int) -> None:
    """Take bytes off the user's account."""
    storage.n_bytes = max(0, storage.n_bytes - n_bytes)
    storage.save(update_fields=["n_bytes"])


def _unused(workspace: Workspace) -> QuerySet[Blob]:
    used_by_file = SourceFile.objects.filter(
        workspace=OuterRef("workspace"), sha256=OuterRef("sha256")
    )
    used_by_sync = SyncEntry.objects.filter(
        sync__workspace=OuterRef("workspace"),
        sync__state=SyncState.OPEN,
        sha256=OuterRef("sha256"),
    )
    return (
        Blob.objects.for_workspace(workspace)
        .charged()
        .exclude(Exists(used_by_file))
        .exclude(Exists(used_by_sync))
    )


def _is_indexing(workspace: Workspace) -> bool:
    return IndexJob.objects.for_workspace(workspace).active().exists()


def _trim_retired(workspace: Workspace, tier: Tier) -> None:
    """Uncharged bytes are bounded too: past the tier's storage all of them go.

    The older index then shows fewer hits until the new one is there.
    """
    retired = Blob.objects.for_workspace(workspace).retired()
    held = retired.aggregate(total=Coalesce(Sum("n_bytes"), 0))["total"]
    if held > tier.max_storage_bytes:
        retired.delete()


def charged_bytes(workspace: Workspace) -> int:
    """Return what the workspace's contents cost the user's account."""
    total: int = (
        Blob.objects.for_workspace(workspace)
        .charged()
        .aggregate(total=Coalesce(Sum("n_bytes"), 0))["total"]
    )
    return total
