"""J7 over real processes: the vector database stopped at each step of an index job.

A worker process indexes into a vector database process, which dies before its nth
write, for each n, or answers wrongly. Meanwhile the search that people use must show
the old index or say clearly that it is away; and what is switched in is whole.
"""

from datetime import timedelta
from functools import partial

import pytest

from aiassist.lib.clock import now
from tests.support.ports import wait_for
from tests.support.processes import celery_worker, django_env
from tests.workspaces.indexer import Indexer
from tests.workspaces.packing import zip_of
from tests.workspaces.vector_server import VectorServer
from workspaces.errors import VectorsUnavailable
from workspaces.finding.search import search
from workspaces.jobs.sweeping import sweep
from workspaces.models import IndexJob, Workspace
from workspaces.receiving.archives import import_archive
from workspaces.vectors import close_store, get_store

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

_BODY = "def {name}(value):\n    return value + {n}\n"
STAYS = {"stays.py": _BODY.format(name="unchanged", n=0)}
OLD = {**STAYS, "it.py": _BODY.format(name="before", n=1), "gone.py": "leaving = 1\n"}
NEW = {**STAYS, "it.py": _BODY.format(name="after", n=2), "come.py": "coming = 1\n"}
MOST_STEPS = 12


@pytest.fixture
def server(tmp_path, settings):
    vector_server = VectorServer(tmp_path)
    vector_server.start()
    settings.QDRANT_URL = vector_server.url
    close_store()
    yield vector_server
    close_store()
    vector_server.process.kill()


@pytest.fixture
def worker(tmp_path, server):
    process = celery_worker(
        log=tmp_path / "worker.log",
        env=django_env(
            DATA_DIR=str(tmp_path), QDRANT_URL=server.url, INDEX_LEASE_SECONDS="2"
        ),
        pool="solo",
    )
    process.start()
    yield process
    process.kill()


def nudge():
    """What the sweeper does, without its half minute."""
    IndexJob.objects.update(not_before=None, sent_at=now() - timedelta(minutes=1))
    sweep()


def is_clean(job):
    job.refresh_from_db()
    if job.is_over and job.cleaned_at is None:
        sweep()
    return job.is_over and job.cleaned_at is not None


def job_is_over(job):
    job.refresh_from_db()
    return job.is_over


def was_put_off(job):
    """The worker noticed, and left the job for later."""
    job.refresh_from_db()
    return job.retries > 0 or job.is_over


def seen(workspace, state=None):
    """Return the names that a search by words finds; `state` must be what it tells."""
    fresh = Workspace.objects.get(pk=workspace.pk)
    found = set()
    for name in ("before", "after", "leaving", "coming", "unchanged"):
        outcome = search(workspaces=[fresh], query=name, mode="keyword")
        assert state is None or (outcome.index and outcome.index.state == state)
        found |= {name for hit in outcome.hits if name in hit.text}
    return found


def refuses_by_meaning(workspace):
    fresh = Workspace.objects.get(pk=workspace.pk)
    with pytest.raises(VectorsUnavailable):
        search(workspaces=[fresh], query="before", mode="semantic")
    return True


OLD_NAMES = {"before", "leaving", "unchanged"}
NEW_NAMES = {"after", "coming", "unchanged"}


def test_j7_a_vector_database_killed_at_each_step_of_a_job_never_shows_half_an_index(
    alice, worker, server
):
    job = import_archive(workspace=alice.workspace, file=zip_of(OLD))
    wait_for(partial(is_clean, job), seconds=30)
    died = 0
    contents = [(NEW, NEW_NAMES), (OLD, OLD_NAMES)]
    shown = OLD_NAMES
    for step in range(MOST_STEPS):
        files, names = contents[step % 2]
        server.trouble("die", after=step)
        job = import_archive(workspace=alice.workspace, file=zip_of(files))
        wait_for(
            lambda: not server.process.alive or is_clean(job),  # noqa: B023
            seconds=30,
        )
        if server.process.alive:
            break  # the job has fewer writes than that
        died += 1
        shown = names if job_is_over(job) else shown
        assert seen(alice.workspace, "degraded") == shown, step
        assert refuses_by_meaning(alice.workspace)
        wait_for(partial(was_put_off, job), seconds=10)
        server.start()
        assert seen(alice.workspace) == shown, step
        wait_for(partial(finished, job), seconds=30)
        assert job.state == "succeeded"
        assert seen(alice.workspace) == names, step
        Indexer(get_store()).assert_clean(alice.workspace)
        shown = names
    assert died >= 3


def finished(job):
    nudge()
    return is_clean(job)


def test_j7_a_vector_database_that_answers_wrongly_half_way_changes_nothing(
    alice, worker, server
):
    job = import_archive(workspace=alice.workspace, file=zip_of(OLD))
    wait_for(partial(is_clean, job), seconds=30)
    server.trouble("500", after=1)

    job = import_archive(workspace=alice.workspace, file=zip_of(NEW))
    wait_for(partial(was_put_off, job), seconds=20)

    assert seen(alice.workspace, "degraded") == OLD_NAMES
    assert refuses_by_meaning(alice.workspace)
    server.trouble("")
    assert seen(alice.workspace) == OLD_NAMES
    wait_for(partial(finished, job), seconds=30)
    assert seen(alice.workspace) == NEW_NAMES
    Indexer(get_store()).assert_clean(alice.workspace)
