"""A PostgreSQL, a Redis and a folder of their own, for a part that imports Django."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.postgres import start_postgres
from tests.support.redis import RedisServer


def run_on_servers(code: str) -> None:
    """Run Python code in a process of its own on fresh servers; leave nothing behind.

    Raises CalledProcessError when it fails.
    """
    home = Path(tempfile.mkdtemp(prefix="aiassist-bench-"))
    postgres = start_postgres()
    redis = RedisServer().start()
    try:
        subprocess.run(
            [sys.executable, "-u", "-c", f"import django; django.setup(); {code}"],
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
