"""Scripts run in Redis from an event loop: one connection, one write, no waiting.

redis-py's async client takes a connection from a pool for each command and waits for
its answer, at a tenth of a millisecond of our own time each. Here all calls of a loop
share one connection: they are written together and answered in order (Redis keeps
it), so that a thousand calls that come at once cost a few system calls.

`send` returns a future at once; whoever waits for it may be cancelled, the call goes
on, and `told` is called with its answer in any case (None: Redis has failed). A
connection that is lost has its calls sent once more on a new one, so **only scripts
that may run twice belong here**; when nothing came for `REDIS_TIMEOUT_SECONDS` all are
given up and never sent again.
Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from functools import cache
from hashlib import sha1
from typing import Any
from weakref import WeakKeyDictionary

import hiredis
import redis
from django.conf import settings
from redis.asyncio.connection import parse_url

Arg = str | int | bytes
Told = Callable[[Any], None]
Answer = Any
_GRACE_SECONDS = 0.05

_pipes: WeakKeyDictionary[asyncio.AbstractEventLoop, "Pipe"] = WeakKeyDictionary()


def pipe() -> "Pipe":
    """Return the running event loop's pipe."""
    loop = asyncio.get_running_loop()
    found = _pipes.get(loop)
    if found is None or found.url != settings.REDIS_URL:
        found = _pipes[loop] = Pipe(settings.REDIS_URL, loop)
    return found


class _Call:
    """A command on its way; `script` is None for those of the handshake."""

    __slots__ = (
        *("args", "deadline", "future", "packed", "script", "told", "was_repeated"),
    )

    def __init__(
        self,
        packed: bytes,
        future: "asyncio.Future[Answer]",
        deadline: float,
        script: str | None = None,
        args: tuple[Arg, ...] = (),
        told: Told | None = None,
    ) -> None:
        self.packed, self.future, self.deadline = packed, future, deadline
        self.script, self.args, self.told = script, args, told
        self.was_repeated = False


class _Link(asyncio.Protocol):
    """One connection. What an abandoned one still says is not listened to."""

    def __init__(self, owner: "Pipe") -> None:
        self._owner = owner
        self._reader = hiredis.Reader(
            encoding="utf-8", errors="replace", replyError=redis.ResponseError
        )

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            self._owner.answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._owner.lost(self)


class Pipe:
    """One connection of one event loop; opened when it is needed."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self._loop = loop
        self._timeout: float = settings.REDIS_TIMEOUT_SECONDS
        self._link: _Link | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: deque[_Call] = deque()  # to be written
        self._sent: deque[_Call] = deque()  # to be answered
        self._connecting: asyncio.Task[None] | None = None
        self._is_ready = self._is_flushing = self._is_late = False
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0  # when the last answer came
        self._keeper: AsyncGenerator[None, None] | None = None

    def send(
        self, script: str, *args: Arg, told: Told | None = None
    ) -> "asyncio.Future[Answer]":
        """Run a script; the future raises what redis-py's client would raise."""
        call = _Call(
            _packed("EVALSHA", _sha(script), 0, *args),
            self._loop.create_future(),
            self._loop.time() + self._timeout,
            script,
            args,
            told,
        )
        self._waiting.append(call)
        self._wake()
        return call.future

    def answered(self, link: _Link, answer: Answer) -> None:
        """Called by the connection with the answer to the oldest call."""
        self._heard_at, self._is_late = self._loop.time(), False
        if link is self._link and self._sent:
            self._answer(self._sent.popleft(), answer)

    def lost(self, link: _Link) -> None:
        """Called by the connection when it has ended."""
        if link is not self._link:
            return
        self._link, self._transport, self._is_ready = None, None, False
        lost, self._sent = self._sent, deque()
        again: deque[_Call] = deque()
        for call in lost:
            if call.was_repeated or call.script is None:
                _fail(call, redis.ConnectionError("the connection was lost"))
            else:
                call.was_repeated = True
                again.append(call)
        again.extend(self._waiting)
        self._waiting = again
        if self._waiting and not self._loop.is_closed():
            self._wake()

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._check)
        if self._is_ready:
            if not self._is_flushing:
                self._is_flushing = True
                self._loop.call_soon(self._flush)
        elif self._connecting is None:
            self._connecting = self._loop.create_task(
                self._connect(), context=Context()
            )

    def _flush(self) -> None:
        self._is_flushing = False
        if self._transport is None or not self._is_ready:
            return
        self._transport.write(b"".join([call.packed for call in self._waiting]))
        self._sent.extend(self._waiting)
        self._waiting.clear()

    def _answer(self, call: _Call, answer: Answer) -> None:
        if isinstance(answer, redis.ResponseError):
            if call.script is not None and str(answer).startswith("NOSCRIPT"):
                call.packed = _packed("EVAL", call.script, 0, *call.args)
                call.script = None
                self._waiting.append(call)
                self._wake()
            else:
                _fail(call, answer)
        else:
            _tell(call, answer)
            if not call.future.done():
                call.future.set_result(answer)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._open()
        except TimeoutError:
            self._give_up(redis.TimeoutError("timeout connecting"))
        except (OSError, redis.RedisError, ValueError) as error:
            self._give_up(redis.ConnectionError(f"{type(error).__name__}: connecting"))
        else:
            self._is_ready = True
            self._flush()
        finally:
            self._connecting = None

    async def _open(self) -> None:
        to: Any = parse_url(self.url)
        link = self._link = _Link(self)
        made: Any
        if "path" in to:
            made = await self._loop.create_unix_connection(lambda: link, to["path"])
        else:
            secure = _tls(to) if self.url.startswith("rediss:") else None
            host, port = to.get("host", "localhost"), to.get("port", 6379)
            made = await self._loop.create_connection(
                lambda: link, host, port, ssl=secure
            )
        self._transport = made[0]
        self._keeper = self._kept()
        await anext(self._keeper)
        if "password" in to:
            user = (to["username"],) if to.get("username") else ()
            await self._shake("AUTH", *user, to["password"])
        if to.get("db"):
            await self._shake("SELECT", to["db"])

    def _shake(self, *command: Arg) -> "asyncio.Future[Answer]":
        packed = _packed(*command)
        deadline = self._loop.time() + self._timeout
        call = _Call(packed, self._loop.create_future(), deadline)
        self._sent.append(call)
        assert self._transport is not None
        self._transport.write(packed)
        return call.future

    async def _kept(self) -> AsyncGenerator[None, None]:
        """Close the connection when its loop ends, which ends all generators."""
        transport = self._transport
        try:
            yield
        finally:
            if transport is not None and transport is self._transport:
                # Calls on their way would open another one in a loop that ends.
                self._give_up(redis.ConnectionError("the event loop ends"))
            elif transport is not None:
                transport.abort()

    def _check(self) -> None:
        """Give up a Redis that has not answered in time."""
        self._timer = None
        oldest = min(
            (calls[0].deadline for calls in (self._sent, self._waiting) if calls),
            default=None,
        )
        if oldest is None:
            return
        # A thousand calls at once may take longer; then answers keep coming.
        left = max(oldest, self._heard_at + self._timeout) - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left + 0.005, self._check)
        elif not self._is_late:
            # This loop itself may have been busy: let it read first.
            self._is_late = True
            self._timer = self._loop.call_later(_GRACE_SECONDS, self._check)
        else:
            self._give_up(redis.TimeoutError("timeout waiting for an answer"))

    def _give_up(self, error: Exception) -> None:
        calls = [*self._sent, *self._waiting]
        self._sent.clear()
        self._waiting.clear()
        self._is_ready = self._is_late = False
        if self._transport is not None:
            self._transport.abort()
        self._link = self._transport = None
        for call in calls:
            _fail(call, error)


def _packed(*command: Arg) -> bytes:
    parts: tuple[Any, ...] = command
    packed: bytes = hiredis.pack_command(parts)
    return packed


def _tell(call: _Call, answer: Answer) -> None:
    told, call.told = call.told, None
    if told is not None:
        told(answer)


def _fail(call: _Call, error: Exception) -> None:
    _tell(call, None)
    if not call.future.done():
        call.future.set_exception(error)


def _tls(to: dict[str, Any]) -> ssl.SSLContext:
    """Return TLS as redis-py would set it up by the address's options."""
    context = ssl.create_default_context(cafile=to.get("ssl_ca_certs"))
    if to.get("ssl_cert_reqs") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if "ssl_certfile" in to:
        context.load_cert_chain(to["ssl_certfile"], to.get("ssl_keyfile"))
    return context


@cache
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
