"""The embedded default's database: exact there, too, with and without Redis."""

import os
import shutil
import sqlite3

import pytest

from tests.billing.load import Load
from tests.support.processes import Process, python, unmeasured

LIMIT = 40
_PREPARE = f"""
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import User
from billing.models import Tier
Tier.objects.filter(pk="free").update(
    requests_per_hour={LIMIT}, max_concurrent=10_000
)
print("user:", User.objects.create_user("alice@example.test").pk)
"""


def env_of(folder):
    """The environment of the embedded default with its data there."""
    env = {**os.environ, "DATA_DIR": str(folder), "DATABASE_URL": ""}
    return env | {"DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The data folder of a fresh copy, and its one user's id."""
    folder = tmp_path_factory.mktemp("prepared")
    env = unmeasured(env_of(folder))
    prepare = Process(python("-c", _PREPARE), log=folder / "prepare.log", env=env)
    with prepare:
        assert prepare.wait(seconds=120) == 0, prepare.output
    return folder, prepare.output.rpartition("user: ")[2].strip()


@pytest.mark.parametrize("redis", ["there", "killed"])
def test_q1_and_q6_hold_on_sqlite(tmp_path, prepared, redis_server, redis):
    folder, user = prepared
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    env = env_of(tmp_path) | {"REDIS_URL": redis_server.url}
    if redis == "killed":
        redis_server.kill()
    load = Load(
        tmp_path,
        user=user,
        keys=["key_1", "key_2"],
        env=env,
        n=2,
        calls=60,
        end_calls=False,
    )
    with load:
        load.go()
        result = load.result()

    assert result["admitted"] == LIMIT
    assert result["refused: hour"] == 120 - LIMIT
    with sqlite3.connect(tmp_path / "db.sqlite3") as database:
        held = database.execute("SELECT count(*) FROM billing_reservation").fetchone()
        counted = database.execute("SELECT hour_used FROM billing_quota").fetchone()
    with redis_server.client() as server:
        in_redis = server.hlen("holds") if redis == "there" else 0
    assert counted == (LIMIT,)
    assert held[0] + in_redis == LIMIT
