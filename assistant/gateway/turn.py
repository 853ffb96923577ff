"""One turn: a prompt goes out, an answer streams back, its cost is settled.

The provider is read by a task of its own, so that whatever happens to the reader (it
hangs up before the first byte, in the middle, or never comes) the same code ends the
upstream call, frees the slot and settles. Reader and task meet in a small buffer: a
slow reader slows the provider down.

    view ── open_turn() ──► Turn ──► reader: batches(), result
                             └─ task: routing → provider
                             └─ watch: is the credential still valid?
"""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import DatabaseError

from accounts.principals import is_still_valid
from aiassist.lib import clock
from aiassist.lib.db import in_background
from aiassist.lib.errors import AppError, ProviderError, ServiceUnavailable
from aiassist.lib.ids import new_id
from aiassist.lib.tokens import count_tokens
from assistant.conversations import keep_answer
from assistant.errors import AccessEnded, ProviderTimeout
from assistant.gateway.background import spawn
from assistant.gateway.plan import Plan, Ready
from assistant.gateway.routing import Route, answers
from assistant.gateway.unfencing import Unfencer
from assistant.models import Message
from assistant.providers.base import Delta, Usage
from assistant.providers.openai import whole_text, wire_text
from billing.admission import Admission
from billing.ledger import Settlement, Status, arelease, asettle

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
RECHECK_SECONDS = 3.0  # a stream of a revoked key is cut within 5 s
READER_SECONDS = 15.0  # a turn that nobody reads by then is ended
BUFFERED_DELTAS = 256
_CLOSING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a turn ended, and what it cost."""

    message_id: str
    finish_reason: str  # stop, length, tool_calls, content_filter; error, cancelled
    provider: str
    model: str  # the offer's id
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost_usd_micros: int = 0
    estimated: bool = False
    charged: bool = True
    failed: tuple[str, ...] = ()  # models that were given up on before
    upstream: str = ""  # which of the model's places answered
    own_key: bool = False  # the user's own key paid
    error: AppError | None = None

    @property
    def is_unheard(self) -> bool:
        """Whether the reader left before the end: nobody is told anything more."""
        return self.finish_reason == "cancelled" and self.error is None

    def usage(self) -> dict[str, object]:
        """Return the body of the `usage` event."""
        body: dict[str, object] = {
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost_usd_micros": self.cost_usd_micros,
            "estimated": self.estimated,
            "provider": self.provider,
            "model": self.model,
        }
        if self.failed:
            body["fallback_from"] = list(self.failed)
        if self.upstream:
            body["upstream"] = self.upstream
        if self.own_key:
            body["own_key"] = True
        return body


@dataclass(slots=True)
class _Heard:
    """What the provider has said so far."""

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)  # decoded only if it must be
    finish_reason: str = ""
    usage: Usage | None = None

    def note(self, delta: Delta) -> None:
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.thoughts.append(delta.reasoning)
        if delta.wire:
            self.wire.append(delta.wire)
        if delta.whole is not None:
            self.text.append(whole_text(delta.whole))
        for call in delta.tool_calls:
            self.tools.append(str(call.get("function", "")))
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.thoughts or self.tools or self.wire)

    def n_tokens(self) -> int:
        """Count what was said, as well as we can."""
        said = [*self.text, *self.thoughts, *self.tools, *map(wire_text, self.wire)]
        return count_tokens("".join(said))


class Turn:
    """A running answer. Read it once, by `batches` or `collect`; then see `result`."""

    def __init__(self, ready: Ready, admission: Admission) -> None:
        self.ready = ready
        self.admission = admission
        self.id = new_id("msg")
        self.route = Route(ready.plan.offers[0])
        self.result: Result | None = None
        self._heard = _Heard()
        self._buffer: deque[Delta] = deque()
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self._ended_by: AppError | None = None
        self._is_read = self._is_started = False
        self._is_unwanted = self._is_finishing = False
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._task = spawn(self._run())
        self._task.add_done_callback(_log_failure)
        self._watch = self._loop.call_later(RECHECK_SECONDS, self._recheck)
        self._beat = self._loop.call_later(HEARTBEAT_SECONDS, self._heartbeat)
        self._is_silent = False  # nothing was shown since the last heartbeat
        _running.add(self)

    @property
    def plan(self) -> Plan:
        return self.ready.plan

    async def batches(self) -> AsyncGenerator[list[Delta] | None, None]:
        """Yield what has come, as it comes; None when nothing came for a while.

        When it ends, `result` is set. Closing it early cancels the turn.
        """
        self._is_read = True
        try:
            while True:
                if self._buffer:
                    batch = list(self._buffer)
                    self._buffer.clear()
                    self._emptied.set()
                    yield batch
                elif self._task.done():
                    return
                else:
                    self._filled.clear()
                    await self._filled.wait()
                    if self._is_silent and not self._buffer and not self._task.done():
                        yield None
        finally:
            await self.close()

    async def collect(self) -> list[Delta]:
        """Return the whole answer. Raises the error that ended it."""
        deltas: list[Delta] = []
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                deltas += batch or []
        if self.result is not None and self.result.error is not None:
            raise self.result.error
        return deltas

    async def head_start(self, seconds: float) -> None:
        """Wait for the first token. Raises what failed before it."""
        waiting = asyncio.ensure_future(self._filled.wait())
        try:
            await asyncio.wait(
                {waiting, self._task},
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            waiting.cancel()
        if self._buffer or self.result is None or self.result.error is None:
            return
        error = self.result.error
        error.details.setdefault("headers", self.limit_headers())
        raise error

    def limit_headers(self) -> dict[str, str]:
        """Return the rate limit headers, this call included if it was charged."""
        limits = self.admission.limits
        free = self.result is not None and not self.result.charged
        return (limits.after_return() if free else limits).headers()

    async def close(self) -> None:
        """End the turn if it still runs, and wait until it is settled."""
        if not self._task.done():
            self._cancel()
            await asyncio.wait({self._task}, timeout=_CLOSING_SECONDS)

    def close_soon(self) -> None:
        """Do as `close`, from any thread, without waiting."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def leave(self) -> None:
        """The reader has gone: end the turn, from its own loop."""
        self._cancel()

    def end(self, error: AppError) -> None:
        """End the turn with this error as its last word."""
        if self._ended_by is None and not self._task.done():
            self._ended_by = error
            self._cancel()

    def _cancel(self) -> None:
        # A task cancelled before its first step would never settle; one that
        # settles already must not be disturbed.
        if self._is_started and not self._is_finishing:
            self._task.cancel()
        self._is_unwanted = True

    async def _run(self) -> None:
        self._is_started = True
        error: AppError | None = ServiceUnavailable()  # unless we learn better
        cancelled = False
        try:
            if self._is_unwanted:
                raise asyncio.CancelledError
            async with asyncio.timeout(settings.PROVIDER_TOTAL_TIMEOUT_SECONDS):
                await self._relay()
            error = None
        except ProviderError as failure:
            error = failure
        except TimeoutError:
            error = ProviderTimeout(phase="total")
        except asyncio.CancelledError:
            # Swallowed on purpose: settling is what remains to be done.
            error, cancelled = self._ended_by, True
        finally:
            self._is_finishing = True
            self._watch.cancel()
            self._beat.cancel()
            _running.discard(self)
            finishing = asyncio.ensure_future(self._finish(error, cancelled))
            try:
                await asyncio.shield(finishing)
            except DatabaseError:
                # The sweeper settles the hold once the database is back.
                self.result = self._outcome(ServiceUnavailable(), False, charged=False)
                raise
            finally:
                self._filled.set()

    async def _relay(self) -> None:
        stream = answers(
            offers=self.plan.offers, build=self.ready.request_for, route=self.route
        )
        # What is shown may differ from what is counted: fences around a completion.
        bare = Unfencer() if self.plan.ask.feature == "inline_completion" else None
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                self._heard.note(delta)
                if bare and self.ready.raw_for(self.route.offer):
                    bare = None  # shown a cursor, models answer with nothing but code
                if bare:
                    delta = replace(delta, text=bare.feed(delta.text))
                await self._show(delta)
        if bare:
            await self._show(Delta(text=bare.end()))

    async def _show(self, delta: Delta) -> None:
        """Hand a piece to the reader; wait while too much is unread."""
        if not (delta.says or delta.extra or delta.native):
            return
        while len(self._buffer) >= BUFFERED_DELTAS:
            self._emptied.clear()
            await self._emptied.wait()
        self._buffer.append(delta)
        self._is_silent = False
        self._filled.set()

    def _heartbeat(self) -> None:
        """Wake the reader of a stream that has been silent for a while."""
        if self._is_silent:
            self._filled.set()
        self._is_silent = True
        self._beat = self._loop.call_later(HEARTBEAT_SECONDS, self._heartbeat)

    def _recheck(self) -> None:
        """Look after the turn: is it read, and may it go on (T10)?"""
        waited = self._loop.time() - self._began_at
        if not self._is_read and waited > READER_SECONDS:
            self._cancel()
        else:
            spawn(self._check_access())

    async def _check_access(self) -> None:
        """End the turn when its credential has ended; else look again later."""
        try:
            valid = await in_background(is_still_valid, self.plan.ask.principal)
        except DatabaseError:
            valid = True  # a database that is away says nothing about a credential
        if not valid:
            self.end(AccessEnded())
        elif not self._task.done():
            self._watch = self._loop.call_later(RECHECK_SECONDS, self._recheck)

    async def _finish(self, error: AppError | None, cancelled: bool) -> None:
        """Settle, keep the answer, set the result."""
        heard, offer = self._heard, self.route.offer
        # A failure before the first token costs nothing. Hanging up is no failure:
        # once the provider has the prompt, its tokens are spent.
        free = heard.is_empty and (not cancelled or not self.route.was_called)
        if free and (error is not None or cancelled):
            await arelease(self.admission)
            self.result = self._outcome(error, cancelled, charged=False)
            return
        result = self._outcome(error, cancelled, charged=True)
        status: Status = "cancelled" if cancelled else ("error" if error else "ok")
        await asettle(
            self.admission,
            Settlement(
                provider=result.provider,
                model=offer.name,
                tokens_in=result.tokens_in,
                tokens_out=result.tokens_out,
                cost_usd_micros=result.cost_usd_micros,
                estimated=result.estimated,
                status=status,
                latency_ms=self._elapsed_ms(),
                first_token_ms=self.route.first_token_ms,
                workspace_id=self.plan.workspace.pk if self.plan.workspace else "",
                upstream=offer.lane,
                own_key=offer.own_key,
                fallback=self.route.fallback,
            ),
        )
        if self.ready.conversation is not None:
            await in_background(keep_answer, self._message(result))
        self.result = result

    def _elapsed_ms(self) -> int:
        """Return the milliseconds since the call was admitted."""
        spent = clock.now() - self.admission.started_at
        return round(spent.total_seconds() * 1000)

    def _outcome(
        self, error: AppError | None, cancelled: bool, *, charged: bool
    ) -> Result:
        heard, offer = self._heard, self.route.offer
        finish_reason = heard.finish_reason
        if cancelled or error is not None:
            finish_reason = "cancelled" if cancelled else "error"
        tokens_in, tokens_out, cached, estimated = (
            self._tokens(complete=error is None and not cancelled)
            if charged
            else (0, 0, 0, False)
        )
        return Result(
            message_id=self.id,
            finish_reason=finish_reason,
            provider=offer.provider,
            model=offer.id,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            tokens_cached=cached,
            cost_usd_micros=offer.cost_usd_micros(tokens_in, tokens_out),
            estimated=estimated,
            charged=charged,
            failed=tuple(self.route.failed),
            upstream=offer.lane,
            own_key=offer.own_key,
            error=error,
        )

    def _tokens(self, *, complete: bool) -> tuple[int, int, int, bool]:
        """Return tokens in, out, cached, and whether we had to estimate.

        A stream that broke off may have told of its input, yet not of all its output.
        """
        heard, told = self._heard, self._heard.usage
        if told is not None and complete:
            return told.tokens_in, told.tokens_out, told.tokens_cached, False
        counted_out = heard.n_tokens()
        if told is not None:
            tokens_out = max(told.tokens_out, counted_out)
            return told.tokens_in, tokens_out, told.tokens_cached, True
        return self.ready.assembled.n_tokens, counted_out, 0, True

    def _message(self, result: Result) -> Message:
        conversation = self.ready.conversation
        assert conversation is not None
        return Message(
            id=self.id,
            conversation_id=conversation.pk,
            role="assistant",
            content="".join(self._heard.text).replace("\x00", ""),
            citations=[p.citation() for p in self.ready.assembled.passages],
            provider=result.provider,
            model=result.model,
            tokens_in=result.tokens_in,
            tokens_out=result.tokens_out,
            cost_usd_micros=result.cost_usd_micros,
            finish_reason=result.finish_reason,
        )


def _log_failure(task: "asyncio.Task[None]") -> None:
    """Log what nobody foresaw: its kind and place, for its text may hold a prompt."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    logger.error(
        "a turn failed unexpectedly",
        extra={
            "error_type": type(error).__name__,
            "frames": traceback.format_tb(error.__traceback__)[-4:],
        },
    )


_running: set[Turn] = set()


def end_all() -> None:
    """End every running turn with an error event: this process is shutting down."""
    for turn in list(_running):
        turn.end(ServiceUnavailable("The server is restarting. Ask again in a moment."))
