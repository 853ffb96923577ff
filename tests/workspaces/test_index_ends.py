"""How a slice of indexing may end, and what a store or a worker may do meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from msgspec import structs

from aiassist.lib.clock import now
from tests.workspaces.test_reconciling import ghost
from workspaces.content.files import delete_file, put_file
from workspaces.erasing import erase_user, erase_workspace
from workspaces.indexing import generations, pipeline, reading, runner
from workspaces.indexing.pipeline import IndexRun
from workspaces.indexing.runner import run_next, run_slice
from workspaces.jobs import reconciling, sweeping
from workspaces.jobs.leases import Lease, LeaseLost, locked_by, take_lease
from workspaces.jobs.queue import cancel_job, request_rebuild
from workspaces.jobs.reconciling import reconcile, renew_outdated
from workspaces.models import ChunkEmbedding, IndexedFile, IndexJob, Workspace
from workspaces.services import create_workspace, delete_workspace
from workspaces.tasks import reconcile_task, tidy_task

FILES = {f"{n}.py": f"def f{n}():\n    return {n}\n" for n in range(4)}


class Forgetful:
    """A vector store that loses one point of each write, as often as it is told."""

    def __init__(self, store, losses):
        self._store, self.losses = store, losses

    def __getattr__(self, name):
        return getattr(self._store, name)

    def upsert(self, workspace_id, points):
        if self.losses:
            self.losses -= 1
            points = points[1:]
        self._store.upsert(workspace_id, points)


def at(name, work):
    """A step that does something once when the job comes there."""
    todo = [work]

    def step(here):
        if here == name and todo:
            todo.pop()()

    return step


def test_j7_points_that_the_store_lost_are_written_again(alice, indexer):
    indexer.store = Forgetful(indexer.store, losses=2)  # of words, then of vectors

    job = indexer.index(alice.workspace, FILES)

    assert job.state == "succeeded"
    indexer.assert_clean(alice.workspace)


def test_j7_a_store_that_keeps_nothing_puts_the_job_off_with_a_sentence(alice, indexer):
    indexer.put(alice.workspace, FILES)
    indexer.store = Forgetful(indexer.store, losses=99)

    run_next(lambda: indexer.store)

    job = IndexJob.objects.get()
    assert (job.state, job.attempts) == ("running", 0)
    assert "does not keep what it is given" in job.error
    assert job.not_before and job.not_before > now()


def test_a_cancel_just_before_the_switch_is_heard(alice, indexer):
    job = indexer.put(alice.workspace, FILES)

    indexer.run(at("before switch", lambda: cancel_job(job=job)))

    job.refresh_from_db()
    alice.workspace.refresh_from_db()
    assert (job.state, alice.workspace.generation) == ("cancelled", 0)
    assert indexer.store.count(alice.workspace.pk) == 0


@pytest.mark.parametrize("step", ["surveyed", "before switch"])
def test_j3_a_job_that_was_ended_elsewhere_switches_nothing(alice, indexer, step):
    job = indexer.put(alice.workspace, FILES)
    end = IndexJob.objects.filter(pk=job.pk).update

    indexer.run(at(step, lambda: end(state="failed", finished_at=now())))

    alice.workspace.refresh_from_db()
    assert (alice.workspace.generation, indexer.visible(alice.workspace)) == (0, set())


def test_j9_a_slice_ends_where_somebody_else_waits(
    alice, charlie, indexer, monkeypatch
):
    monkeypatch.setattr(pipeline, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "BATCH_FILES", 2)
    first = indexer.put(alice.workspace, FILES)
    second = indexer.put(charlie.workspace, FILES)

    slices = indexer.run()

    assert slices > 4, "they took turns"
    for job in (first, second):
        job.refresh_from_db()
        assert (job.state, job.attempts <= 1) == ("succeeded", True)


def test_j9_what_nobody_waits_for_gives_way_in_its_middle(alice, indexer, monkeypatch):
    monkeypatch.setattr(pipeline, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "BATCH_FILES", 2)
    indexer.index(alice.workspace, FILES)
    Workspace.objects.update(index_version="old-model/1")
    renew_outdated()
    other = create_workspace(user=alice.user, name="other")
    waited = []

    def ask():
        waited.append(indexer.put(other, FILES))

    indexer.run(at("progress saved", ask))

    ended = IndexJob.objects.filter(state="succeeded").order_by("finished_at")
    assert list(ended)[1] == waited[0]
    assert ended.count() == 3


def test_j3_a_worker_without_the_lease_leaves_the_job_to_who_has_it(
    alice, indexer, monkeypatch
):
    job = indexer.put(alice.workspace, FILES)
    leases = [None]
    monkeypatch.setattr(
        runner,
        "take_lease",
        lambda pk: leases.pop() if leases else take_lease(pk),
    )

    assert run_next(lambda: indexer.store)
    job.refresh_from_db()
    assert job.state == "succeeded"


def test_j3_who_lost_the_lease_locks_the_workspace_no_more(alice):
    late = take_lease(alice.workspace.pk)
    Workspace.objects.update(lease_until=now() - timedelta(seconds=1))
    holder = take_lease(alice.workspace.pk)
    assert late is not None and holder is not None

    with transaction.atomic():
        assert locked_by(holder) == alice.workspace
        with pytest.raises(LeaseLost):
            locked_by(late)
    assert not late.renew()


@pytest.fixture
def lease(alice):
    held = take_lease(alice.workspace.pk)
    assert held
    return held


def test_j3_an_ended_job_is_not_begun_again(alice, indexer, lease):
    job = indexer.put(alice.workspace, FILES)
    IndexJob.objects.update(state="succeeded", generation=1, cleaned_at=now())

    run_slice(job, lease, lambda: indexer.store)

    assert not IndexedFile.objects.exists()


def test_j3_a_second_job_waits_for_the_first_ones_next_slice(alice, indexer, lease):
    running = indexer.put(alice.workspace, FILES)
    IndexJob.objects.update(state="running", generation=1)
    waiting = request_rebuild(workspace=alice.workspace)
    assert waiting != running

    run_slice(waiting, lease, lambda: indexer.store)

    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == ("queued", 0)


def test_a_cancel_that_came_before_the_first_slice_ends_the_job(alice, indexer, lease):
    job = indexer.put(alice.workspace, FILES)
    IndexJob.objects.update(cancel_requested=True)

    run_slice(job, lease, lambda: indexer.store)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert not IndexedFile.objects.exists()


def test_a_run_without_a_generation_is_nobodys(alice, indexer, lease):
    job = indexer.put(alice.workspace, FILES)
    with pytest.raises(LeaseLost):
        IndexRun(job=job, lease=lease, store=indexer.store, others_wait=lambda: False)


def test_a_file_that_went_during_the_job_has_its_reason(alice, indexer):
    job = indexer.put(alice.workspace, FILES)

    def lose():
        delete_file(workspace=alice.workspace, path="2.py")

    indexer.run(at("planned", lose))

    job.refresh_from_db()
    assert job.state == "succeeded"
    assert "2.py" not in {path for path, *_ in indexer.visible(alice.workspace)}
    indexer.assert_clean(alice.workspace)


def test_f5_files_beyond_what_is_read_at_once_are_cut_in_groups(
    alice, indexer, monkeypatch
):
    monkeypatch.setattr(reading, "_GROUP_BYTES", 40)
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 200)

    job = indexer.index(alice.workspace, {**FILES, "long.py": "x = 1\n" * 50})

    assert {path for path, *_ in indexer.visible(alice.workspace)} == set(FILES)
    assert [s["path"] for s in job.skipped] == ["long.py"]
    assert "stored, not indexed" in job.skipped[0]["reason"]


def test_what_stays_left_out_is_told_by_the_next_job_too(alice, indexer):
    odd = b"\xff\xfea"  # starts like UTF-16 and does not go on so
    indexer.index(alice.workspace, {**FILES, "odd.py": odd})
    first = IndexJob.objects.get()
    put_file(workspace=alice.workspace, path="new.py", data=b"x = 1\n")

    indexer.run()

    second = IndexJob.objects.exclude(pk=first.pk).get()
    assert [s["path"] for s in first.skipped] == ["odd.py"]
    assert second.skipped == first.skipped


def test_many_paths_are_found_by_one_walk(alice, indexer, monkeypatch):
    indexer.index(alice.workspace, FILES)
    monkeypatch.setattr(generations, "_MANY_PATHS", 1)

    job = indexer.index(
        alice.workspace, {**FILES, "1.py": "x = 1\n", "2.py": "y = 2\n"}
    )

    assert job.state == "succeeded"
    indexer.assert_clean(alice.workspace)


def test_an_embedding_that_is_used_again_is_kept_longer(alice, indexer):
    indexer.index(alice.workspace, FILES)
    ChunkEmbedding.objects.update(used_at=now() - timedelta(days=30))
    request_rebuild(workspace=alice.workspace)

    indexer.run()

    assert not ChunkEmbedding.objects.filter(
        used_at__lt=now() - timedelta(days=1)
    ).exists()
    assert IndexJob.objects.latest("created_at").chunks_computed == 0


# What runs on a clock meets workers and deletions.


def test_j3_a_message_to_tidy_what_is_clean_does_nothing(alice, indexer):
    job = indexer.index(alice.workspace, FILES)
    tidy_task(job.pk)
    tidy_task("job_gone")
    indexer.assert_clean(alice.workspace)


def lost(lease):
    return False


@pytest.mark.parametrize("work", ["tidy", "reconcile"])
def test_j3_a_sweeper_that_was_overtaken_stops(alice, indexer, monkeypatch, work):
    job = indexer.index(alice.workspace, FILES)
    IndexJob.objects.update(cleaned_at=None)
    Workspace.objects.update(n_chunks=99)
    stray = ghost()
    stray = replace(stray, payload=structs.replace(stray.payload, since=7))
    indexer.store.upsert(alice.workspace.pk, [stray])
    monkeypatch.setattr(Lease, "renew", lost)

    if work == "tidy":
        sweeping.tidy(job.pk, lambda: indexer.store)
        assert IndexJob.objects.get().cleaned_at is None
    else:
        reconcile(lambda: indexer.store)
        assert Workspace.objects.get().n_chunks == 99


def test_a_workspace_that_somebody_indexes_is_compared_later(
    alice, indexer, monkeypatch
):
    indexer.index(alice.workspace, FILES)
    Workspace.objects.update(n_chunks=99)
    monkeypatch.setattr(reconciling, "take_lease", lambda pk: None)
    reconcile_task()
    assert Workspace.objects.get().n_chunks == 99
    monkeypatch.undo()

    def take_and_ask(pk):
        request_rebuild(workspace=alice.workspace)
        return take_lease(pk)

    monkeypatch.setattr(reconciling, "take_lease", take_and_ask)
    reconcile(lambda: indexer.store)
    assert Workspace.objects.get().n_chunks == 99


def test_j8_erasing_what_is_gone_does_nothing(alice, indexer):
    assert erase_workspace("workspace_gone", lambda: indexer.store) == 0


def test_j8_a_user_goes_with_what_is_being_deleted(alice, indexer):
    indexer.index(alice.workspace, FILES)
    delete_workspace(workspace=alice.workspace)

    assert erase_user(alice.user, lambda: indexer.store) > 0
    assert not Workspace.objects.exists()
    assert not indexer.store.exists(alice.workspace.pk)
