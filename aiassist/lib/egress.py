"""The one door out: every outbound HTTP call of the platform leaves through here.

Two kinds of target, which never mix:

- a `Destination` is named by the operator's settings. It may be private, and it owns
  its credential: the headers live in it and go to its host only.
- a URL given by a user (`open_url`) reaches public addresses only. The name is
  resolved, every address is checked, and the connection goes to a checked address,
  so that nothing can change between check and use (DNS rebinding). TLS still
  verifies the name. No credential of ours can ride along.

Both: no redirects, no proxies from the environment, no compression (a small answer
stays small), limits on time and bytes, and a connection that closes when the caller
leaves.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httpcore2
import httpx2

from aiassist.lib.addresses import all_public, is_plain_host
from aiassist.lib.errors import AppError

MIB = 1024 * 1024
MAX_ADDRESSES = 4  # of a name, that are tried


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


@dataclass(frozen=True, slots=True)
class Caps:
    """How long and how much one call may be."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 60.0  # from sending to the first byte of the body
    idle_seconds: float = 30.0  # between two pieces of the body
    total_seconds: float = 600.0
    max_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True)
class Destination:
    """A service that the operator configured, with the credential bound to it."""

    name: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def url(self, path: str) -> httpx2.URL:
        """Join `path`. The slash between keeps it from changing the host."""
        return httpx2.URL(self.base_url.rstrip("/") + "/" + path.lstrip("/"))


@dataclass(frozen=True, slots=True)
class Trust:
    """What an operator adds to the public Internet for user-given URLs.

    A host named here (as `host:port`) may have a private address: a code host in the
    operator's own network. `ca_file` holds the certificate of its authority.
    """

    hosts: frozenset[str] = frozenset()
    ca_file: str = ""

    def holds(self, host: str, port: int) -> bool:
        return f"{host.lower()}:{port}" in self.hosts


NOBODY = Trust()


class Answer:
    """An answer whose body is still arriving."""

    def __init__(self, response: httpx2.Response, caps: Caps, started: float) -> None:
        self._response = response
        self._caps = caps
        self._started = started
        self.status = response.status_code
        self.headers = response.headers

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body's pieces as they come, within the caps.

        Raises EgressTimeout, AnswerTooLarge, AnswerMalformed, Unreachable.
        """
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise AnswerMalformed("An outside service compressed its answer unasked.")
        caps, n_bytes, phase = self._caps, 0, "first_byte"
        limit = self._started + caps.first_byte_seconds
        stream = self._response.aiter_raw()
        while True:
            with _translated():
                async with _deadline(
                    min(limit, self._ends_at),
                    phase if limit < self._ends_at else "total",
                ):
                    piece = await anext(stream, None)
            if piece is None:
                return
            n_bytes += len(piece)
            if n_bytes > caps.max_bytes:
                raise AnswerTooLarge(limit=caps.max_bytes)
            yield piece
            phase, limit = "idle", time.monotonic() + caps.idle_seconds

    async def read(self, max_bytes: int = MIB) -> bytes:
        """Return the whole body; raises AnswerTooLarge beyond `max_bytes`."""
        body = bytearray()
        async for piece in self.chunks():
            body += piece
            if len(body) > max_bytes:
                raise AnswerTooLarge(limit=max_bytes)
        return bytes(body)

    @property
    def _ends_at(self) -> float:
        return self._started + self._caps.total_seconds


@asynccontextmanager
async def open_destination(
    destination: Destination,
    method: str,
    path: str,
    *,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    caps: Caps | None = None,
) -> AsyncIterator[Answer]:
    """Call a configured service; leaving the block closes the connection.

    A caller's header never replaces the destination's own (its credential).
    """
    merged = httpx2.Headers(headers)  # by name in any case, unlike a dict
    merged.update(destination.headers)
    request = _client().build_request(
        method, destination.url(path), json=json, headers=merged
    )
    async with _open(_client(), request, caps or Caps()) as answer:
        yield answer


@asynccontextmanager
async def open_url(
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    caps: Caps | None = None,
    trust: Trust = NOBODY,
) -> AsyncIterator[Answer]:
    """Call a URL that a user gave: public addresses only, and those of `trust`.

    Raises AddressRefused before anything is sent.
    """
    client = _public_client(trust)
    request = client.build_request(
        method, checked_url(url, trust), content=content, headers=dict(headers or {})
    )
    async with _open(client, request, caps or Caps()) as answer:
        yield answer


def checked_url(url: str, trust: Trust = NOBODY) -> str:
    """Return the URL if its form is harmless; raises AddressRefused.

    The addresses behind its name are checked when the connection is made.
    """
    if any(ord(c) <= 32 or ord(c) == 127 or c == "\\" for c in url):
        raise AddressRefused
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        parsed = httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL) as error:
        raise AddressRefused from error
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise AddressRefused
    # Two parsers that disagree about the host are how a check is walked around.
    if not host.isascii() or parsed.raw_host.decode() != host:
        raise AddressRefused
    if trust.holds(host, port or {"http": 80, "https": 443}[parts.scheme]):
        return url
    if not is_plain_host(host):
        raise AddressRefused
    if port is not None and port not in (80, 443) and port < 1024:
        raise AddressRefused
    return url


@asynccontextmanager
async def _open(
    client: httpx2.AsyncClient, request: httpx2.Request, caps: Caps
) -> AsyncIterator[Answer]:
    started = time.monotonic()
    request.extensions["timeout"] = httpx2.Timeout(
        None, connect=caps.connect_seconds, pool=caps.connect_seconds
    ).as_dict()
    first_byte = min(caps.first_byte_seconds, caps.total_seconds)
    with _translated():
        async with _deadline(started + first_byte, "first_byte"):
            response = await client.send(request, stream=True)
    try:
        yield Answer(response, caps, started)
    finally:
        await response.aclose()


class _deadline:
    """Like asyncio.timeout_at, but in monotonic time and with a phase's name."""

    def __init__(self, at: float, phase: str) -> None:
        self._timeout = asyncio.timeout(max(0.0, at - time.monotonic()))
        self._phase = phase

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError as error:
            raise EgressTimeout(phase=self._phase) from error


class _translated:
    """Turns the client library's errors into ours, without their texts.

    Their messages can hold what the other side sent.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        match error:
            case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
                raise EgressTimeout(phase="connect") from None
            case httpx2.TimeoutException():
                raise EgressTimeout(phase="idle") from None
            case httpx2.ProtocolError():
                raise AnswerMalformed from None
            case httpx2.HTTPError() | httpx2.StreamError():
                raise Unreachable from None


class _PublicBackend(httpcore2.AsyncNetworkBackend):
    """Resolves, judges every address, and connects to one that was judged."""

    def __init__(self, trust: Trust) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._trust = trust

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        started = time.monotonic()
        trusted = self._trust.holds(host, port)
        if not trusted and not is_plain_host(host):
            raise AddressRefused
        addresses = await _resolve(host, port, timeout or 5.0)
        if not trusted and not all_public(addresses):
            raise AddressRefused
        # A machine without IPv6 must still reach a name that has both; a name with
        # hundreds of addresses must not keep us busy.
        *others, last = addresses[:MAX_ADDRESSES]
        ends_at = started + (timeout or 5.0)
        for address in others:
            try:
                return await self._connect(address, port, ends_at, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._connect(last, port, ends_at, socket_options)

    async def _connect(
        self,
        address: str,
        port: int,
        ends_at: float,
        socket_options: Iterable[Any] | None,
    ) -> httpcore2.AsyncNetworkStream:
        return await self._inner.connect_tcp(
            address,
            port,
            timeout=max(0.1, ends_at - time.monotonic()),
            socket_options=socket_options,
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _resolve(host: str, port: int, timeout_seconds: float) -> list[str]:
    """Return every address of the host, as the system resolver says."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout from error
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError("name not resolved") from error
    return [str(address[0]) for *_, address in found]


class _PublicTransport(httpx2.AsyncHTTPTransport):
    """The usual transport over a pool that connects to public addresses only."""

    def __init__(self, context: ssl.SSLContext, trust: Trust) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=100,
            # A kept connection would outlive the check of its address.
            max_keepalive_connections=0,
            network_backend=_PublicBackend(trust),
        )


@dataclass(slots=True)
class _Clients:
    """One event loop's clients."""

    platform: httpx2.AsyncClient
    public: dict[Trust, httpx2.AsyncClient] = field(default_factory=dict)
    closer: AsyncGenerator[None, None] | None = None


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = WeakKeyDictionary()


def _client() -> httpx2.AsyncClient:
    return _clients().platform


def _public_client(trust: Trust) -> httpx2.AsyncClient:
    public = _clients().public
    if trust not in public:
        public[trust] = _build_public(trust)
    return public[trust]


def _clients() -> _Clients:
    """Return the running loop's clients; they close when the loop ends."""
    loop = asyncio.get_running_loop()
    found = _by_loop.get(loop)
    if found is None:
        found = _by_loop[loop] = _build_clients()
        found.closer = _close_with_loop(found)
        _start(found.closer)
    return found


def _start(generator: AsyncGenerator[None, None]) -> None:
    """Run up to the first yield: the loop closes only generators that started."""
    try:
        generator.__anext__().__await__().send(None)
    except StopIteration:
        return


async def _close_with_loop(clients: _Clients) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for client in (clients.platform, *clients.public.values()):
            await client.aclose()


@cache
def _tls(ca_file: str = "") -> ssl.SSLContext:
    """Reading the certificates takes 20 ms and more, so loops share them."""
    context = httpx2.create_ssl_context(trust_env=False)
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


_HEADERS = {"User-Agent": "aiassist", "Accept-Encoding": "identity"}


def _build_clients() -> _Clients:
    limits = httpx2.Limits(
        max_connections=2000, max_keepalive_connections=200, keepalive_expiry=30.0
    )
    return _Clients(
        httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                verify=_tls(), trust_env=False, limits=limits
            ),
            headers=_HEADERS,
            follow_redirects=False,
            trust_env=False,
        )
    )


def _build_public(trust: Trust) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=_PublicTransport(_tls(trust.ca_file), trust),
        headers=_HEADERS,
        follow_redirects=False,
        trust_env=False,
    )
