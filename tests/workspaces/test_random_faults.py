"""Ten faults, drawn by a seed: the index must equal a clean run's.

A worker process indexes while it is killed, Redis forgets everything or is gone, the
vector database dies or answers wrongly, jobs are cancelled, files change and whole
workspaces are deleted. `FAULT_SEED=123 pytest …` draws others.
"""

import os
import random
import sys
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from aiassist.lib import redis as lib_redis
from aiassist.lib.clock import now
from tests.support.ports import wait_for
from tests.support.processes import celery_worker, django_env
from tests.workspaces.indexer import Indexer
from tests.workspaces.packing import zip_of
from tests.workspaces.vector_server import VectorServer
from workspaces.errors import JobNotActive
from workspaces.jobs.queue import cancel_job
from workspaces.jobs.sweeping import sweep
from workspaces.models import (
    Blob,
    IndexedFile,
    IndexJob,
    SourceFile,
    Tombstone,
    Workspace,
)
from workspaces.receiving.archives import import_archive
from workspaces.services import create_workspace, delete_workspace
from workspaces.vectors import close_store, get_store

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

FAULTS = 10
MOST_TRIES = 50


def content(chance):
    """Return a workspace's files at some moment: a few of many, in some version."""
    return {
        f"{folder}/mod_{n}.py": f"def work_{n}(value):\n    return value * {version}\n"
        for folder in ("app", "lib")
        for n in range(8)
        if (version := chance.randrange(4))
    }


class Ground:
    """The processes, and what may befall them."""

    def __init__(self, alice, tmp_path, settings):
        self.alice = alice
        self.redis = lib_redis.client()
        self.vectors = VectorServer(tmp_path)
        self.vectors.start()
        settings.QDRANT_URL = self.vectors.url
        self.worker = celery_worker(
            log=tmp_path / "worker.log",
            env=django_env(
                DATA_DIR=str(tmp_path),
                QDRANT_URL=self.vectors.url,
                INDEX_LEASE_SECONDS="1",
            ),
            pool="solo",
        )
        self.worker.start()
        self.doomed = []

    def end(self):
        close_store()
        self.worker.kill()
        self.vectors.process.kill()

    def mend(self):
        """Start again what is down."""
        if not self.vectors.process.alive:
            self.vectors.start()
        self.vectors.trouble("")
        if not self.worker.alive:
            self.worker.start()

    # The faults; each returns whether it found something to break.

    def kill_worker(self, chance):
        self.worker.kill()
        return True

    def restart_redis(self, chance):
        """Cut every connection, answer nobody for a while, come back empty."""
        self.redis.flushall()
        self.redis.client_pause(300)
        return bool(self.redis.client_kill_filter(_type="normal", skipme=True))

    def forget_messages(self, chance):
        return self.redis.flushall()

    def kill_vectors(self, chance):
        return self._trouble("die", chance)

    def confuse_vectors(self, chance):
        return self._trouble(chance.choice(["500", "drop"]), chance)

    def _trouble(self, how, chance):
        self.vectors.trouble(how, after=chance.randrange(4))
        with suppress(TimeoutError):  # the job may not write so often
            wait_for(self.vectors.was_struck, seconds=2, every=0.1)
        return self.vectors.was_struck()

    def cancel(self, chance):
        n_cancelled = 0
        for job in IndexJob.objects.active().filter(workspace=self.alice.workspace):
            with suppress(JobNotActive):
                cancel_job(job=job)
                n_cancelled += 1
        return n_cancelled > 0

    def delete(self, chance):
        """Another workspace goes while it is indexed."""
        other = create_workspace(user=self.alice.user, name="doomed")
        import_archive(workspace=other, file=zip_of(content(chance)))
        time.sleep(chance.uniform(0, 0.3))
        delete_workspace(workspace=other)
        self.doomed.append(other.pk)
        return True


def nudge():
    """What the sweeper does every 15 seconds."""
    long_ago = now() - timedelta(minutes=1)
    IndexJob.objects.update(not_before=None, sent_at=long_ago)
    IndexJob.objects.filter(cleaned_at=None).exclude(finished_at=None).update(
        finished_at=long_ago
    )
    sweep()


def is_quiet():
    nudge()
    jobs = IndexJob.objects.filter(workspace__deleted_at=None)
    return not jobs.active().exists() and not jobs.unclean().exists()


def is_gone(workspace_id):
    nudge()
    return not any(
        model.objects.filter(workspace_id=workspace_id).exists()
        for model in (IndexJob, SourceFile, Blob, IndexedFile)
    ) and not get_store().exists(workspace_id)


@pytest.fixture
def ground(alice, tmp_path, settings, transactional_db):
    close_store()
    there = Ground(alice, tmp_path, settings)
    yield there
    there.end()


def test_j1_j5_j7_j8_after_ten_random_faults_the_index_equals_a_clean_run(
    alice, ground
):
    seed = int(os.environ.get("FAULT_SEED", "4711"))
    sys.stderr.write(f"FAULT_SEED={seed}\n")
    chance = random.Random(seed)
    faults = [
        ground.kill_worker,
        ground.restart_redis,
        ground.forget_messages,
        ground.kill_vectors,
        ground.confuse_vectors,
        ground.cancel,
        ground.delete,
    ]
    # Each kind once, the rest by chance; what broke nothing is tried again.
    todo = [*faults, *(chance.choice(faults) for _ in range(FAULTS - len(faults)))]
    befallen: list[str] = []
    for _ in range(MOST_TRIES):
        if len(befallen) == FAULTS:
            break
        fault = todo[len(befallen)]
        files = content(chance)
        import_archive(workspace=alice.workspace, file=zip_of(files))
        nudge()
        time.sleep(chance.uniform(0, 0.6))
        if fault(chance):
            befallen.append(fault.__name__)
        nudge()
        time.sleep(chance.uniform(0, 0.6))
        ground.mend()

    told = f"FAULT_SEED={seed} {befallen}"
    assert len(befallen) == FAULTS, told
    last = import_archive(workspace=alice.workspace, file=zip_of(files))
    clean = create_workspace(user=alice.user, name="clean")
    import_archive(workspace=clean, file=zip_of(files))
    wait_for(is_quiet, seconds=120, every=1.0, what=told)
    for workspace_id in ground.doomed:
        wait_for(partial(is_gone, workspace_id), seconds=60, every=1.0, what=told)

    last.refresh_from_db()
    assert last.state == "succeeded", (told, last.error)
    indexer = Indexer(get_store())
    indexer.assert_clean(Workspace.objects.get(pk=alice.workspace.pk))
    assert indexer.visible(alice.workspace) == indexer.visible(clean), told
    assert set(get_store().collections()) == {alice.workspace.pk, clean.pk}, told
    assert Tombstone.objects.count() == len(ground.doomed)
