"""The embedded default's database file."""

from pathlib import Path

import pytest
from django.db.utils import ConnectionHandler

from aiassist.settings.database import sqlite


@pytest.mark.django_db  # no connection is opened without
def test_d5_what_is_deleted_leaves_the_file_of_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite3"
    connection = ConnectionHandler({"default": sqlite(file)})["default"]
    written = "what a person wrote " * 1_000  # several pages, which become free ones

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (body TEXT)")
        cursor.execute("INSERT INTO note VALUES (%s)", [written])
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert b"what a person wrote" in file.read_bytes()
        cursor.execute("DELETE FROM note")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

    assert b"what a person wrote" not in file.read_bytes()
