"""An answer as our own server-sent events, or at once as JSON."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from django.http import StreamingHttpResponse

from aiassist.api.problems import problem_body, public_details
from aiassist.lib.errors import AppError
from aiassist.lib.sse import HEARTBEAT, event
from assistant.gateway.turn import ReadTurn, Turn

Render = Callable[[ReadTurn], AsyncGenerator[bytes, None]]


class TurnBody:
    """A streamed body that ends its turn even if nobody ever reads it.

    An async generator that was never started runs no `finally`.
    """

    def __init__(self, turn: ReadTurn, render: Render) -> None:
        self._turn = turn
        self._render = render

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._render(self._turn)

    def close(self) -> None:
        """Called by Django when the response is done with."""
        self._turn.close_soon()


def stream_response(turn: ReadTurn, render: Render) -> StreamingHttpResponse:
    """Return the streamed answer, its headers included."""
    response = StreamingHttpResponse(
        TurnBody(turn, render),
        content_type="text/event-stream; charset=utf-8",
        headers={
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            **turn.admission.limits.headers(),
            **turn.route.headers(),
        },
    )
    # Whoever keeps answers (`Idempotency-Key`) asks for it when the stream is over.
    response.had_no_effect = lambda: (  # type: ignore[attr-defined]
        turn.result is not None and not turn.result.charged
    )
    return response


async def events(turn: ReadTurn) -> AsyncGenerator[bytes, None]:
    """Yield `context`, `delta` …, `usage`, then `done` or `error`."""
    async with aclosing(turn.batches()) as batches:
        yield event("context", context_body(turn))
        async for batch in batches:
            if batch is None:
                yield HEARTBEAT
            else:
                yield b"".join(
                    event("delta", {"text": delta.text})
                    for delta in batch
                    if delta.text
                )
        result = turn.result
        if result is None:  # cancelled while it was being settled
            return
        if result.charged:
            yield event("usage", result.usage())
        if result.error is not None:
            yield event("error", error_body(result.error, turn.plan.ask.request_id))
        else:
            yield event("done", done_body(turn))


def context_body(turn: Turn) -> dict[str, object]:
    """Return the citations that the answer may use.

    `workspace_status` tells a client why there may be none.
    """
    workspace = turn.plan.workspace
    return {
        "citations": [p.citation() for p in turn.ready.assembled.passages],
        "conversation_id": _conversation_id(turn),
        "workspace_status": workspace.status if workspace else None,
    }


def done_body(turn: Turn) -> dict[str, object]:
    assert turn.result is not None
    return {
        "conversation_id": _conversation_id(turn),
        "message_id": turn.result.message_id,
        "finish_reason": turn.result.finish_reason,
    }


def error_body(error: AppError, request_id: str) -> dict[str, object]:
    """Return the problem that a status line would have carried."""
    return problem_body(
        status=error.status,
        code=error.code,
        detail=error.sentence,
        request_id=request_id,
        extra=public_details(error),
    )


def _conversation_id(turn: Turn) -> str | None:
    conversation = turn.ready.conversation
    return conversation.pk if conversation else None
