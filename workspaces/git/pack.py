"""Read a pack that a stranger made: bounded in objects, bytes, memory and depth (F1).

A pack is read from a file, never into a repository: objects are indexed once, deltas
resolved from their bases down, and one commit's tree is walked as an archive.
Source: https://git-scm.com/docs/gitformat-pack
"""

import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from typing import IO

from workspaces.git.errors import BadPack
from workspaces.receiving.unpacking import Entry, Limits, Meter

_COMMIT, _TREE, _BLOB, _TAG, _OFS_DELTA, _REF_DELTA = 1, 2, 3, 4, 6, 7
_NAMES = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob", _TAG: b"tag"}
_CHUNK = 64 * 1024
_MAX_STRUCTURE_BYTES = 32 * 1024 * 1024  # of a commit, a tree or a tag
_MAX_HELD_BYTES = 256 * 1024 * 1024  # of bases that wait for their deltas
_MAX_TAGS = 10  # from a tag to the next, before a commit
_MAX_FOLDERS = 256  # one in the other
_REREAD = 8  # times what may be unpacked: bases that the cache has lost
_CACHE_BYTES = 32 * 1024 * 1024


class _TooLarge(BadPack):
    """An object that is too large to look at."""


@dataclass(slots=True)
class _Record:
    """One object as it stands in the file."""

    kind: int
    size: int  # inflated, of a delta: its instructions
    start: int  # of the zlib stream
    base: int | bytes | None  # offset or id of a delta's base
    result: int = 0  # size of the object itself
    object_kind: int = 0  # of what a delta makes


class Pack:
    """The objects of one pack file by their ids."""

    def __init__(self, file: IO[bytes], size: int, limits: Limits) -> None:
        """Index the file. Raises BadPack, ArchiveTooLarge."""
        self._file, self._size, self._limits = file, size, limits
        self._meter = Meter(limits, size)
        self._largest = max(limits.max_file_bytes, _MAX_STRUCTURE_BYTES)
        self._records: dict[int, _Record] = {}
        self._by_id: dict[bytes, int] = {}
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = 0
        self._n_inflated = 0  # again, after each object was inflated once
        try:
            self._scan()
            self._resolve_deltas()
        except (IndexError, zlib.error) as error:
            raise BadPack from error

    def size_of(self, object_id: bytes) -> int | None:
        """Return the object's length, None where the pack lacks it."""
        offset = self._by_id.get(object_id)
        return None if offset is None else self._records[offset].result

    def kind_of(self, object_id: bytes) -> int | None:
        offset = self._by_id.get(object_id)
        return None if offset is None else self._records[offset].object_kind

    def read(self, object_id: bytes, kind: int) -> bytes:
        """Return an object. Raises BadPack when it is not there or of another kind."""
        offset = self._by_id.get(object_id)
        if offset is None or self._records[offset].object_kind != kind:
            raise BadPack("The git host's pack lacks an object that it names.")
        return self._content(offset)

    def _scan(self) -> None:
        self._file.seek(0)
        header = self._file.read(12)
        count = int.from_bytes(header[8:12], "big")
        if header[:4] != b"PACK" or header[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            raise BadPack
        # Beside the files there are folders and a commit.
        if count > 2 * self._limits.max_entries + 1000:
            raise self._limits.too_many_entries("repository", count)
        reader = _Reader(self._file, 12)
        for _ in range(count):
            offset = reader.position
            record = _header(reader, offset)
            self._records[offset] = record
            digest = None
            if record.kind in _NAMES:
                record.object_kind, record.result = record.kind, record.size
                digest = sha1(b"%s %d\0" % (_NAMES[record.kind], record.size))
            n_bytes = 0
            for piece in reader.inflate():
                self._meter.add(len(piece))
                n_bytes += len(piece)
                if n_bytes > record.size:
                    raise BadPack
                if digest is not None:
                    digest.update(piece)
            if n_bytes != record.size:
                raise BadPack
            if digest is not None:
                self._by_id[digest.digest()] = offset

    def _resolve_deltas(self) -> None:
        """Find the ids of deltified objects, each base's before its deltas'."""
        of_offset: dict[int, list[int]] = defaultdict(list)
        of_id: dict[bytes, list[int]] = defaultdict(list)
        for offset, record in self._records.items():
            if isinstance(record.base, int):
                of_offset[record.base].append(offset)
            elif record.base is not None:
                of_id[record.base].append(offset)
        ids = {offset: object_id for object_id, offset in self._by_id.items()}

        def deltas_of(offset: int) -> list[int]:
            return of_offset.pop(offset, []) + of_id.pop(ids.get(offset, b""), [])

        roots = [o for o, r in self._records.items() if r.kind in _NAMES]
        for root in roots:
            deltas = deltas_of(root)
            if not deltas or self._records[root].size > self._largest:
                continue
            waiting = [(self._inflated(self._records[root]), root, deltas)]
            held = len(waiting[0][0])
            while waiting:
                base, base_offset, deltas = waiting[-1]
                if not deltas:
                    held -= len(base)
                    waiting.pop()
                    continue
                offset = deltas.pop()
                record = self._records[offset]
                try:
                    content = self._applied(base, record)
                except _TooLarge:
                    continue
                record.object_kind = self._records[base_offset].object_kind
                record.result = len(content)
                name = _NAMES[record.object_kind]
                object_id = sha1(b"%s %d\0" % (name, len(content)) + content).digest()
                self._by_id.setdefault(object_id, offset)
                ids[offset] = object_id
                below = deltas_of(offset)
                if below:
                    held += len(content)
                    if held > _MAX_HELD_BYTES:
                        raise BadPack("The git host's pack is nested too deep.")
                    waiting.append((content, offset, below))

    def _applied(self, base: bytes, record: _Record) -> bytes:
        """Return what a delta makes. Raises BadPack, _TooLarge."""
        delta = self._inflated(record)
        position, base_size = _varint(delta, 0)
        position, size = _varint(delta, position)
        if base_size != len(base):
            raise BadPack
        if size > self._largest:
            raise _TooLarge
        self._meter.add(size)
        return _apply(base, delta, position, size)

    def _content(self, offset: int) -> bytes:
        """Return an object's bytes, by way of its bases."""
        chain: list[int] = []
        here = offset
        while here not in self._cache:
            record = self._records[here]
            if record.base is None:
                self._remember(here, self._inflated(record))
                break
            chain.append(here)
            base = record.base
            here = base if isinstance(base, int) else self._by_id[base]
        content = self._cache[here]
        for below in reversed(chain):
            content = self._applied(content, self._records[below])
            self._remember(below, content)
        return content

    def _remember(self, offset: int, content: bytes) -> None:
        self._cache[offset] = content
        self._cached += len(content)
        while self._cached > _CACHE_BYTES and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= len(dropped)

    def _inflated(self, record: _Record) -> bytes:
        if record.size > self._largest:
            raise _TooLarge
        # What every file of a commit is made of may be inflated for each of them.
        self._n_inflated += record.size
        if self._n_inflated > _REREAD * self._limits.max_inflated_bytes:
            raise BadPack("The git host's pack is made to be read over and over.")
        return b"".join(_Reader(self._file, record.start).inflate())


class _Reader:
    """Reads the file from a place on, and knows where it is."""

    def __init__(self, file: IO[bytes], position: int) -> None:
        self._file = file
        self._file.seek(position)
        self._held = b""
        self._at = 0
        self.position = position

    def byte(self) -> int:
        self._fill()
        value = self._held[self._at]  # IndexError: the file is cut off
        self._at += 1
        self.position += 1
        return value

    def take(self, n_bytes: int) -> bytes:
        return bytes(self.byte() for _ in range(n_bytes))

    def inflate(self) -> Iterator[bytes]:
        """Yield one zlib stream's pieces; the position is then behind it."""
        stream = zlib.decompressobj()
        while not stream.eof:
            self._fill()
            data = self._held[self._at :]
            if not data:
                raise IndexError
            piece = stream.decompress(data, _CHUNK)
            used = len(data) - len(stream.unconsumed_tail) - len(stream.unused_data)
            self._at += used
            self.position += used
            yield piece

    def _fill(self) -> None:
        if self._at >= len(self._held):
            # Another reader may have moved the file meanwhile.
            self._file.seek(self.position)
            self._held = self._file.read(_CHUNK)
            self._at = 0


def _header(reader: _Reader, offset: int) -> _Record:
    byte = reader.byte()
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = reader.byte()
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 60:
            raise BadPack
    base: int | bytes | None = None
    if kind == _OFS_DELTA:
        byte = reader.byte()
        distance = byte & 0x7F
        while byte & 0x80:
            byte = reader.byte()
            distance = ((distance + 1) << 7) | (byte & 0x7F)
            if distance > offset:
                raise BadPack
        base = offset - distance
        if distance == 0:
            raise BadPack
    elif kind == _REF_DELTA:
        base = reader.take(20)
    elif kind not in _NAMES:
        raise BadPack
    return _Record(kind, size, reader.position, base)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return position, value
        if shift > 60:
            raise BadPack


def _apply(base: bytes, delta: bytes, position: int, size: int) -> bytes:
    """Follow a delta's instructions: copy from the base, or insert."""
    pieces: list[bytes] = []
    made = 0
    while position < len(delta):
        code = delta[position]
        position += 1
        if code & 0x80:
            start = length = 0
            for bit in range(4):
                if code & (1 << bit):
                    start |= delta[position] << (8 * bit)
                    position += 1
            for bit in range(3):
                if code & (0x10 << bit):
                    length |= delta[position] << (8 * bit)
                    position += 1
            length = length or 0x10000
            if start + length > len(base):
                raise BadPack
            piece = base[start : start + length]
        elif code:
            piece = delta[position : position + code]
            position += code
        else:
            raise BadPack
        made += len(piece)
        if made > size:
            raise BadPack
        pieces.append(piece)
    if made != size:
        raise BadPack
    return b"".join(pieces)


class CommitFiles:
    """One commit's files as an archive: `unpacking.Archive`."""

    holds_tracked_files = True

    def __init__(self, pack: Pack, object_id: str, limits: Limits) -> None:
        """Find the commit, by way of tags. Raises BadPack."""
        self._pack, self._limits = pack, limits
        self.commit, self._tree = self._find(bytes.fromhex(object_id))

    def entries(self) -> Iterator[Entry]:
        count = 0
        waiting: list[tuple[str, Iterator[tuple[str, bytes, bytes]]]] = [
            ("", self._children(self._tree))
        ]
        while waiting:
            folder, children = waiting[-1]
            child = next(children, None)
            if child is None:
                waiting.pop()
                continue
            mode, name, object_id = child
            # A tree that names itself many times over is small and never ends.
            count += 1
            if count > self._limits.max_entries:
                raise self._limits.too_many_entries("repository")
            path = folder + name.decode("utf-8", "surrogateescape")
            if mode == "40000":
                if len(waiting) >= _MAX_FOLDERS:
                    raise BadPack("The repository's folders are nested too deep.")
                waiting.append((f"{path}/", self._children(object_id)))
            else:
                yield self._entry(path, mode, object_id)

    def _entry(self, path: str, mode: str, object_id: bytes) -> Entry:
        objection = {
            "120000": "is a link",
            "160000": "is a submodule: another repository's code",
        }.get(mode, "")
        size = self._pack.size_of(object_id)
        too_long = self._limits.max_file_bytes + 1
        return Entry(
            path,
            # Files beyond the limit were not asked for.
            too_long if size is None and not objection else size or 0,
            objection,
            lambda: self._read(object_id, size),
        )

    def _read(self, object_id: bytes, size: int | None) -> bytes | None:
        if size is None or size > self._limits.max_file_bytes:
            return None
        return self._pack.read(object_id, _BLOB)

    def _children(self, tree: bytes) -> Iterator[tuple[str, bytes, bytes]]:
        data = self._pack.read(tree, _TREE)
        position = 0
        while position < len(data):
            space = data.find(b" ", position)
            end = data.find(b"\0", space)
            if space < 0 or end < 0 or end + 21 > len(data):
                raise BadPack
            mode = data[position:space].decode("ascii", "replace").lstrip("0")
            yield mode, data[space + 1 : end], data[end + 1 : end + 21]
            position = end + 21

    def _find(self, object_id: bytes) -> tuple[str, bytes]:
        for _ in range(_MAX_TAGS):
            target = self._named(object_id, _TAG, b"object ")
            if target is None:
                break
            object_id = target
        tree = self._named(object_id, _COMMIT, b"tree ")
        if tree is None:
            raise BadPack("What this ref names is no commit.")
        return object_id.hex(), tree

    def _named(self, object_id: bytes, kind: int, word: bytes) -> bytes | None:
        """Return the id in the first line of an object, None for another kind."""
        if self._pack.kind_of(object_id) != kind:
            return None
        line = self._pack.read(object_id, kind).partition(b"\n")[0]
        try:
            return bytes.fromhex(line.removeprefix(word).decode("ascii"))
        except ValueError as error:
            raise BadPack from error
