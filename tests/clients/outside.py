"""The way out of this machine, shut: a proxy that refuses, and notes who was asked for.

Clients are given it as their proxy for everything that is not loopback.
"""

import asyncio
import threading
from typing import Self
from urllib.parse import urlsplit


class Outside:
    """Refuses everything; `asked` are the hosts that somebody wanted to reach."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def env(self) -> dict[str, str]:
        """Return what sends a process's requests here, save those to this machine."""
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        inside = "127.0.0.1,localhost,::1"
        env = {name: self.url for name in names} | {"NO_PROXY": inside}
        return env | {name.lower(): value for name, value in env.items()}

    def start(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._refuse, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self._port = server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            line = (await asyncio.wait_for(reader.readline(), 5)).decode("latin-1")
            if len(words := line.split()) == 3:
                _, target, _ = words
                self.asked.append(urlsplit(target).hostname or target.split(":")[0])
            writer.write(b"HTTP/1.1 403 No way out\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
