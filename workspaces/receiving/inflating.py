"""Take `Content-Encoding` off a body while it comes in, a bounded piece at a time.

Source: https://www.rfc-editor.org/rfc/rfc9110#field.content-encoding
"""

import zlib
from collections.abc import Iterator
from typing import IO, Protocol

import zstandard

from workspaces.errors import ArchiveTooLarge, BadEncoding, UnsupportedEncoding

_READ_BYTES = 64 * 1024
_PIECE = 256 * 1024  # most bytes that gzip gives out at once
# A zstd block is 4 bytes at least and gives 128 KB at most, so that so many bytes
# give 8 MB at once.
_ZSTD_STEP = 256
_MAX_MEMBERS = 100_000  # of one gzip file
_MAX_WINDOW = 8 * 1024 * 1024  # RFC 8878 asks every decoder for as much
_RATIO = 200  # inflated to compressed; source code reaches 4 to 20
_RATIO_FROM_BYTES = 64 * 1024 * 1024


class Inflater(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the bytes inflate to. Raises BadEncoding."""

    def finish(self) -> None:
        """Raise BadEncoding where the body is cut off."""


def inflater(encoding: str) -> Inflater | None:
    """Return what takes this encoding off, None for `identity`.

    Raises UnsupportedEncoding.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Gzip()
        case "zstd":
            return _Zstd()
    raise UnsupportedEncoding


def read_inflated(stream: IO[bytes], encoding: str, limit: int) -> bytes:
    """Return what the stream holds out of its encoding, at most `limit` bytes.

    Raises BadEncoding, UnsupportedEncoding.
    """
    how = inflater(encoding)
    if how is None:
        return stream.read(limit)
    inflated = bytearray()
    while data := stream.read(_READ_BYTES):
        for piece in how.feed(data):
            inflated += piece
            if len(inflated) >= limit:
                return bytes(inflated[:limit])
    how.finish()
    return bytes(inflated)


class Ratio:
    """Counts both sides and stops what no source code does."""

    def __init__(self) -> None:
        self.compressed = 0
        self.inflated = 0

    def require_sane(self) -> None:
        """Raise ArchiveTooLarge."""
        if (
            self.inflated > _RATIO_FROM_BYTES
            and self.inflated > _RATIO * self.compressed
        ):
            raise ArchiveTooLarge(
                f"This body inflates to more than {_RATIO} times its size, as no "
                "source code does.",
                policy="encoding_ratio",
                scope="request",
                limit=_RATIO,
                used=self.inflated // max(1, self.compressed),
                resets_at=None,
                alternatives=["Send the source files alone."],
            )


class Gzip:
    """Takes gzip off, of as many members as an honest file has."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._started = False
        self._n_members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    self._next_member()
                self._started = True
                piece = self._member.decompress(data, _PIECE)
                data = self._member.unconsumed_tail or self._member.unused_data
                if piece:
                    yield piece
        except zlib.error as error:
            raise BadEncoding from error

    def _next_member(self) -> None:
        # A million empty ones are 20 MB and nothing.
        self._n_members += 1
        if self._n_members > _MAX_MEMBERS:
            raise BadEncoding
        self._member = zlib.decompressobj(wbits=31)

    def finish(self) -> None:
        if not (self._started and self._member.eof):
            raise BadEncoding


class _Zstd:
    def __init__(self) -> None:
        self._new_frame()

    def _new_frame(self) -> None:
        maker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame = maker.decompressobj()
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _ZSTD_STEP):
                yield from self._step(data[start : start + _ZSTD_STEP])
        except zstandard.ZstdError as error:
            raise BadEncoding from error

    def _step(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._ended:
                self._new_frame()
            piece = self._frame.decompress(data)
            self._ended = self._frame.eof
            data = self._frame.unused_data if self._ended else b""
            if piece:
                yield piece

    def finish(self) -> None:
        if not self._ended:
            raise BadEncoding
