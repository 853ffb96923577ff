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

from workspaces.errors import BadEncoding, UnsupportedEncoding
from workspaces.inflating import read_inflated
from workspaces.paths import shown

Upload: TypeAlias = "UploadedFile[bytes]"  # not subscriptable at run time

_PIECE = 64 * 1024
_MOST_FIELD_BYTES = 64 * 1024  # of all fields that are no files: a form's token


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
        with ExitStack() as opened:
            _read(
                LazyStream(ChunkIter(input_data, _PIECE)),
                boundary,
                fields,
                files,
                opened,
            )
            opened.pop_all()  # the request closes them
        return fields, files

    def file_complete(self, file_size: int) -> None:
        """Nothing is left to do."""


def _read(
    stream: LazyStream,
    boundary: Any,
    fields: QueryDict,
    files: MultiValueDict[str, Upload],
    opened: ExitStack,
) -> None:
    n_files, room = 0, _MOST_FIELD_BYTES
    for kind, headers, part in Parser(stream, boundary):
        name = _name_of(headers)
        if kind == FILE and name:
            n_files += 1
            if n_files > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
                raise TooManyFilesSent
            files.appendlist(name, _kept(headers, part, opened))
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
    disposition = headers.get("content-disposition", ("", {}))[1]
    return bytes(disposition.get("name", b"")).decode("utf-8", "replace").strip()


def _kept(headers: dict[str, Any], part: Any, opened: ExitStack) -> Upload:
    file: Any = _spool(opened)
    pieces = part
    if _value(headers, "content-transfer-encoding").lower() == "base64":
        pieces = _from_base64(part)
    for piece in pieces:
        file.write(piece)
    size = file.tell()
    file.seek(0)
    extra = {"content-encoding": _value(headers, "content-encoding").encode()}
    return UploadedFile(file, "part", "", size, None, extra)


def _spool(opened: ExitStack) -> "SpooledTemporaryFile[bytes]":
    return opened.enter_context(
        SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    )


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
