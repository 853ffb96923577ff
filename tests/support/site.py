"""The site on a socket of this process, in a thread of its own."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn

from tests.support.ports import free_port

# Who still reads or is answered is given so long.
_GRACE_SECONDS = 3.0


class Site(uvicorn.Server):
    """Starts and ends within moments.

    uvicorn looks ten times a second whether it should end, and then as often whether
    everybody has left: a quarter of a second for each test.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host="127.0.0.1",
                port=free_port(),
                lifespan="off",
                log_config=None,
                ws="none",
            )
        )
        self.url = f"http://127.0.0.1:{self.config.port}"
        self._thread = threading.Thread(target=self.run, name="site", daemon=True)
        self._is_up = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10), "the site did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._is_up.set()
        await self._end.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        for server in self.servers:
            server.close()
        open_ones, tasks = self.server_state.connections, self.server_state.tasks
        for connection in list(open_ones):
            connection.shutdown()
        until = self._loop.time() + _GRACE_SECONDS
        while (open_ones or tasks) and self._loop.time() < until:
            await asyncio.sleep(0.005)
        # What is left is cancelled, and waited for, as the loop ends.
