"""DATABASE_URL as Django's DATABASES entry."""

from pathlib import Path
from typing import Any

import dj_database_url

from aiassist import env

# A server or a way to it that is gone without a word is given up in half a minute; by
# default the kernel goes on asking for a quarter of an hour.
# Source: https://www.postgresql.org/docs/current/libpq-connect.html
_WATCHED = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms; Linux only
}


def postgres(*, pool_max: int = 10) -> dict[str, Any]:
    """Return the PostgreSQL of DATABASE_URL, with psycopg 3's pool."""
    url = env.url("DATABASE_URL", schemes=("postgres", "postgresql"))
    config: dict[str, Any] = dict(dj_database_url.parse(url))
    config["ENGINE"] = "django_prometheus.db.backends.postgresql"
    config["CONN_MAX_AGE"] = 0  # the pool keeps connections, not the thread
    # A connection is tried when it is taken, so that a restart of the server costs
    # no answers.
    config["CONN_HEALTH_CHECKS"] = True
    pool = {
        "min_size": 1,
        "max_size": env.integer("DATABASE_POOL_SIZE", pool_max, least=1, most=200),
        "timeout": 10,
    }
    config["OPTIONS"] = {**_WATCHED, **config.get("OPTIONS", {}), "pool": pool}
    return config


def sqlite(file: Path) -> dict[str, Any]:
    """Return a SQLite in WAL mode whose writers wait for each other.

    Source: https://docs.djangoproject.com/en/5.2/ref/databases/#sqlite-notes
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                "PRAGMA foreign_keys=ON; PRAGMA cache_size=-20000;"
                # What is deleted is overwritten: erased data stays in no free page.
                "PRAGMA secure_delete=ON"
            ),
        },
    }
