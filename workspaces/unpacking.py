"""Read hostile archives: bounded in entries, bytes, memory and ratio (F1, F3).

Nothing is ever extracted to a file system. An archive is a list of entries, each
readable or with the reason why not; sizes in headers are believed only to skip.
Sources: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT,
https://www.bamsoftware.com/hacks/zipbomb/
"""

import gzip
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from billing.models import Tier
from workspaces.errors import ArchiveTooLarge, BadArchive
from workspaces.paths import shown

MB = 1024 * 1024
_CHUNK = 64 * 1024
# A tar header's own body (a long name, PAX records) is read whole by `tarfile`.
_MAX_HEADER_BYTES = MB
_RATIO = 200  # inflated to compressed; source code reaches 4 to 20
_RATIO_FROM_BYTES = 64 * MB
_TRUNCATED_OR_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    struct.error,
    ValueError,  # unreadable numbers in headers, UnicodeDecodeError among them
    IndexError,
    OverflowError,
    RuntimeError,  # a chain of PAX headers (RecursionError), odd zip features
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may cost us, from the tier of who sends it."""

    max_entries: int
    max_file_bytes: int
    max_inflated_bytes: int  # of everything that is read, kept or not

    @classmethod
    def of(cls, tier: Tier) -> "Limits":
        return cls(
            max_entries=min(4 * tier.max_files_per_workspace, 500_000),
            max_file_bytes=tier.max_file_bytes,
            max_inflated_bytes=2 * tier.max_storage_bytes + 1024 * MB,
        )


@dataclass(slots=True)
class Meter:
    """Counts inflated bytes and stops a bomb while it is being read."""

    limit: int
    compressed: int
    read: int = 0

    def add(self, n_bytes: int) -> None:
        """Raise ArchiveTooLarge past the limit or an absurd ratio."""
        self.read += n_bytes
        if self.read > self.limit:
            raise ArchiveTooLarge(
                f"Unpacked, this archive is larger than {self.limit // MB:,} MB. "
                "Leave out what is not source code.",
                policy="archive_bytes",
                scope="request",
                limit=self.limit,
                used=self.read,
                resets_at=None,
                alternatives=["Send fewer files.", "Use the sync endpoints."],
            )
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
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return _Tar(file, size, limits, zipped=False)
    if not head:
        raise BadArchive("This archive is empty. Send a .zip, .tar or .tar.gz file.")
    raise BadArchive(
        "This is neither a .zip, a .tar nor a .tar.gz file. "
        "Pack the folder again in one of these formats."
    )


def _is_old_tar(head: bytes) -> bool:
    """Recognise a tar from before `ustar` by its header's checksum."""
    if len(head) < 512:
        return False
    try:
        claimed = int(head[148:156].rstrip(b"\x00 ").lstrip() or b"x", 8)
    except ValueError:
        return False
    return claimed == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def _too_many(limit: int) -> ArchiveTooLarge:
    return ArchiveTooLarge(
        f"This archive has more than {limit:,} entries.",
        policy="archive_entries",
        scope="request",
        limit=limit,
        used=None,
        resets_at=None,
        alternatives=["Send fewer files.", "Use the sync endpoints."],
    )


# `git archive`, and so every code host, writes the commit's id into what it packs.
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class _Zip:
    def __init__(self, file: IO[bytes], size: int, limits: Limits) -> None:
        self._limits = limits
        self._meter = Meter(limits.max_inflated_bytes, size)
        # `zipfile` holds the whole directory in memory, so it is counted before.
        _require_few_entries(file, size, limits.max_entries)
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
        zipfile.ZIP_BZIP2,  # not LZMA: its headers may ask for 4 GB of memory
    ):
        return "is compressed in a way that we cannot read"
    return ""


def _require_few_entries(file: IO[bytes], size: int, limit: int) -> None:
    """Walk the central directory without keeping it, at most `limit` entries.

    The number in the end record is not believed; the signatures are counted.
    """
    start = _directory_start(file, size)
    file.seek(start)
    for _ in range(limit + 1):
        header = file.read(46)
        if len(header) < 46 or header[:4] != b"PK\x01\x02":
            file.seek(0)
            return
        file.seek(sum(struct.unpack("<HHH", header[28:34])), io.SEEK_CUR)
    raise _too_many(limit)


_BAD_DIRECTORY = (
    "This zip file's directory cannot be read. Pack the folder again and upload it "
    "anew."
)


def _directory_start(file: IO[bytes], size: int) -> int:
    """Return where the central directory starts, as `zipfile` finds it.

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
    return int(directory_end - length)


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
        meter = Meter(self._limits.max_inflated_bytes, self._size)
        plain = gzip.GzipFile(fileobj=self._file) if self._zipped else self._file
        stream = _Forward(plain, meter)
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield from self._walk(tar)
        except _TRUNCATED_OR_BROKEN as error:
            raise BadArchive(
                "This archive is damaged or cut off. Pack it again."
            ) from error

    def _walk(self, tar: tarfile.TarFile) -> Iterator[Entry]:
        count = 0
        while (member := tar.next()) is not None:
            # `tarfile` remembers each member for ever; a million of them are 1 GB.
            tar.members = []  # type: ignore[attr-defined]
            count += 1
            if count > self._limits.max_entries:
                raise _too_many(self._limits.max_entries)
            if count == 1:
                comment = str(tar.pax_headers.get("comment", ""))
                self.holds_tracked_files = bool(_COMMIT.fullmatch(comment))
            if member.isdir():
                continue
            yield Entry(
                member.name,
                member.size,
                _tar_objection(member),
                lambda member=member: self._read(tar, member),  # type: ignore[misc]
            )

    def _read(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
        try:
            content = tar.extractfile(member)
            if content is None:
                return None
            with content:
                # The stream below counts the bytes already.
                return _read_bounded(content, self._limits.max_file_bytes, _uncounted)
        except _TRUNCATED_OR_BROKEN as error:
            raise BadArchive(
                f"This archive is damaged at {shown(member.name)}. Pack it again."
            ) from error


def _tar_objection(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "is a link"
    if member.issparse():
        return "is a sparse file"
    if not member.isreg():
        return "is a device or a pipe"
    return ""


class _Forward(io.RawIOBase):
    """An inflating stream that only goes forward and reads in small pieces."""

    def __init__(self, plain: IO[bytes] | gzip.GzipFile, meter: Meter) -> None:
        self._plain = plain
        self._meter = meter
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MAX_HEADER_BYTES:
            raise BadArchive("This archive has a header of absurd size.")
        data = self._plain.read(size)
        self._position += len(data)
        self._meter.add(len(data))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise BadArchive("This archive cannot be read in order.")
        while self._position < offset:
            if not self.read(min(_CHUNK, offset - self._position)):
                raise EOFError
        return self._position


def _uncounted(n_bytes: int) -> None:
    return None


def _read_bounded(
    stream: IO[bytes], limit: int, count: Callable[[int], None]
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
