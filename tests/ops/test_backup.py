"""D2: a backup restores to an equal system; the scripts' own commands are tried."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.support.people import Person
from tests.support.postgres import client_programs
from tests.support.processes import ROOT
from tests.workspaces.indexer import Indexer

COPY = "restored"


def address(database: str) -> str:
    place = settings.DATABASES["default"]
    return f"postgresql://{place['USER']}@{place['HOST']}:{place['PORT']}/{database}"


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    with psycopg.connect(address("postgres"), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {COPY}")
    yield address(COPY)
    with psycopg.connect(address("postgres"), autocommit=True) as link:
        link.execute(f"DROP DATABASE {COPY}")


def run(script: str, database: str, data: bytes = b"") -> bytes:
    path = f"{client_programs()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(ROOT / "deploy" / script)],
        env={"PATH": path, "DATABASE_URL": database},
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(database: str) -> dict[str, Any]:
    """Return each table's number of rows and a hash of them all."""
    with psycopg.connect(database) as link:
        tables = link.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        return {
            table: link.execute(
                f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text))"
                f' FROM "{table}" AS t'
            ).fetchone()
            for (table,) in tables
        }


def test_d2_a_backup_restores_every_row(
    empty_database: str, alice: Person, vectors: Any
) -> None:
    Indexer(vectors).index(alice.workspace, {"a.py": "def add(a, b):\n    return a\n"})
    here = address(connection.settings_dict["NAME"])
    before = contents(here)

    dump = run("backup", here)
    run("restore", empty_database, dump)

    assert contents(empty_database) == before
    assert before["workspaces_blob"][0] == 1
    # Once more over what is there, as after a failed upgrade.
    run("restore", empty_database, dump)
    assert contents(empty_database) == before
