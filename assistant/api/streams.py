"""A turn as the body of an answer of Django's."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from django.http import StreamingHttpResponse

from assistant.gateway.turn import ReadTurn

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
