"""What our ASGI applications share: the types, and a way to end an answer unclean.

A stream that has failed must not look like a whole one: some clients read no error
event, and take what they have for the answer. So its last chunk is never sent, and the
connection closes. ASGI has no word for this, but servers close the connection of an
application that returns before its answer is complete. uvicorn calls that an error of
the application in its log; here it is meant, so the line is left out.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]  # (scope, receive, send)


class _Ending:
    """How one answer ends; all tasks of its request share it."""

    is_unclean = False


_ending: ContextVar[_Ending | None] = ContextVar("ending", default=None)


def end_unclean() -> None:
    """Have this request's answer end with what has been sent so far.

    Who sends it without Django leaves out the last message, and returns.
    """
    ending = _ending.get()
    if ending is None:
        ending = _Ending()
        _ending.set(ending)
    ending.is_unclean = True


class UncleanEnds:
    """Wraps Django, which always sends the last message."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ending = _Ending()
        _ending.set(ending)

        async def send_what_is_meant(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            if not (ending.is_unclean and is_body and not message.get("more_body")):
                await send(message)

        await self._app(scope, receive, send_what_is_meant)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    ending = _ending.get()
    is_meant = ending is not None and ending.is_unclean
    return not (is_meant and "without completing response" in str(record.msg))


logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)
