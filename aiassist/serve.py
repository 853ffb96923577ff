"""The web processes: `python -m aiassist.serve`, with uvicorn's own options.

The site is loaded once and then forked, so that all its processes share what was
loaded. `uvicorn --workers` starts each anew, which takes as much memory and time for
each. What the parent loads must open nothing that a fork would share: no connection, no
thread. A new version of the code takes a new parent; SIGHUP does not load it.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from importlib import import_module
from multiprocessing.context import ForkProcess
from types import SimpleNamespace

from uvicorn import _subprocess
from uvicorn.main import main as uvicorn

APPLICATION = "aiassist.asgi:application"


# Nothing is ever written. The parent alone keeps the writing end, so that the reading
# one comes to its end with the parent, kill -9 included, on Linux and macOS alike.
_lifeline, _held_by_parent = os.pipe()


def _end_with_parent() -> None:
    """Stop in good order once the parent is gone: nobody would start us again."""
    os.read(_lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _Forked(ForkProcess):
    """Ends as a process that was started anew: what was to be done at exit is done.

    And it ends with its parent.
    """

    def run(self) -> None:
        os.close(_held_by_parent)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            super().run()
        finally:
            # Usage records that wait for their batch are among it
            # (billing.metering.outbox). As from Python 3.13 on: https://github.com/python/cpython/issues/83856
            atexit._run_exitfuncs()


def main(options: list[str]) -> None:
    """Serve until a signal ends it."""
    import_module(APPLICATION.partition(":")[0])
    gc.collect()
    # What is here stays: a collection that went through it would write to each object,
    # and with that make a copy of its page for each process.
    gc.freeze()
    _subprocess.spawn = SimpleNamespace(Process=_Forked)  # type: ignore[assignment]
    uvicorn([APPLICATION, *options])


if __name__ == "__main__":
    main(sys.argv[1:])
