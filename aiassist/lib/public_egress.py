"""URLs that a user gave: they reach public addresses only (W1).

The name is resolved, every address is checked, and the connection goes to a checked
address, so that nothing can change between check and use (DNS rebinding). TLS still
verifies the name. No credential of ours can ride along, no redirect is followed.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httpcore2
import httpx2

from aiassist.lib.addresses import all_public, is_plain_host, is_public
from aiassist.lib.egress import (
    AddressRefused,
    Answer,
    AnswerMalformed,
    Caps,
    EgressTimeout,
    Ends,
    Unreachable,
)

MAX_ADDRESSES = 4  # of a name, that are tried
_PORTS = {"http": 80, "https": 443}


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
    client = _client(trust)
    request = client.build_request(
        method, checked_url(url, trust), content=content, headers=dict(headers or {})
    )
    async with _open(client, request, caps or Caps()) as answer:
        yield answer


def checked_url(url: str, trust: Trust = NOBODY) -> str:
    """Return the URL if it is harmless by itself; raises AddressRefused.

    An address in it is judged here, those behind a name when the connection is made.
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
    if trust.holds(host, port or _PORTS[parts.scheme]):
        return url
    if not is_plain_host(host) or _is_inner_address(host):
        raise AddressRefused
    if port is not None and port not in (80, 443) and port < 1024:
        raise AddressRefused
    return url


def _is_inner_address(host: str) -> bool:
    try:
        return not is_public(ip_address(host))
    except ValueError:  # a name
        return False


@asynccontextmanager
async def _open(
    client: httpx2.AsyncClient, request: httpx2.Request, caps: Caps
) -> AsyncIterator[Answer]:
    ends = Ends(caps)
    request.extensions["timeout"] = httpx2.Timeout(
        None, connect=caps.connect_seconds, pool=caps.connect_seconds
    ).as_dict()
    with _translated():
        async with _deadline(min(ends.first_byte_at, ends.total_at), "first_byte"):
            response = await client.send(request, stream=True)
    try:
        yield Answer(response.status_code, response.headers, _Body(response), ends)
    finally:
        await response.aclose()


class _Body:
    """The body of a response that is still arriving."""

    def __init__(self, response: httpx2.Response) -> None:
        self._stream = response.aiter_raw()

    async def piece(self, at: float, phase: str) -> bytes | None:
        with _translated():
            async with _deadline(at, phase):
                return await anext(self._stream, None)


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


Clients = dict[Trust, httpx2.AsyncClient]


@dataclass(slots=True)
class _Loop:
    """One event loop's clients."""

    clients: Clients
    closer: AsyncGenerator[None, None]


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def _client(trust: Trust) -> httpx2.AsyncClient:
    """Return the running loop's client; it closes when the loop ends."""
    loop = asyncio.get_running_loop()
    found = _by_loop.get(loop)
    if found is None:
        clients: Clients = {}
        found = _by_loop[loop] = _Loop(clients, _close_with_loop(clients))
        _start(found.closer)
    if trust not in found.clients:
        found.clients[trust] = httpx2.AsyncClient(
            transport=_PublicTransport(_tls(trust.ca_file), trust),
            headers={"User-Agent": "aiassist", "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
        )
    return found.clients[trust]


def _start(generator: AsyncGenerator[None, None]) -> None:
    """Run up to the first yield: the loop closes only generators that started."""
    try:
        generator.__anext__().__await__().send(None)
    except StopIteration:
        return


async def _close_with_loop(clients: Clients) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for client in clients.values():
            await client.aclose()


@cache
def _tls(ca_file: str) -> ssl.SSLContext:
    """Reading the certificates takes 20 ms and more, so loops share them."""
    context = httpx2.create_ssl_context(trust_env=False)
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
