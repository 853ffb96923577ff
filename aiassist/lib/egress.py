"""The one door out: every outbound HTTP call of the platform leaves through here.

Two kinds of target, which never mix:

- a `Destination` is named by the operator's settings. It may be private, and it owns
  its credential: the headers live in it and go to its host only. Calls go by
  `aiassist.lib.http1`, which is cheap enough for every call's path.
- a URL given by a user (`aiassist.lib.public_egress.open_url`) reaches public
  addresses only, and no credential of ours can ride along.

Both: no redirects, no proxies from the environment, no compression (a small answer
stays small), limits on time and bytes, and a connection that closes when the caller
leaves.
"""

import re
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import TracebackType
from typing import Protocol
from urllib.parse import quote, unquote_to_bytes, urlsplit

import certifi

from aiassist.lib import http1, jsons
from aiassist.lib.errors import AppError
from aiassist.lib.records import record

MIB = 1024 * 1024


class EgressError(AppError):
    """An outbound call failed; never carries what was sent or answered."""

    code, status, permanent = "egress_failed", 502, False
    message = "An outside service could not be reached."


class AddressRefused(EgressError):
    code, status, permanent = "address_refused", 400, True
    message = "This address is not a public http(s) URL; only such may be called."


class Unreachable(EgressError):
    code = "unreachable"
    message = "An outside service refused or dropped the connection."


class EgressTimeout(EgressError):
    """Details: `phase` (connect, first_byte, idle, total)."""

    code, status = "egress_timeout", 504
    message = "An outside service did not answer in time."


class AnswerTooLarge(EgressError):
    code = "answer_too_large"
    message = "An outside service answered with more than we accept."


class AnswerMalformed(EgressError):
    code = "answer_malformed"
    message = "An outside service's answer could not be read."


@record(frozen=True, slots=True)
class Caps:
    """How long and how much one call may be."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 60.0  # from sending to the first byte of the body
    idle_seconds: float = 30.0  # between two pieces of the body
    total_seconds: float = 600.0
    max_bytes: int = 64 * MIB


@record(frozen=True, slots=True)
class Destination:
    """A service that the operator configured, with the credential bound to it."""

    name: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """Whom we speak to, whatever path is asked for."""
        return _place_of(self.base_url, "").host


class _Body(Protocol):
    """A body that is still arriving, whoever reads it off the line."""

    async def piece(self, at: float, phase: str) -> bytes | None:
        """Return what came next until `at`; None when it is whole."""


class Answer:
    """An answer whose body is still arriving. Header names are in lower case."""

    def __init__(
        self, status: int, headers: Mapping[str, str], body: _Body, ends: "Ends"
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._caps, self._total_at = ends.caps, ends.total_at
        encoding = headers.get("content-encoding", "identity")
        self._is_encoded = encoding.lower() != "identity"
        self._n_bytes = 0
        self._at, self._phase = ends.first_byte()
        # Set by who has read the last word: the body's end may come a little later.
        self.has_said_all = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body's pieces, within the caps. Raises as `piece`."""
        while (piece := await self.piece()) is not None:
            yield piece

    async def read(self, max_bytes: int = MIB) -> bytes:
        """Return the whole body; raises AnswerTooLarge beyond `max_bytes`."""
        pieces = []
        while (piece := await self.piece()) is not None:
            pieces.append(piece)
            if self._n_bytes > max_bytes:
                raise AnswerTooLarge(limit=max_bytes)
        return b"".join(pieces)

    async def piece(self) -> bytes | None:
        """Return the body's next piece as it came; None when the body is whole.

        Raises EgressTimeout, AnswerTooLarge, AnswerMalformed, Unreachable.
        """
        if self._is_encoded:
            raise AnswerMalformed("An outside service compressed its answer unasked.")
        try:
            piece = await self._body.piece(self._at, self._phase)
        except http1.Http1Error as error:
            raise _error_of(error) from None
        if piece is None:
            return None
        self._n_bytes += len(piece)
        if self._n_bytes > self._caps.max_bytes:
            raise AnswerTooLarge(limit=self._caps.max_bytes)
        self._at, self._phase = time.monotonic() + self._caps.idle_seconds, "idle"
        if self._at > self._total_at:
            self._at, self._phase = self._total_at, "total"
        return piece


class Ends:
    """When a call's phases must have ended, by the monotonic clock."""

    __slots__ = ("caps", "first_byte_at", "total_at")

    def __init__(self, caps: Caps) -> None:
        now = time.monotonic()
        self.caps = caps
        self.total_at = now + caps.total_seconds
        self.first_byte_at = now + caps.first_byte_seconds

    def first_byte(self) -> tuple[float, str]:
        """Return until when to wait for the body's first byte, and for what."""
        if self.first_byte_at < self.total_at:
            return self.first_byte_at, "first_byte"
        return self.total_at, "total"


class open_destination:
    """Call a configured service; leaving the block closes the connection, or keeps it
    for the next call if the whole answer was read.

    A caller's header never replaces the destination's own (its credential).
    """

    def __init__(
        self,
        destination: Destination,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        caps: Caps | None = None,
    ) -> None:
        self._where = _place_of(destination.base_url, path)
        self._caps = caps or Caps()
        merged = _lowered(destination.headers)
        if headers:
            merged = _lowered(headers) | merged
        self._request = _request(method, self._where, merged, json)
        self._connection: http1.Connection | None = None
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        where, ends = self._where, Ends(self._caps)
        target = http1.Target(where.host, where.port, _tls() if where.is_tls else None)
        try:
            line = await http1.pool().open(target, self._caps.connect_seconds)
            self._connection = line
            line.ask(self._request)
            await line.head(*ends.first_byte())
        except http1.Http1Error as error:
            self._leave()
            raise _error_of(error) from None
        except BaseException:
            self._leave()
            raise
        self._answer = Answer(line.status, line.headers, line, ends)
        return self._answer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._connection is not None:
            answer = self._answer
            self._connection.done(lingers=answer is not None and answer.has_said_all)
            self._connection = None


def _error_of(error: http1.Http1Error) -> EgressError:
    match error:
        case http1.Late():
            return EgressTimeout(phase=error.phase)
        case http1.Malformed():
            return AnswerMalformed()
    return Unreachable()


@dataclass(frozen=True, slots=True)
class _Place:
    """An address of a configured service, taken apart once."""

    host: str
    port: int
    is_tls: bool
    line: bytes  # path and query
    head: bytes  # the headers that are the same with every call


@lru_cache(maxsize=512)
def _place_of(base_url: str, path: str) -> _Place:
    """Take an address apart. The base alone names the host: no path can change it."""
    base = urlsplit(base_url)
    is_tls = base.scheme == "https"
    account, _, netloc = base.netloc.rpartition("@")
    if not netloc.isascii():
        netloc = netloc.encode("idna").decode("ascii")
    head = f"Host: {netloc}\r\nUser-Agent: aiassist\r\nAccept-Encoding: identity\r\n"
    if account:
        basic = b64encode(unquote_to_bytes(account)).decode()
        head += f"Authorization: Basic {basic}\r\n"
    line = quote(base.path.rstrip("/") + "/" + path.lstrip("/"), safe=_AS_IT_STANDS)
    return _Place(
        host=base.hostname or "",
        port=base.port or (443 if is_tls else 80),
        is_tls=is_tls,
        line=line.encode("ascii"),
        head=head.encode("ascii"),
    )


def _request(
    method: str, where: _Place, headers: Mapping[str, str], body: object
) -> bytes:
    """Return a request's bytes. Raises ValueError for a header that is none."""
    parts = [method.encode("ascii"), b" ", where.line, b" HTTP/1.1\r\n", where.head]
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("not a header")  # its value may be a credential
        parts.append(f"{name}: {value}\r\n".encode("latin-1"))
    if body is None:
        parts.append(b"Content-Length: 0\r\n\r\n" if method == "POST" else b"\r\n")
    else:
        raw = jsons.dumps(body)
        parts.append(
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw)
        )
        parts.append(raw)
    return b"".join(parts)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_AS_IT_STANDS = "/?:@!$&'()*+,;=~%-._"


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes 20 ms and more, so all calls share them."""
    known = ssl.get_default_verify_paths()
    is_there = known.cafile or known.capath
    context = ssl.create_default_context(cafile=None if is_there else certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
