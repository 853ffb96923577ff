"""End open streams in good order when the server is told to stop (S7).

uvicorn lets requests finish for a while and then cancels them: a reader would see its
connection drop. Before that, each open answer is ended with an error event and
settled.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings

from aiassist.lib.asgi import App, Receive, Scope, Send
from assistant.gateway.turn import end_all

Handler = Callable[[int, FrameType | None], Any]


class EndStreamsOnStop:
    """Wraps the site; listens for the signals that the server itself obeys."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._listens = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._listens:
            self._listen()
        await self._app(scope, receive, send)

    def _listen(self) -> None:
        """Chain to the server's handlers, which stand by the first request."""
        self._listens = True
        if threading.current_thread() is not threading.main_thread():
            return  # signals are the main thread's alone
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            server = signal.getsignal(number)
            if callable(server):
                signal.signal(number, partial(_stop, loop, server))


def _stop(
    loop: asyncio.AbstractEventLoop,
    server: Handler,
    number: int,
    frame: FrameType | None,
) -> None:
    loop.call_soon_threadsafe(
        partial(loop.call_later, settings.STREAM_DRAIN_SECONDS, end_all)
    )
    server(number, frame)
