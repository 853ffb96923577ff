"""`python -m tests.e2e FOLDER`: the production platform without Docker, until Ctrl-C.

PostgreSQL and Redis are the test harness's, PostgreSQL as durable as a real one;
Qdrant's engine is served by benchmarks.edge_server. Prints the options that
benchmarks.repository takes; see docs/developer/performance.md.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.e2e.platform import PROXY, Platform
from tests.support.ports import listens, wait_for
from tests.support.postgres import SPEED, start_postgres
from tests.support.processes import Process, python

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
}


class Measured(Platform):
    """The vector store is Qdrant's own engine, for the stand-in's is too slow."""

    def start_qdrant(self) -> None:
        folder = str(self.home / "qdrant")
        command = python("-m", "benchmarks.edge_server", str(self.qdrant_port), folder)
        log = self.home / "qdrant.log"
        self.processes["qdrant"] = Process(command, log=log).start()
        wait_for(lambda: listens(self.qdrant_port), seconds=30, what="Qdrant")


def main() -> None:
    home = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    home.mkdir(parents=True, exist_ok=True)
    SPEED.update(DURABLE)
    postgres = start_postgres()
    os.environ["DATABASE_URL"] = postgres.url("aiassist")
    platform = Measured(home)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        platform.start()
        key = platform.new_key("measure@example.test")
        platform.manage("set_tier", "measure@example.test", "enterprise")
        headers = " ".join(
            f"--header '{name}: {value}'" for name, value in PROXY.items()
        )
        pids = " ".join(
            f"--pid {process.pid}" for process in platform.processes.values()
        )
        sys.stdout.write(
            f"--url http://127.0.0.1:{platform.port} --key {key} {headers} {pids}\n"
        )
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        platform.stop()
        postgres.stop()


if __name__ == "__main__":
    main()
