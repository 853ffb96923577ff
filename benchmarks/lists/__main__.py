"""How long pages take when the tables are full; on a PostgreSQL and Redis of its own.

    python -m benchmarks.lists [--users 100000] [--records 1000000]

Prints, for each list of the admin and each page of the dashboard, the time of its
second view, its queries, and the slowest of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.postgres import start_postgres
from tests.support.redis import RedisServer

_RUN = """import django; django.setup()
from benchmarks.lists.run import main; main({}, {})"""


def main() -> None:
    """Start the servers, measure, and leave nothing behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="aiassist-bench-"))
    postgres = start_postgres()
    redis = RedisServer().start()
    try:
        subprocess.run(
            [sys.executable, "-u", "-c", _RUN.format(asked.users, asked.records)],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
                "DATABASE_URL": postgres.url(),
                "REDIS_URL": redis.url,
                "DATA_DIR": str(home),
                "OLLAMA_URL": "http://127.0.0.1:9",
            },
            check=True,
        )
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
