"""Read hostile archives: bounded in entries, bytes, memory and ratio (F1, F3).

Nothing is ever extracted to a file system. An archive is a list of entries, each
readable or with the reason why not; sizes in headers are believed only to skip.
Sources: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT,
https://www.bamsoftware.com/hacks/zipbomb/
"""

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from billing.models import Tier
from workspaces.content.paths import shown
from workspaces.errors import ArchiveTooLarge, BadArchive, BadEncoding
from workspaces.receiving.inflating import Gzip
from workspaces.receiving.tars import (
    BadTar,
    Kind,
    Member,
    Stream,
    TarReader,
    is_tar_header,
)
from workspaces.room import Room, room_of

MB = 1024 * 1024
_CHUNK = 64 * 1024
_SMALLER = ("Send fewer files.", "Use the sync endpoints.")
# `zipfile` holds the whole directory in memory, names, extra fields and comments.
_DIRECTORY_BYTES = MB
_BYTES_PER_NAME = 200
_RATIO = 200  # inflated to compressed; source code reaches 4 to 20
_RATIO_FROM_BYTES = 64 * MB
_TRUNCATED_OR_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    struct.error,
    ValueError,  # unreadable numbers in headers, UnicodeDecodeError among them
    IndexError,
    OverflowError,
    RuntimeError,  # odd zip features
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may cost us, from the tier of who sends it."""

    max_entries: int
    max_file_bytes: int
    max_inflated_bytes: int  # of everything that is read, kept or not
    tier: Tier | None = None  # whose limits these are, for sentences

    @classmethod
    def of(cls, tier: Tier) -> "Limits":
        return cls(
            max_entries=min(4 * tier.max_files_per_workspace, 500_000),
            max_file_bytes=tier.max_file_bytes,
            max_inflated_bytes=2 * tier.max_storage_bytes + 1024 * MB,
            tier=tier,
        )

    def too_many_entries(self, what: str, used: int | None = None) -> ArchiveTooLarge:
        """Return the refusal of an archive or a repository with more entries."""
        room = self._room(lambda limits: limits.max_entries, lambda n: f"{n:,} of them")
        return ArchiveTooLarge(
            f"This {what} has more than {self.max_entries:,} entries.{room.sentence} "
            "Leave out what is not source code.",
            policy="archive_entries",
            scope="request",
            limit=self.max_entries,
            used=used,
            resets_at=None,
            alternatives=[*_SMALLER, *room.alternatives],
        )

    def too_many_bytes(self, used: int) -> ArchiveTooLarge:
        """Return the refusal of what is too large once it is unpacked."""
        limit = self.max_inflated_bytes
        room = self._room(
            lambda limits: limits.max_inflated_bytes, lambda n: f"{n // MB:,} MB"
        )
        return ArchiveTooLarge(
            f"Unpacked, this is larger than {limit // MB:,} MB.{room.sentence} "
            "Leave out what is not source code.",
            policy="archive_bytes",
            scope="request",
            limit=limit,
            used=used,
            resets_at=None,
            alternatives=[*_SMALLER, *room.alternatives],
        )

    def _room(
        self, limit_of: Callable[["Limits"], int], shown: Callable[[int], str]
    ) -> Room:
        if self.tier is None:
            return Room("", [])
        room = room_of(self.tier, lambda tier: limit_of(Limits.of(tier)), shown)
        return Room(f" {room.sentence}", room.alternatives)


@dataclass(slots=True)
class Meter:
    """Counts inflated bytes and stops a bomb while it is being read."""

    limits: Limits
    compressed: int
    read: int = 0

    def add(self, n_bytes: int) -> None:
        """Raise ArchiveTooLarge past the limit or an absurd ratio."""
        self.read += n_bytes
        if self.read > self.limits.max_inflated_bytes:
            raise self.limits.too_many_bytes(self.read)
        if self.read > _RATIO_FROM_BYTES and self.read > _RATIO * self.compressed:
            raise ArchiveTooLarge(
                "This archive unpacks to more than "
                f"{_RATIO} times its size, as no source code does.",
                policy="archive_ratio",
                scope="request",
                limit=_RATIO,
                used=self.read // max(1, self.compressed),
                resets_at=None,
                alternatives=["Send the source files alone."],
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, under the name that the archive gives it."""

    name: str
    n_bytes: int  # as the header says
    objection: str  # why it cannot be read, "" when it can
    read: Callable[[], bytes | None]  # None: longer than a file may be


class Archive(Protocol):
    """Entries in the archive's order; may be walked twice.

    `holds_tracked_files`, known after the first walk: git made it of a commit, so
    that no `.gitignore` applies to what lies in it.
    """

    holds_tracked_files: bool

    def entries(self) -> Iterator[Entry]:
        """Raise BadArchive or ArchiveTooLarge when they are met."""


def open_archive(file: IO[bytes], limits: Limits) -> Archive:
    """Tell the kind by the first bytes. Raises BadArchive for any other file."""
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _Zip(file, size, limits)
    if head.startswith(b"\x1f\x8b"):
        return _Tar(file, size, limits, zipped=True)
    if head[257:262] == b"ustar" or is_tar_header(head):
        return _Tar(file, size, limits, zipped=False)
    if not head:
        raise BadArchive("This archive is empty. Send a .zip, .tar or .tar.gz file.")
    raise BadArchive(
        "This is neither a .zip, a .tar nor a .tar.gz file. "
        "Pack the folder again in one of these formats."
    )


# `git archive`, and so every code host, writes the commit's id into what it packs.
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class _Zip:
    def __init__(self, file: IO[bytes], size: int, limits: Limits) -> None:
        self._limits = limits
        self._meter = Meter(limits, size)
        # `zipfile` holds the whole directory in memory, so it is counted before.
        _require_few_entries(file, size, limits)
        try:
            self._zip = zipfile.ZipFile(file)
        except _TRUNCATED_OR_BROKEN as error:
            raise BadArchive from error
        comment = self._zip.comment[:100].decode("ascii", "replace")
        self.holds_tracked_files = bool(_COMMIT.fullmatch(comment))

    def entries(self) -> Iterator[Entry]:
        for info in self._zip.infolist():
            if not info.is_dir():
                yield Entry(
                    # `filename` ends at a NUL; the name as stored shows it.
                    info.orig_filename
                    if "\x00" in info.orig_filename
                    else info.filename,
                    info.file_size,
                    _zip_objection(info),
                    lambda info=info: self._read(info),  # type: ignore[misc]
                )

    def _read(self, info: zipfile.ZipInfo) -> bytes | None:
        try:
            with self._zip.open(info) as member:
                return _read_bounded(
                    member, self._limits.max_file_bytes, self._meter.add
                )
        except _TRUNCATED_OR_BROKEN as error:
            raise BadArchive(
                f"This archive is damaged at {shown(info.filename)}. Pack it again."
            ) from error


def _zip_objection(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "is a link" if stat.S_ISLNK(mode) else "is a device or a pipe"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        # Not LZMA, whose headers may ask for 4 GB of memory, nor BZIP2, of which
        # `zipfile` inflates 4 KB at once, to 600 MB.
    ):
        return "is compressed in a way that we cannot read"
    return ""


def _require_few_entries(file: IO[bytes], size: int, limits: Limits) -> None:
    """Walk the central directory without keeping it, as far as the limit goes.

    The number in the end record is not believed; the signatures are counted.
    """
    start, length = _directory(file, size)
    file.seek(start)
    for _ in range(limits.max_entries + 1):
        header = file.read(46)
        if len(header) < 46 or header[:4] != b"PK\x01\x02":
            break
        file.seek(sum(struct.unpack("<HHH", header[28:34])), io.SEEK_CUR)
    else:
        raise limits.too_many_entries("archive")
    if length > _DIRECTORY_BYTES + _BYTES_PER_NAME * limits.max_entries:
        raise BadArchive("The names in this zip file are of absurd size.")
    file.seek(0)


_BAD_DIRECTORY = (
    "This zip file's directory cannot be read. Pack the folder again and upload it "
    "anew."
)


def _directory(file: IO[bytes], size: int) -> tuple[int, int]:
    """Return the central directory's place and length, as `zipfile` finds it.

    Raises BadArchive when there is no end record within the last 64 KB.
    """
    tail_start = max(0, size - 65557)
    file.seek(tail_start)
    tail = file.read()
    # Without a comment the record is the last 22 bytes; that is looked for first.
    bare = tail[-22:-18] == b"PK\x05\x06" and tail[-2:] == b"\x00\x00"
    end = len(tail) - 22 if bare else tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise BadArchive(
            "This zip file is cut off: its directory is missing. "
            "Pack the folder again and upload it anew."
        )
    length, _ = struct.unpack("<LL", tail[end + 12 : end + 20])
    directory_end = tail_start + end
    if tail[max(0, end - 20) : max(0, end - 16)] == b"PK\x06\x07":
        # ZIP64: its end record (56 bytes) and locator (20) stand before.
        directory_end -= 76
        file.seek(max(0, directory_end))
        record = file.read(56)
        if directory_end < 0 or record[:4] != b"PK\x06\x06":
            raise BadArchive(_BAD_DIRECTORY)
        (length,) = struct.unpack("<Q", record[40:48])
    if length > directory_end:
        raise BadArchive(_BAD_DIRECTORY)
    return int(directory_end - length), int(length)


class _Tar:
    def __init__(
        self, file: IO[bytes], size: int, limits: Limits, *, zipped: bool
    ) -> None:
        self._file, self._size = file, size
        self._limits = limits
        self._zipped = zipped
        self.holds_tracked_files = False

    def entries(self) -> Iterator[Entry]:
        self._file.seek(0)
        plain: Stream = _Gunzipped(self._file) if self._zipped else self._file
        tar = TarReader(_Counted(plain, Meter(self._limits, self._size)))
        try:
            for count, member in enumerate(tar.members(), 1):
                if count > self._limits.max_entries:
                    raise self._limits.too_many_entries("archive")
                self.holds_tracked_files = bool(_COMMIT.fullmatch(tar.comment))
                if member.kind is not Kind.FOLDER:
                    yield self._entry(tar, member)
        except (BadTar, BadEncoding) as error:
            raise BadArchive(
                str(error)
                if isinstance(error, BadTar) and error.args
                else "This archive is damaged or cut off. Pack it again."
            ) from error

    def _entry(self, tar: TarReader, member: Member) -> Entry:
        def read() -> bytes | None:
            try:
                # The stream below counts the bytes already.
                return _read_bounded(tar, self._limits.max_file_bytes, _uncounted)
            except (BadTar, BadEncoding) as error:
                raise BadArchive(
                    f"This archive is damaged at {shown(member.name)}. Pack it again."
                ) from error

        return Entry(member.name, member.n_bytes, _OBJECTIONS[member.kind], read)


_OBJECTIONS = {
    Kind.FILE: "",
    Kind.LINK: "is a link",
    Kind.SPARSE: "is a sparse file",
    Kind.SPECIAL: "is a device or a pipe",
}


class _Counted:
    """A stream whose bytes a meter counts."""

    def __init__(self, plain: Stream, meter: Meter) -> None:
        self._plain, self._meter = plain, meter

    def read(self, size: int, /) -> bytes:
        data = self._plain.read(size)
        self._meter.add(len(data))
        return data


class _Gunzipped:
    """What a gzip file holds, forwards. Raises BadEncoding."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._gzip = Gzip()
        self._pieces: Iterator[bytes] = iter(())
        self._held, self._at = b"", 0

    def read(self, size: int, /) -> bytes:
        while self._at == len(self._held):
            piece = next(self._pieces, None)
            if piece is not None:
                self._held, self._at = piece, 0
            elif data := self._file.read(_CHUNK):
                self._pieces = self._gzip.feed(data)
            else:
                self._gzip.finish()
                return b""
        data = self._held[self._at : self._at + size]
        self._at += len(data)
        return data


def _uncounted(n_bytes: int) -> None:
    return None


def _read_bounded(
    stream: Stream, limit: int, count: Callable[[int], None]
) -> bytes | None:
    """Return at most `limit` bytes, None when there are more."""
    pieces: list[bytes] = []
    held = 0
    while chunk := stream.read(_CHUNK):
        count(len(chunk))
        held += len(chunk)
        if held > limit:
            return None
        pieces.append(chunk)
    return b"".join(pieces)
