"""D1: every step of every app can be taken back and again, on both databases."""

import pytest
from django.core.management import call_command
from django.db import connection

from tests.support.processes import Process, django_env, python, unmeasured

# The steps go back one after the other, the last first.
_BACK_AND_FORTH = """
import django; django.setup()
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

OURS = ("assistant", "workspaces", "billing", "accounts")

def forwards():
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())

def ours():
    names = connection.introspection.table_names()
    return sorted(name for name in names if name.startswith(OURS))

def columns():
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description
        return {
            table: sorted(column.name for column in described(cursor, table))
            for table in ours()
        }

forwards()
before = columns()
assert len(before) > 20
MigrationExecutor(connection).migrate([(app, None) for app in OURS])
assert ours() == [], ours()
forwards()
assert columns() == before

from accounts.models import User
from assistant.models import AIModel
from billing.models import Tier, UsageRecord

# What steps sow and guard is there again.
assert Tier.objects.count() == 3
assert AIModel.objects.count() > 10
user = User.objects.create_user("dora@example.test")
UsageRecord.objects.create(
    user=user, status="ok", reservation_id="r", admitted_at=user.date_joined
)
try:
    UsageRecord._base_manager.update(tokens_in=1)
except DatabaseError as error:
    print("refused:", error)
"""


@pytest.fixture(params=["postgresql", "sqlite"])
def env(request, transactional_db, tmp_path):
    """The environment of a process with an empty database."""
    if request.param == "sqlite":
        settings = {"DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded"}
        return django_env(DATABASE_URL="", DATA_DIR=str(tmp_path), **settings)
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE every_step")
    base, _, _ = django_env()["DATABASE_URL"].rpartition("/")
    return django_env(DATABASE_URL=f"{base}/every_step")


def test_d1_every_step_of_every_app_can_be_taken_back(env, tmp_path):
    command = python("-c", _BACK_AND_FORTH)
    steps = Process(command, log=tmp_path / "log", env=unmeasured(env))
    with steps:
        assert steps.wait(seconds=240) == 0, steps.output
    assert "refused: usage records are final" in steps.output


def test_d1_the_models_need_no_further_migration(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
