"""One turn: a prompt goes out, an answer streams back, its cost is settled.

Whatever happens to the reader (it hangs up before the first byte, in the middle, or
never comes), the same code ends the upstream call, frees the slot and settles.

    lean door ── open_admitted() ──► Turn: run(show)        in the request's own task
    view ── open_turn() ──► ReadTurn ──► reader: batches()  in a task of its own
                  both: routing → provider, then settle; `result` tells how it ended

Where the door is told that its reader has gone (`assistant.lean`), the request's task
reads the provider itself and hands each piece on: no buffer, no second task, and what
is not taken is not read. Django cancels a view at any await, so there a task of its own
reads, and reader and task meet in a small buffer.

No turn has timers: a round per event loop looks after all of them, twice a second.
"""

import asyncio
import logging
import math
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import Context
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DatabaseError

from accounts.principals import is_still_valid
from aiassist.lib import clock
from aiassist.lib.db import in_background
from aiassist.lib.errors import AppError, ProviderError, ServiceUnavailable
from aiassist.lib.ids import new_id
from assistant.catalogue import Offer
from assistant.conversations import keep_answer
from assistant.errors import AccessEnded, ProviderMalformed, ProviderTimeout
from assistant.gateway.background import spawn
from assistant.gateway.outcome import Heard, Result
from assistant.gateway.plan import Plan, Ready
from assistant.gateway.routing import Route, first_to_answer
from assistant.gateway.unfencing import Unfencer
from assistant.models import Message
from assistant.providers import PROVIDERS
from assistant.providers.base import Delta
from billing.metering.admission import Admission
from billing.metering.ledger import Settlement, Status, arelease, asettle

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
RECHECK_SECONDS = 3.0  # a stream of a revoked key is cut within 5 s
READER_SECONDS = 15.0  # a turn that nobody reads by then is ended
ROUND_SECONDS = 0.5  # between two looks at a turn
BUFFERED_DELTAS = 256
_CLOSING_SECONDS = 10.0

Show = Callable[[Delta], Awaitable[None]]
Opening = Callable[[], Awaitable[None]] | None


class Turn:
    """An answer to be had. `run` it once; then see `result`."""

    def __init__(self, ready: Ready, admission: Admission) -> None:
        self.ready = ready
        self.admission = admission
        self.id = new_id("msg")
        self.route = Route(ready.plan.offers[0])
        self.result: Result | None = None
        # Called with each look; True when nothing was shown for HEARTBEAT_SECONDS.
        self.on_look: Callable[[bool], None] | None = None
        self._heard = Heard()
        self._ended_by: AppError | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_started = self._is_finishing = False
        self._is_unwanted = self._is_late = self._was_shown = False
        self._began_at = self._silent_since = asyncio.get_running_loop().time()
        self._check_at = self._began_at + RECHECK_SECONDS
        self._ends_at = self._began_at + settings.PROVIDER_TOTAL_TIMEOUT_SECONDS
        self._round = _round()

    @property
    def plan(self) -> Plan:
        return self.ready.plan

    async def run(self, show: Show, opening: Opening = None) -> None:
        """Run to the end in the caller's own task; `show` is given each piece.

        `opening` is shown before anybody is asked.
        When the caller is cancelled, the turn ends and is settled: that is no reason
        to raise.
        """
        task = self._task = asyncio.current_task()
        await self._run(show, opening)
        if task is not None and task.cancelling():
            task.uncancel()

    def limit_headers(self) -> dict[str, str]:
        """Return the rate limit headers, this call included if it was charged."""
        limits = self.admission.limits
        free = self.result is not None and not self.result.charged
        return (limits.after_return() if free else limits).headers()

    def leave(self) -> None:
        """The reader has gone: end the turn, from its own loop."""
        self._cancel()

    def end(self, error: AppError) -> None:
        """End the turn with this error as its last word."""
        if self._ended_by is None and not self._is_finishing:
            self._ended_by = error
            self._cancel()

    def look(self, now: float) -> None:
        """Look after it: has it time left, and may it go on (T10)?"""
        if now >= self._ends_at:
            self._is_late = True
            self._cancel()
        elif now >= self._check_at:
            self._check_at = math.inf
            spawn(self._check_access())
        if self._was_shown:
            self._was_shown, self._silent_since = False, now
        is_silent = now - self._silent_since >= HEARTBEAT_SECONDS
        if is_silent:
            self._silent_since = now
        if self.on_look is not None:
            self.on_look(is_silent)

    def _cancel(self) -> None:
        # A task cancelled before its first step would never settle; one that
        # settles already must not be disturbed.
        if self._is_started and not self._is_finishing and self._task is not None:
            self._task.cancel()
        self._is_unwanted = True

    async def _run(self, show: Show, opening: Opening = None) -> None:
        self._is_started = True
        self._round.join(self)
        error: AppError | None = ServiceUnavailable()  # unless we learn better
        cancelled = False
        try:
            if self._is_unwanted:
                raise asyncio.CancelledError
            if opening is not None:
                await opening()
            await first_to_answer(
                self.plan.offers, partial(self._ask, show), self.route
            )
            error = None
        except ProviderError as failure:
            error = failure
        except asyncio.CancelledError:
            # Swallowed on purpose: settling is what remains to be done.
            if self._is_late:
                error = ProviderTimeout(phase="total")
            else:
                error, cancelled = self._ended_by, True
        finally:
            self._is_finishing = True
            self._round.leave(self)
            try:
                if self.ready.conversation is None:
                    # The ledger goes on to its end by itself.
                    await self._finish(error, cancelled)
                else:
                    await asyncio.shield(spawn(self._finish(error, cancelled)))
            except DatabaseError:
                # The sweeper settles the hold once the database is back.
                self.result = self._outcome(ServiceUnavailable(), False, charged=False)
                raise

    async def _ask(self, show: Show, offer: Offer) -> None:
        """Ask one provider once; hand on what it says. Raises ProviderError."""
        request = self.ready.request_for(offer)
        # What is shown may differ from what is counted: fences around a completion.
        # Models that are shown a cursor answer with nothing but code.
        is_fenced = self.plan.ask.feature == "inline_completion" and not request.raw
        bare = Unfencer() if is_fenced else None
        heard, route = Heard(), self.route
        self._heard = heard  # what a try before this one heard was no token
        async with aclosing(PROVIDERS[offer.provider].stream(request)) as deltas:
            async for delta in deltas:
                if says := delta.says:
                    route.speaks()
                heard.note(delta)
                if bare:
                    delta = replace(delta, text=bare.feed(delta.text))
                if says or delta.extra or delta.native:
                    await show(delta)
                    self._was_shown = True
        if not heard.finish_reason:
            raise ProviderMalformed(provider=offer.provider)
        if bare and (rest := bare.end()):
            await show(Delta(text=rest))

    async def _check_access(self) -> None:
        """End the turn when its credential has ended; else look again later."""
        try:
            valid = await in_background(is_still_valid, self.plan.ask.principal)
        except DatabaseError:
            valid = True  # a database that is away says nothing about a credential
        if not valid:
            self.end(AccessEnded())
        self._check_at = asyncio.get_running_loop().time() + RECHECK_SECONDS

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
        if told is not None and told.tokens_out is not None and complete:
            return told.tokens_in, told.tokens_out, told.tokens_cached, False
        counted_out = heard.n_tokens()
        if told is not None:
            tokens_out = max(told.tokens_out or 0, counted_out)
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


class ReadTurn(Turn):
    """A turn in a task of its own. Read it once, by `batches` or `collect`."""

    def __init__(self, ready: Ready, admission: Admission) -> None:
        super().__init__(ready, admission)
        self._buffer: deque[Delta] = deque()
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self._is_read = self._is_silent = False
        self._loop = asyncio.get_running_loop()
        self.on_look = self._looked
        self._reading = self._task = spawn(self._run(self._show))
        self._reading.add_done_callback(self._done)

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
                elif self._reading.done():
                    return
                else:
                    self._filled.clear()
                    await self._filled.wait()
                    if self._is_silent:
                        self._is_silent = False
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
                {waiting, self._reading},
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

    async def close(self) -> None:
        """End the turn if it still runs, and wait until it is settled."""
        if not self._reading.done():
            self._cancel()
            await asyncio.wait({self._reading}, timeout=_CLOSING_SECONDS)

    def close_soon(self) -> None:
        """Do as `close`, from any thread, without waiting."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    async def _show(self, delta: Delta) -> None:
        """Hand a piece to the reader; wait while too much is unread."""
        while len(self._buffer) >= BUFFERED_DELTAS:
            self._emptied.clear()
            await self._emptied.wait()
        self._buffer.append(delta)
        self._filled.set()

    def _looked(self, is_silent: bool) -> None:
        if not self._is_read and self._loop.time() > self._began_at + READER_SECONDS:
            self._cancel()
        elif is_silent and not self._buffer:
            self._is_silent = True
            self._filled.set()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._filled.set()
        _log_failure(task)


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


class _Round:
    """The running turns of one event loop, looked after together."""

    def __init__(self) -> None:
        # It never holds its loop, or neither would ever be let go.
        self.turns: set[Turn] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, turn: Turn) -> None:
        self.turns.add(turn)
        if self._timer is None:
            self._wait()

    def leave(self, turn: Turn) -> None:
        self.turns.discard(turn)

    def _wait(self) -> None:
        seconds = min(ROUND_SECONDS, HEARTBEAT_SECONDS / 2, RECHECK_SECONDS / 2)
        # Of no request: a context of its own.
        self._timer = asyncio.get_running_loop().call_later(
            seconds, self._look, context=Context()
        )

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for turn in list(self.turns):
            turn.look(now)
        if self.turns:
            self._wait()


_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Round] = WeakKeyDictionary()


def _round() -> _Round:
    loop = asyncio.get_running_loop()
    found = _rounds.get(loop)
    if found is None:
        found = _rounds[loop] = _Round()
    return found


def end_all() -> None:
    """End every running turn with an error event: this process is shutting down."""
    for turns in list(_rounds.values()):
        for turn in list(turns.turns):
            turn.end(
                ServiceUnavailable("The server is restarting. Ask again in a moment.")
            )
