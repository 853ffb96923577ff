"""J1, J5 with real Celery workers: kill -9 at random moments, a broker that forgets."""

import os
import random
import sys
import time
from datetime import timedelta
from functools import partial

import pytest

from aiassist.lib import redis as lib_redis
from aiassist.lib.clock import now
from tests.support.ports import wait_for
from tests.support.processes import celery_worker, django_env
from tests.workspaces.indexer import Indexer
from tests.workspaces.packing import zip_of
from workspaces.jobs.queue import request_rebuild
from workspaces.jobs.sweeping import sweep
from workspaces.models import IndexJob
from workspaces.receiving.archives import import_archive
from workspaces.services import create_workspace
from workspaces.vectors.edge import EdgeStore

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

KILLS = 10
FILES = {
    f"pkg/mod_{n:03}.py": "".join(
        f"def function_{n}_{i}(value):\n    return value * {n} + {i}\n\n"
        for i in range(6)
    )
    for n in range(150)
}


@pytest.fixture
def worker(tmp_path):
    process = celery_worker(
        log=tmp_path / "worker.log",
        env=django_env(DATA_DIR=str(tmp_path), INDEX_LEASE_SECONDS="2"),
        pool="solo",
    )
    yield process
    process.kill()


def resend():
    """What the sweeper does, with half a second for its half minute."""
    long_ago = now() - timedelta(minutes=1)
    IndexJob.objects.filter(sent_at__lt=now() - timedelta(seconds=0.5)).update(
        sent_at=long_ago
    )
    sweep()


def is_over(job):
    resend()
    job.refresh_from_db()
    return job.is_over and job.cleaned_at is not None


def reached(job, n_files):
    resend()
    job.refresh_from_db()
    return job.is_over or (job.generation is not None and job.files_done >= n_files)


def visible_in(folder, workspace):
    store = EdgeStore(folder)
    try:
        indexer = Indexer(store)
        indexer.assert_clean(workspace)
        return indexer.visible(workspace)
    finally:
        store.close()


def test_j1_killed_at_random_moments_it_ends_as_a_clean_run(alice, worker, tmp_path):
    seed = int(os.environ.get("FAULT_SEED", "4711"))
    sys.stderr.write(f"FAULT_SEED={seed}\n")
    chance = random.Random(seed)
    job = import_archive(workspace=alice.workspace, file=zip_of(FILES))
    for _ in range(KILLS):
        job.refresh_from_db()
        if job.is_over:  # it was quicker than we
            job = request_rebuild(workspace=alice.workspace)
        worker.start()
        target = chance.randint(job.files_done, job.files_total)
        wait_for(partial(reached, job, target), seconds=60)
        time.sleep(chance.uniform(0, 0.4))  # anywhere in the next batch
        worker.kill()

    clean = create_workspace(user=alice.user, name="clean")
    clean_job = import_archive(workspace=clean, file=zip_of(FILES))
    worker.start()
    wait_for(lambda: is_over(job) and is_over(clean_job), seconds=60)
    worker.stop()

    assert (job.state, clean_job.state) == ("succeeded", "succeeded")
    assert (job.files_done, job.chunks) == (150, clean_job.chunks)
    folder = tmp_path / "vectors"
    assert visible_in(folder, alice.workspace) == visible_in(folder, clean)


def test_j5_a_broker_that_forgot_everything_loses_no_accepted_work(
    alice, worker, tmp_path
):
    job = import_archive(workspace=alice.workspace, file=zip_of({"a.py": "x = 1\n"}))
    lib_redis.client().flushall()  # as after SHUTDOWN NOSAVE
    worker.start()

    wait_for(lambda: is_over(job), seconds=40)

    assert job.state == "succeeded"
