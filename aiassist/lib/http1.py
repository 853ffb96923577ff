"""HTTP/1.1 to the operator's own services, at a tenth of a general client's cost.

One call of a general client takes half a millisecond and more of our own time, half of
what a whole metered call may cost. A provider's API needs little of what it can do, so
here is that little: one protocol object per connection, llhttp (the parser of Node and
of uvicorn) reads, and the pieces of a body are handed on as they came off the socket.

    connection = await pool().open(target, seconds)   kept from an earlier call, or new
    connection.ask(head + body)
    await connection.head(at, phase)                   status and headers are there
    piece = await connection.piece(at, phase)          None: the body is whole
    connection.done()                                  kept for the next call, or closed

Bounded, whatever the other side sends: a head of 64 KB, as much framing between two
pieces of a body, 64 KB read ahead of whoever reads, then the socket is left alone.
Who may be called, and for how long, is `aiassist.lib.egress`'s business.
Source: https://www.rfc-editor.org/rfc/rfc9112
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import monotonic
from typing import cast
from weakref import WeakKeyDictionary

import httptools

MAX_HEAD_BYTES = 65_536
MAX_AHEAD_BYTES = 65_536
# The kernel's part: left alone, it would take tens of megabytes for a slow reader.
RECEIVE_BUFFER_BYTES = 262_144
MAX_CONNECTIONS = 4000  # of one event loop
MAX_IDLE = 1000
MAX_ADDRESSES = 4  # of a name, that are tried
IDLE_SECONDS = 30.0  # servers close theirs after 60 and more
LINGER_SECONDS = 1.0  # what ends a body may come so much later than its last word


class Http1Error(Exception):
    """A call failed. Nothing of what was sent or answered is in it."""


class Lost(Http1Error):
    """The connection could not be made, or ended before an answer began."""


class Malformed(Http1Error):
    """The answer is no HTTP, or ended in its middle."""


class Late(Http1Error):
    """Nothing came in time; `phase` is what was waited for."""

    def __init__(self, phase: str) -> None:
        super().__init__(phase)
        self.phase = phase


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes."""

    host: str  # a name or an address, without brackets
    port: int
    tls: ssl.SSLContext | None = None


class Connection(asyncio.Protocol):
    """One connection; one call at a time. Made by `Pool.open`."""

    def __init__(self, pool: "Pool", target: Target) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.idle_since = 0.0
        self._pool, self._target = pool, target
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._new: list[bytes] = []  # of the piece that is being read
        self._n_ahead = self._n_framing = 0
        self._is_asked = self._has_head = self._is_whole = False
        self._is_kept = self._ends_with_connection = self._is_paused = False
        self._is_lingering = False
        self._error: Http1Error | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._late_at, self._phase = 0.0, ""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether a call can still go this way."""
        transport = self._transport
        return (
            self._error is None and transport is not None and not transport.is_closing()
        )

    # What a call does.

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._is_asked = True
        if self._transport is not None:
            self._transport.write(request)

    async def head(self, at: float, phase: str) -> None:
        """Wait until `status` and `headers` are there, at most until `at`."""
        while not self._has_head:
            await self._wait(at, phase)

    async def piece(self, at: float, phase: str) -> bytes | None:
        """Return the next piece of the body; None when it is whole.

        Raises Late when nothing came until `at` (by the monotonic clock).
        """
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self._n_ahead -= len(piece)
                if self._is_paused and self._n_ahead < MAX_AHEAD_BYTES // 2:
                    self._is_paused = False
                    cast(asyncio.Transport, self._transport).resume_reading()
                return piece
            if self._is_whole:
                return None
            await self._wait(at, phase)

    def done(self, *, lingers: bool = False) -> None:
        """End the call: keep the connection if nothing is left on it, else close.

        With `lingers` the body's last word was read, and its end may still come: many
        servers send it in a packet of its own.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_lingering = lingers and not self._is_whole and self.is_usable
        if self._is_lingering:
            self._timer = self._loop.call_later(LINGER_SECONDS, self.close)
        elif (
            self._is_whole
            and self._is_kept
            and self.is_usable
            and not self._is_paused
            and not cast(asyncio.Transport, self._transport).get_write_buffer_size()
            and self._pool.keeps(self, self._target)
        ):
            self._is_asked = self._has_head = self._is_whole = self._is_kept = False
            self._ends_with_connection = False
            self._pieces.clear()
            self._n_ahead = self._n_framing = 0
            self.status, self.headers = 0, {}
        else:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Waiting: one timer per call, moved rarely. Most waits are shorter than a tick.

    async def _wait(self, at: float, phase: str) -> None:
        if self._error is not None:
            raise self._error
        now = monotonic()
        if at <= now:
            self._fail(Late(phase))
            raise Late(phase)
        self._late_at, self._phase = at, phase
        if self._timer is None or self._timer_at > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(at - now, self._check)
            self._timer_at = at
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not self._pieces:
            raise self._error

    def _check(self) -> None:
        """Called when somebody may have waited too long."""
        self._timer = None
        if self._waiter is None:
            return
        left = self._late_at - monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
            self._timer_at = self._late_at
        else:
            self._fail(Late(self._phase))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Http1Error) -> None:
        if self._error is None:
            self._error = error
        self.close()
        self._wake()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
        )

    def data_received(self, data: bytes) -> None:
        if not self._is_asked or self._is_whole:
            self._fail(Malformed())  # it speaks unasked: never use it again
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Malformed())
            return
        if new := self._new:
            piece = new[0] if len(new) == 1 else b"".join(new)
            self._new = []
            self._pieces.append(piece)
            self._n_framing = 0
            self._n_ahead += len(piece)
            if self._n_ahead > MAX_AHEAD_BYTES and not self._is_paused:
                self._is_paused = True
                cast(asyncio.Transport, self._transport).pause_reading()
        elif not self._is_whole:
            self._n_framing += len(data)
            if self._n_framing > MAX_HEAD_BYTES:
                self._fail(Malformed())
        if self._is_whole and self._is_lingering:
            self.done()
        self._wake()

    def eof_received(self) -> bool:
        return False  # let the transport close

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._pool.forget(self, self._target)
        if not self._is_asked or self._is_whole or self._error is not None:
            return
        if self._has_head and self._ends_with_connection and error is None:
            self._is_whole = True
        else:
            self._error = Malformed() if self._has_head else Lost()
        self._wake()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError  # a second answer to one question
        self._ends_with_connection = True
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # a trailer
        key = name.decode("latin-1").lower()
        if key in ("content-length", "transfer-encoding"):
            self._ends_with_connection = False
            if key[0] == "t" and value.strip().lower() != b"chunked":
                raise ValueError
        self.headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status, self._has_head = status, True

    def on_body(self, body: bytes) -> None:
        self._new.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:  # else it was 100 Continue or the like
            self._is_whole = True
            self._is_kept = self._parser.should_keep_alive()


class Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        # It never holds its loop, or neither would ever be let go.
        self._idle: dict[Target, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._n_idle = self._n_opening = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._keeper: AsyncGenerator[None, None] | None = None

    async def open(self, target: Target, seconds: float) -> Connection:
        """Return a connection that nobody uses. Raises Lost, Late."""
        idle = self._idle.get(target)
        while idle:
            self._n_idle -= 1
            connection = idle.pop()
            if connection.is_usable:
                return connection
        if len(self._all) + self._n_opening >= MAX_CONNECTIONS:
            raise Late("connect")
        if self._keeper is None:
            self._keeper = self._kept()
            await anext(self._keeper)
        self._n_opening += 1
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect(target, seconds)
        except TimeoutError:
            raise Late("connect") from None
        except (OSError, ValueError):  # also names without an address, TLS refused
            raise Lost from None
        finally:
            self._n_opening -= 1
        self._all.add(connection)
        return connection

    async def _connect(self, target: Target, seconds: float) -> Connection:
        """Try the addresses one after the other: one may lead nowhere (IPv6)."""
        loop, ends_at = asyncio.get_running_loop(), monotonic() + seconds
        found = await loop.getaddrinfo(
            target.host, target.port, type=socket.SOCK_STREAM
        )
        left = [str(address[0]) for *_, address in found][:MAX_ADDRESSES]
        while True:
            address = left.pop(0)
            try:
                async with asyncio.timeout((ends_at - monotonic()) / (len(left) + 1)):
                    _, made = await loop.create_connection(
                        lambda: Connection(self, target),
                        address,
                        target.port,
                        ssl=target.tls,
                        server_hostname=target.host if target.tls else None,
                    )
                    return made
            except (OSError, TimeoutError):
                if not left:
                    raise

    def keeps(self, connection: Connection, target: Target) -> bool:
        """Keep a connection for the next call; False: there are enough."""
        if self._n_idle >= MAX_IDLE:
            return False
        connection.idle_since = monotonic()
        self._idle.setdefault(target, []).append(connection)
        self._n_idle += 1
        if self._sweeper is None:
            self._sweep_in(IDLE_SECONDS)
        return True

    def forget(self, connection: Connection, target: Target) -> None:
        """A connection has ended."""
        self._all.discard(connection)
        idle = self._idle.get(target, ())
        if connection in idle:
            cast(list[Connection], idle).remove(connection)
            self._n_idle -= 1

    def _sweep(self) -> None:
        """Close what nobody has used for a while."""
        self._sweeper = None
        oldest = monotonic() - IDLE_SECONDS
        for target, idle in list(self._idle.items()):
            stale = [c for c in idle if c.idle_since <= oldest]
            kept = [c for c in idle if c.idle_since > oldest]
            self._n_idle -= len(stale)
            if kept:
                self._idle[target] = kept
            else:
                del self._idle[target]
            for connection in stale:
                connection.close()
        if self._idle:
            self._sweep_in(IDLE_SECONDS / 2)

    def _sweep_in(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    async def _kept(self) -> AsyncGenerator[None, None]:
        """Close all when the loop ends, which ends all generators."""
        try:
            yield
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
            for connection in list(self._all):
                connection.close()
            await asyncio.sleep(0)  # the transports close in the loop's next turn


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()


def pool() -> Pool:
    """Return the running event loop's pool."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = Pool()
    return found
