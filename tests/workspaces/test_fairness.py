"""J9 with real workers and the real queue: a flood of jobs and another's single one."""

import time
from functools import partial

import pytest
from django.db import connection

from aiassist.lib import redis as lib_redis
from tests.support.ports import wait_for
from tests.support.processes import celery_worker, django_env
from tests.workspaces.packing import zip_of
from workspaces.models import Blob, IndexJob, SourceFile
from workspaces.receiving.archives import import_archive

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

FLOOD = 10_000
MOST_SECONDS = 10.0  # 1 to 2 on a quiet machine


def multiply(row, n, **changed):
    """Insert n rows like this one, but for the columns that are given as SQL of i."""
    table = row._meta.db_table
    columns = [f.column for f in row._meta.concrete_fields if f.column not in changed]
    columns = [column for column in columns if column != "id"]
    into = ", ".join([*columns, *changed])
    values = ", ".join([*columns, *changed.values()])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({into}) SELECT {values} "
            f"FROM {table}, generate_series(1, %s) AS i WHERE id = %s",
            [n, row.pk],
        )


def flood(person, n):
    """Queue n small jobs of one user, as many commits would, and their messages."""
    first = import_archive(
        workspace=person.workspace, file=zip_of({"a.py": "flooded = 1\n"})
    )
    workspace_id = "'workspace_flood' || i"
    multiply(person.workspace, n - 1, id=workspace_id)
    multiply(SourceFile.objects.get(), n - 1, workspace_id=workspace_id)
    multiply(Blob.objects.get(), n - 1, workspace_id=workspace_id)
    multiply(first, n - 1, id="'job_flood' || i", workspace_id=workspace_id)
    client = lib_redis.client()
    message = client.lindex("index", 0)
    assert message is not None
    client.rpush("index", *[message] * (n - 1))


def is_over(job):
    job.refresh_from_db()
    return job.is_over


def test_j9_ten_thousand_jobs_of_one_user_do_not_hold_up_anothers_single_job(
    alice, charlie, tmp_path
):
    flood(alice, FLOOD)
    assert lib_redis.client().llen("index") == FLOOD
    env = django_env(DATA_DIR=str(tmp_path))
    worker = celery_worker(log=tmp_path / "worker.log", env=env, pool="solo")
    with worker:
        wait_for(
            lambda: IndexJob.objects.filter(state="succeeded").count() > 3, seconds=60
        )
        began = time.monotonic()
        single = import_archive(
            workspace=charlie.workspace, file=zip_of({"b.py": "single = 1\n"})
        )
        wait_for(partial(is_over, single), seconds=60)
        waited = time.monotonic() - began

    single.refresh_from_db()
    assert single.state == "succeeded"
    left = IndexJob.objects.filter(state="queued").count()
    assert left > FLOOD / 2
    assert waited < MOST_SECONDS
