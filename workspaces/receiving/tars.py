"""Read a tar that a stranger made, as a stream: linear in its bytes, bounded in memory.

Python's `tarfile` believes what headers say of themselves: one of 200 KB keeps it busy
for a minute, and a map of holes fills the memory. This reader knows what archives of
source code need: names of any length, sizes, kinds, the comment in which git puts a
commit's id.
Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html and
https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

_BLOCK = 512
_NOTHING = bytes(_BLOCK)
_PIECE = 64 * 1024
_MAX_HEADER_BYTES = 1024 * 1024  # of all headers before one member
_MOST_DIGITS = 20


class Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPARSE = "sparse"  # with holes that a map tells of
    SPECIAL = "special"  # a device, a pipe, what only one tar knows


class BadTar(ValueError):
    """What stands there is no tar, or is cut off."""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in the tar; a file's bytes are read before the next is asked for."""

    name: str
    kind: Kind
    n_bytes: int


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    type: bytes
    n_bytes: int
    goes_on: bool  # an old map of holes, in the blocks that follow


class TarReader:
    """Goes through a tar once. Raises BadTar from `members` and `read`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0  # bytes of the member that nobody has read yet
        self._padding = 0
        self.comment = ""  # of the whole archive, once the first member is there

    def members(self) -> Iterator[Member]:
        told: dict[str, bytes] = {}
        n_header_bytes = 0
        n_blocks = 0
        while (block := self._next_block()) not in (b"", _NOTHING):
            header = _header(block)
            n_blocks += 1
            if header.type in b"xXgLK":
                n_header_bytes += header.n_bytes + _BLOCK
                if n_header_bytes > _MAX_HEADER_BYTES:
                    raise BadTar("This archive has a header of absurd size.")
                self._take(header, told)
                continue
            if header.goes_on:
                self._skip_map(_MAX_HEADER_BYTES - n_header_bytes)
            yield self._begin(header, told)
            told, n_header_bytes = {}, 0
        if not block and not n_blocks:
            raise BadTar("This archive is empty.")

    def read(self, size: int) -> bytes:
        """Return up to `size` of the member's bytes, none at its end."""
        data = self._exactly(min(size, self._left))
        self._left -= len(data)
        return data

    def _next_block(self) -> bytes:
        while self.read(_PIECE):
            continue
        # The last one's may be missing.
        self._up_to(self._padding)
        block = self._up_to(_BLOCK)
        if 0 < len(block) < _BLOCK:
            raise BadTar
        return block

    def _take(self, header: _Header, told: dict[str, bytes]) -> None:
        """Read a header that tells of the members that follow."""
        body = self._exactly(header.n_bytes)
        self._padding = -header.n_bytes % _BLOCK
        if header.type == b"L":
            told["path"] = body.partition(b"\0")[0]
        elif header.type == b"g":
            self.comment = _text(_records(body).get("comment", self.comment.encode()))
        elif header.type != b"K":
            told |= _records(body)

    def _skip_map(self, room: int) -> None:
        self._padding = 0
        while self._exactly(_BLOCK)[504]:
            room -= _BLOCK
            if room < 0:
                raise BadTar("This archive has a header of absurd size.")

    def _begin(self, header: _Header, told: dict[str, bytes]) -> Member:
        n_bytes = header.n_bytes
        if "size" in told:
            n_bytes = _decimal(told["size"])
        name = _text(told.get("path", header.name))
        kind = _KINDS.get(header.type, Kind.SPECIAL)
        if kind is Kind.FILE and name.endswith("/"):
            kind = Kind.FOLDER  # as tars from before there was a type say it
        if kind is Kind.FILE and any(key.startswith("GNU.sparse.") for key in told):
            kind = Kind.SPARSE
            name = _text(told.get("GNU.sparse.name", name.encode(*_AS_BYTES)))
        # Links, devices, folders and pipes have none, whatever they claim.
        self._left = 0 if header.type in b"123456" else n_bytes
        self._padding = -self._left % _BLOCK
        return Member(name, kind, self._left)

    def _exactly(self, size: int) -> bytes:
        data = self._up_to(size)
        if len(data) < size:
            raise BadTar
        return data

    def _up_to(self, size: int) -> bytes:
        pieces = []
        while size and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


_AS_BYTES = ("utf-8", "surrogateescape")
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7"), Kind.FILE),
    **dict.fromkeys((b"1", b"2"), Kind.LINK),
    b"5": Kind.FOLDER,
    b"S": Kind.SPARSE,
}


def is_tar_header(block: bytes) -> bool:
    """Tell by the checksum, so that tars from before `ustar` are known, too."""
    try:
        _header(block)
    except BadTar:
        return False
    return True


def _header(block: bytes) -> _Header:
    if len(block) < _BLOCK:
        raise BadTar
    as_if_blank = sum(block[:148]) + 8 * 32 + sum(block[156:])
    high = sum(byte > 127 for byte in block[:148] + block[156:])
    # Some old ones summed signed characters.
    if _number(block[148:156]) not in (as_if_blank, as_if_blank - 256 * high):
        raise BadTar
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    kind = block[156:157]
    goes_on = kind == b"S" and bool(block[482])
    return _Header(name, kind, _number(block[124:136]), goes_on)


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's binary for what these cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    try:
        number = int(digits or b"0", 8)
    except ValueError as error:
        raise BadTar from error
    if number < 0:
        raise BadTar
    return number


def _records(body: bytes) -> dict[str, bytes]:
    """Read `LENGTH KEY=VALUE` lines."""
    found: dict[str, bytes] = {}
    position = 0
    while body[position : position + 1] not in (b"", b"\0"):
        space = body.find(b" ", position, position + _MOST_DIGITS)
        if space < 0:
            raise BadTar
        end = position + _decimal(body[position:space])
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            raise BadTar
        found[key.decode("utf-8", "replace")] = value
        position = end
    return found


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise BadTar
    return int(digits)


def _text(name: bytes) -> str:
    return name.decode(*_AS_BYTES)
