"""Free ports and waiting with a deadline."""

import os
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


# Below what Linux and macOS give to outgoing connections, one of which might otherwise
# take the port before the server that it was chosen for; and each test process (four
# at most) has ports of its own.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_PORTS = range(15_000 + _PROCESS, 32_000, 4)


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port among a hundred")


def listens(port: int) -> bool:
    """Tell whether something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(
    check: Callable[[], T],
    *,
    seconds: float = 10.0,
    what: str = "a condition",
    every: float = 0.02,
) -> T:
    """Return the first true answer of `check`; raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)
