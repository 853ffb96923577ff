"""The embedded default's database: exact there, too, with and without Redis."""

import os
import sqlite3

import pytest

from tests.billing.load import Load
from tests.support.processes import Process, python

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


@pytest.mark.parametrize("redis", ["there", "killed"])
def test_q1_and_q6_hold_on_sqlite(tmp_path, redis_server, redis):
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
        "DATA_DIR": str(tmp_path),
        "REDIS_URL": redis_server.url,
    }
    env.pop("DATABASE_URL")
    prepare = Process(python("-c", _PREPARE), log=tmp_path / "prepare.log", env=env)
    with prepare:
        assert prepare.wait(seconds=60) == 0, prepare.output
    user = prepare.output.rpartition("user: ")[2].strip()
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
