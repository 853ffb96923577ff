"""The parts of an upload of many files, each of which may be compressed."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeAlias

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import (
    FIELD,
    FILE,
    ChunkIter,
    LazyStream,
    MultiPartParserError,
    Parser,
)
from django.utils.datastructures import MultiValueDict
from rest_framework.request import Request

from workspaces.content.paths import shown
from workspaces.errors import BadEncoding, UnsupportedEncoding
from workspaces.receiving.inflating import read_inflated

Spool: TypeAlias = "SpooledTemporaryFile[bytes]"
Upload: TypeAlias = "UploadedFile[bytes]"

_PIECE = 64 * 1024
_MOST_FIELD_BYTES = 64 * 1024  # of all fields that are no files: a form's token
_LISTS = ("files", "files[]")


class Parts(FileUploadHandler):
    """Reads a multipart body whole, and keeps what each part says of its encoding.

    Django's own reader tells nobody of a part's `Content-Encoding`.
    """

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, str],
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> tuple[QueryDict, MultiValueDict[str, Upload]]:
        fields = QueryDict(mutable=True)
        files: MultiValueDict[str, Upload] = MultiValueDict()
        with ExitStack() as stack:
            spool = stack.enter_context(
                SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
            )
            stream = LazyStream(ChunkIter(input_data, _PIECE))
            _read(stream, boundary, fields, files, spool)
            if files:
                stack.pop_all()  # the request closes it, with its files
        return fields, files

    def file_complete(self, file_size: int) -> None:
        """Nothing is left to do."""


def _read(
    stream: LazyStream,
    boundary: Any,
    fields: QueryDict,
    files: MultiValueDict[str, Upload],
    spool: Spool,
) -> None:
    n_files, room = 0, _MOST_FIELD_BYTES
    for kind, headers, part in Parser(stream, boundary):
        name = _name_of(headers)
        if kind == FILE and name:
            n_files += 1
            if n_files > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
                raise TooManyFilesSent
            files.appendlist(name, _kept(headers, part, spool))
        elif kind == FIELD and name:
            value = part.read(room + 1)
            room -= len(value)
            if room < 0:
                raise MultiPartParserError("Its fields are too long.")
            fields.appendlist(name, value.decode("utf-8", "replace"))
        _exhaust(part)
    _exhaust(stream)


def _exhaust(stream: LazyStream) -> None:
    for _ in stream:
        continue


@dataclass(frozen=True, slots=True)
class Body:
    """One part's bytes, taken out of their encoding as they are read."""

    path: str
    encoding: str
    packed: IO[bytes]

    def read(self, limit: int) -> bytes:
        """Return the bytes, at most `limit` of them.

        Raises BadEncoding, UnsupportedEncoding.
        """
        try:
            return read_inflated(self.packed, self.encoding, limit)
        except (BadEncoding, UnsupportedEncoding) as error:
            raise type(error)(f"{error.sentence} It is {shown(self.path)}.") from error


def bodies_of(request: Request) -> Iterator[tuple[str, Body, int]]:
    """Yield each part's path, body and length as it came."""
    for path in request.FILES:
        for upload in request.FILES.getlist(path):
            extra = upload.content_type_extra or {}
            encoding = extra.get("content-encoding", b"").decode("ascii", "replace")
            yield path, Body(path, encoding, upload), upload.size or 0


def _name_of(headers: dict[str, Any]) -> str:
    """Return the part's name, which is a path; of a part of `files` its filename.

    Many clients' libraries name every part of a list alike.
    """
    disposition = headers.get("content-disposition", ("", {}))[1]
    name, filename = (
        bytes(disposition.get(each, b"")).decode("utf-8", "replace").strip()
        for each in ("name", "filename")
    )
    return filename if name in _LISTS and filename else name


def _kept(headers: dict[str, Any], part: Any, spool: Spool) -> Upload:
    start = spool.tell()
    pieces = part
    if _value(headers, "content-transfer-encoding").lower() == "base64":
        pieces = _from_base64(part)
    for piece in pieces:
        spool.write(piece)
    file: Any = _Slice(spool, start, spool.tell() - start)
    extra = {"content-encoding": _value(headers, "content-encoding").encode()}
    return UploadedFile(file, "part", "", file.size, None, extra)


class _Slice:
    """One part of the spool: two thousand files of their own are too many to open."""

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool, self._start, self._at = spool, start, 0
        self.size = size

    def read(self, limit: int) -> bytes:
        self._spool.seek(self._start + self._at)
        data = self._spool.read(min(limit, self.size - self._at))
        self._at += len(data)
        return data

    def close(self) -> None:
        """The request closes all parts, so the first one closes the spool."""
        self._spool.close()


def _from_base64(part: Any) -> Iterator[bytes]:
    """Some clients' libraries send every part so."""
    rest = b""
    for piece in part:
        rest += b"".join(piece.split())
        whole = len(rest) // 4 * 4
        yield _decoded(rest[:whole])
        rest = rest[whole:]
    if rest:
        raise MultiPartParserError("A part's base64 is cut off.")


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise MultiPartParserError("A part is no base64.") from error


def _value(headers: dict[str, Any], name: str) -> str:
    return str(headers.get(name, ("",))[0]).strip()
