"""The web processes: `python -m aiassist.serve`, with uvicorn's own options.

The site is loaded once and then forked, so that all its processes share what was
loaded. `uvicorn --workers` starts each anew, which takes as much memory and time for
each. What the parent loads must open nothing that a fork would share: no connection, no
thread. A new version of the code takes a new parent; SIGHUP does not load it.
"""

import atexit
import gc
import sys
from importlib import import_module
from multiprocessing.context import ForkProcess
from types import SimpleNamespace

from uvicorn import _subprocess
from uvicorn.main import main as uvicorn

APPLICATION = "aiassist.asgi:application"


class _Forked(ForkProcess):
    """Ends as a process that was started anew: what was to be done at exit is done."""

    def run(self) -> None:
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
