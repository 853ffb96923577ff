"""Indexing from end to end, on a PostgreSQL and a Redis of its own: `make bench-index`.

BENCH_EMBEDDED_FILES, BENCH_WORDS_FILES, BENCH_MANY_FILES and BENCH_MANY_CUT set how
much is measured.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.postgres import start_postgres
from tests.support.redis import RedisServer

_RUN = "import django; django.setup(); from benchmarks.indexing.run import main; main()"


def main() -> None:
    """Start the servers, measure, and leave nothing behind."""
    home = Path(tempfile.mkdtemp(prefix="aiassist-bench-"))
    postgres = start_postgres()
    redis = RedisServer().start()
    try:
        subprocess.run(
            [sys.executable, "-u", "-c", _RUN],
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
