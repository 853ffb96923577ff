"""J1, J3, J4, J7, J8: whatever stops the work, the index ends as after a clean run.

A crash is an exception that no handler of the worker catches, raised between two
steps, with the lease left behind as a killed process leaves it.
"""

from datetime import timedelta
from typing import Any

import pytest

from aiassist.lib.clock import now
from workspaces.content.files import put_file
from workspaces.erasing import erase_user, erase_workspace
from workspaces.errors import VectorsUnavailable
from workspaces.indexing import pipeline
from workspaces.indexing.embedding import embed_query
from workspaces.indexing.keywords import query_terms
from workspaces.indexing.runner import run_next
from workspaces.jobs.queue import cancel_job
from workspaces.jobs.reconciling import reconcile
from workspaces.jobs.sweeping import resume_interrupted, sweep, tidy
from workspaces.models import (
    Blob,
    IndexJob,
    SourceFile,
    Tombstone,
    UserStorage,
    Workspace,
)
from workspaces.services import create_workspace, delete_workspace
from workspaces.vectors.base import Point

FIRST = {f"{n:02}.py": f"def f{n}():\n    return {n}\n" for n in range(6)}
SECOND = {
    **{f"{n:02}.py": f"def f{n}():\n    return {n}\n" for n in range(2, 6)},
    "05.py": "def changed():\n    return 5\n",
    "06.py": "def added():\n    return 6\n",
    "logo.py": b"\x00\x01" * 50,
}
STEPS = [
    "leased",
    "begun",
    "before ensure",
    "after ensure",
    "surveyed",
    "planned",
    "before embed",
    "before upsert",
    "after upsert",
    "progress saved",
    "before ending",
    "before until",
    "until set",
    "before switch",
    "after switch",
    "dropped",
]


class Killed(BaseException):
    """What a handler of `Exception` never sees, as it never sees a SIGKILL."""


def kill_at(wanted, nth=1):
    seen = 0

    def step(name):
        nonlocal seen
        seen += name == wanted
        if name == wanted and seen == nth:
            raise Killed

    return step


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Two files a batch, so that a small workspace has several."""
    monkeypatch.setattr(pipeline, "BATCH_FILES", 2)


@pytest.fixture
def leave_lease(monkeypatch):
    """A killed process releases nothing."""
    monkeypatch.setattr("workspaces.jobs.leases.Lease.release", lambda lease: None)


def lease_runs_out():
    Workspace.objects.update(lease_until=now() - timedelta(seconds=1))


# What a search finds after the same history and no accident; the same for everybody.
_clean: set[tuple[str, int, int, str]] = set()


def clean_run(person, indexer):
    """Return what a workspace with the same history and no accident shows."""
    if not _clean:
        workspace = create_workspace(user=person.user, name="clean")
        indexer.index(workspace, FIRST)
        lease_runs_out()
        indexer.index(workspace, SECOND)
        _clean.update(indexer.visible(workspace))
    assert len(_clean) == 5
    return _clean


def killed_run(indexer, step):
    with pytest.raises(Killed):
        run_next(lambda: indexer.store, step)
    lease_runs_out()


@pytest.mark.parametrize("where", STEPS)
def test_j1_a_job_killed_anywhere_resumes_to_the_same_index(
    alice, indexer, leave_lease, where
):
    indexer.index(alice.workspace, FIRST)
    lease_runs_out()
    before = indexer.visible(alice.workspace)
    job = indexer.put(alice.workspace, SECOND)

    killed_run(indexer, kill_at(where))

    job.refresh_from_db()
    if job.state != "succeeded":
        assert indexer.visible(alice.workspace) == before
    tidy(job.pk, lambda: indexer.store)
    lease_runs_out()
    indexer.run()
    job.refresh_from_db()
    lease_runs_out()
    assert job.state == "succeeded"
    assert job.files_done == job.files_total
    assert [entry["path"] for entry in job.skipped] == ["logo.py"]
    indexer.assert_clean(alice.workspace)
    assert indexer.visible(alice.workspace) == clean_run(alice, indexer)


@pytest.mark.parametrize("where", STEPS[:14])
def test_j1_what_a_given_up_job_left_never_shows_and_goes(
    alice, indexer, leave_lease, where
):
    indexer.index(alice.workspace, FIRST)
    lease_runs_out()
    before = indexer.visible(alice.workspace)
    job = indexer.put(alice.workspace, SECOND)
    killed_run(indexer, kill_at(where))
    IndexJob.objects.filter(pk=job.pk).update(attempts=IndexJob.MAX_ATTEMPTS)

    indexer.run()

    job.refresh_from_db()
    lease_runs_out()
    assert job.state == "failed"
    assert indexer.visible(alice.workspace) == before
    indexer.assert_clean(alice.workspace)

    indexer.index(alice.workspace, SECOND)
    lease_runs_out()
    indexer.assert_clean(alice.workspace)
    assert indexer.visible(alice.workspace) == clean_run(alice, indexer)


def test_j1_the_next_job_puts_right_what_nobody_cleaned_up(alice, indexer, leave_lease):
    indexer.index(alice.workspace, FIRST)
    lease_runs_out()
    before = indexer.visible(alice.workspace)
    job = indexer.put(alice.workspace, SECOND)
    killed_run(indexer, kill_at("before switch"))
    IndexJob.objects.filter(pk=job.pk).update(state="failed")

    indexer.index(alice.workspace, FIRST)

    assert indexer.visible(alice.workspace) == before
    indexer.assert_clean(alice.workspace)


def test_j1_a_killed_first_index_shows_nothing_until_it_is_whole(
    alice, indexer, leave_lease
):
    indexer.put(alice.workspace, FIRST)
    killed_run(indexer, kill_at("after upsert", nth=2))
    assert indexer.visible(alice.workspace) == set()

    indexer.run()
    assert len(indexer.visible(alice.workspace)) == 6


def test_j1_a_resumed_job_does_not_repeat_what_is_done(alice, indexer, leave_lease):
    job = indexer.put(alice.workspace, FIRST)
    killed_run(indexer, kill_at("progress saved", nth=2))
    job.refresh_from_db()
    assert (job.files_done, job.cursor) == (4, "03.py")

    embedded: list[Any] = []
    indexer.run(embedded.append)
    assert embedded.count("before embed") == 2  # file by file after an accident


def test_j3_a_task_delivered_twice_has_one_effect(alice, indexer):
    job = indexer.put(alice.workspace, FIRST)

    def deliver_again(step):
        if step == "before upsert":
            assert run_next(lambda: indexer.store) is False

    indexer.run(deliver_again)
    assert run_next(lambda: indexer.store) is False

    job.refresh_from_db()
    assert (job.state, job.generation) == ("succeeded", 1)
    indexer.assert_clean(alice.workspace)


def test_j3_a_worker_frozen_past_its_lease_stops_without_a_trace(alice, indexer):
    """Another takes over in the middle; the late one writes nothing that stays."""
    job = indexer.put(alice.workspace, FIRST)
    taken_over: list[Any] = []

    def freeze(step):
        if step == "before upsert" and not taken_over:
            taken_over.append(step)
            lease_runs_out()
            indexer.run()

    indexer.run(freeze)

    job.refresh_from_db()
    assert job.state == "succeeded"
    assert len(indexer.visible(alice.workspace)) == 6
    indexer.assert_clean(alice.workspace)


def test_j3_a_late_write_of_an_old_job_is_removed_before_the_switch(alice, indexer):
    """A worker frozen since a job that was given up wakes and writes a point."""
    indexer.index(alice.workspace, FIRST)
    given_up = indexer.put(alice.workspace, SECOND)
    late: list[Any] = []

    def cancel(step):
        if step == "after upsert" and not late:
            late.extend(
                point
                for point in points_of(indexer, alice.workspace)
                if point[1].since == 2
            )
            cancel_job(job=IndexJob.objects.get(pk=given_up.pk))

    indexer.run(cancel)
    indexer.put(alice.workspace, FIRST)

    def write_late(step):
        if step == "before ending":
            for point_id, payload in late:
                indexer.store.upsert(
                    alice.workspace.pk,
                    [
                        Point(
                            id=point_id,
                            dense=embed_query("late"),
                            sparse=query_terms("late"),
                            payload=payload,
                        )
                    ],
                )

    indexer.run(write_late)

    assert late
    indexer.assert_clean(alice.workspace)
    assert {path for path, *_ in indexer.visible(alice.workspace)} == set(FIRST)


def points_of(indexer, workspace):
    return list(indexer.store.scroll(workspace.pk))


def test_j4_a_job_that_keeps_killing_its_worker_is_parked_and_others_go_on(
    alice, charlie, indexer, leave_lease
):
    poison = indexer.put(alice.workspace, FIRST)
    for _ in range(IndexJob.MAX_ATTEMPTS):
        killed_run(indexer, kill_at("before embed"))
    innocent = indexer.put(charlie.workspace, FIRST)

    indexer.run()

    poison.refresh_from_db()
    innocent.refresh_from_db()
    assert innocent.state == "succeeded"
    assert poison.state == "failed"
    assert "stopped its worker 3 times" in poison.error
    alice.workspace.refresh_from_db()
    assert alice.workspace.status == "failed"


def test_j4_a_job_that_gets_further_each_time_is_not_parked(
    alice, indexer, leave_lease
):
    job = indexer.put(alice.workspace, FIRST)
    for _ in range(5):
        killed_run(indexer, kill_at("progress saved"))

    indexer.run()
    job.refresh_from_db()
    assert job.state == "succeeded"


def test_j4_a_crash_of_ours_is_tried_three_times_then_told(alice, indexer):
    job = indexer.put(alice.workspace, FIRST)

    def crash(step):
        if step == "before embed":
            raise RuntimeError("the text of this may hold code")

    for _ in range(4):
        IndexJob.objects.update(not_before=None)
        run_next(lambda: indexer.store, crash)

    job.refresh_from_db()
    assert job.state == "failed"
    assert "RuntimeError" in job.error
    assert "may hold code" not in job.error


class Flaky:
    """A vector store that is away from its nth call on, until it is mended."""

    def __init__(self, store, calls_left):
        self.store = store
        self.calls_left = calls_left

    def __getattr__(self, name):
        method = getattr(self.store, name)

        def call(*args, **kwargs):
            if self.calls_left <= 0:
                raise VectorsUnavailable
            self.calls_left -= 1
            return method(*args, **kwargs)

        return call


@pytest.mark.parametrize("calls", range(12))
def test_j7_a_vector_database_that_fails_half_way_changes_nothing_that_is_seen(
    alice, indexer, calls
):
    indexer.index(alice.workspace, FIRST)
    before = indexer.visible(alice.workspace)
    job = indexer.put(alice.workspace, SECOND)

    flaky = Flaky(indexer.store, calls)
    run_next(lambda: flaky)

    job.refresh_from_db()
    if job.state != "succeeded":
        assert indexer.visible(alice.workspace) == before
        assert (job.state, job.attempts) == ("running", 0)
        assert job.not_before > now()
        assert indexer.run() == 0  # not before its time
    IndexJob.objects.update(not_before=None)
    indexer.run()
    tidy(job.pk, lambda: indexer.store)
    job.refresh_from_db()
    assert job.state == "succeeded"
    indexer.assert_clean(alice.workspace)
    assert indexer.visible(alice.workspace) == clean_run(alice, indexer)


@pytest.mark.parametrize("where", STEPS)
def test_j8_a_workspace_deleted_during_indexing_leaves_nothing(alice, indexer, where):
    indexer.index(alice.workspace, FIRST)
    indexer.put(alice.workspace, SECOND)
    workspace_id = alice.workspace.pk
    deleted: list[Any] = []

    def delete(step):
        if step == where and not deleted:
            deleted.append(step)
            delete_workspace(workspace=alice.workspace)
            erase_workspace(workspace_id, lambda: indexer.store)

    indexer.run(delete)

    assert deleted
    assert not indexer.store.exists(workspace_id)
    for model in (Workspace, IndexJob, SourceFile, Blob):
        assert not model.objects.exists()
    assert UserStorage.objects.get(user=alice.user).n_bytes == 0


class ErasedMeanwhile:
    """A vector store in whose `ensure` the workspace is deleted and erased."""

    def __init__(self, store, workspace):
        self.store = store
        self.workspace = workspace

    def __getattr__(self, name):
        return getattr(self.store, name)

    def ensure(self, workspace_id):
        delete_workspace(workspace=self.workspace)
        erase_workspace(workspace_id, lambda: self.store)
        self.store.ensure(workspace_id)


def test_j8_what_a_late_write_makes_anew_goes_at_once(alice, indexer):
    indexer.put(alice.workspace, FIRST)

    store = ErasedMeanwhile(indexer.store, alice.workspace)
    run_next(lambda: store)

    assert list(indexer.store.collections()) == []


@pytest.mark.parametrize("where", ["before ensure", "after ensure", "after upsert"])
def test_j8_a_user_erased_during_indexing_leaves_nothing(alice, indexer, where):
    indexer.put(alice.workspace, FIRST)
    workspace_id = alice.workspace.pk
    erased: list[Any] = []

    def erase(step):
        if step == where and not erased:
            erased.append(erase_user(alice.user, lambda: indexer.store))
            alice.user.delete()

    indexer.run(erase)

    assert erased[0] > 0
    assert list(indexer.store.collections()) == []
    assert Tombstone.objects.filter(pk=workspace_id).exists()


def test_j8_the_tombstone_is_watched_until_nobody_can_write_any_more(alice, indexer):
    indexer.index(alice.workspace, FIRST)
    workspace_id = alice.workspace.pk
    delete_workspace(workspace=alice.workspace)
    erase_workspace(workspace_id, lambda: indexer.store)
    indexer.store.ensure(workspace_id)  # a worker that was frozen all the time

    Tombstone.objects.update(created_at=now() - timedelta(minutes=5))
    erase_workspace(workspace_id, lambda: indexer.store)

    assert not indexer.store.exists(workspace_id)
    assert Tombstone.objects.get().confirmed_at is not None


def test_t10_a_disabled_users_job_stops(alice, indexer):
    job = indexer.put(alice.workspace, FIRST)

    def disable(step):
        if step == "progress saved":
            type(alice.user).objects.filter(pk=alice.user.pk).update(is_active=False)

    indexer.run(disable)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert indexer.store.count(alice.workspace.pk) == 0


def test_j5_a_job_whose_message_was_lost_is_sent_again(alice, indexer, queue):
    job = indexer.put(alice.workspace, FIRST)
    queue.clear()

    sweep()
    assert queue.names == []  # it was sent only just now

    IndexJob.objects.update(sent_at=now() - timedelta(minutes=1))
    sweep()
    assert queue.sent == [("workspaces.index", {"job_id": job.pk})]
    queue.clear()
    sweep()
    assert queue.names == []


def test_j5_interrupted_work_is_taken_up_at_the_next_start(
    alice, indexer, queue, leave_lease
):
    job = indexer.put(alice.workspace, FIRST)
    with pytest.raises(Killed):
        run_next(lambda: indexer.store, kill_at("after upsert"))
    queue.clear()

    assert resume_interrupted() == 1

    assert queue.sent == [("workspaces.index", {"job_id": job.pk})]
    indexer.run()
    job.refresh_from_db()
    assert job.state == "succeeded"


def test_an_unfinished_clean_up_is_sent_again(alice, indexer, queue, leave_lease):
    indexer.index(alice.workspace, FIRST)
    lease_runs_out()
    job = indexer.put(alice.workspace, SECOND)
    killed_run(indexer, kill_at("after switch"))
    queue.clear()
    IndexJob.objects.update(finished_at=now() - timedelta(minutes=1))

    sweep()

    assert queue.sent == [("workspaces.tidy", {"job_id": job.pk})]
    tidy(job.pk, lambda: indexer.store)
    indexer.assert_clean(alice.workspace)


def test_the_reconciler_drops_orphans_and_rebuilds_what_is_short(alice, indexer):
    indexer.index(alice.workspace, FIRST)
    indexer.store.ensure("workspace_orphan")
    some = [i for i, _ in indexer.store.scroll(alice.workspace.pk)][:2]
    indexer.store.delete(alice.workspace.pk, some)

    done = reconcile(lambda: indexer.store)

    assert done == {"collections": 1, "points": 0, "rebuilds": 1}
    indexer.run()
    indexer.assert_clean(alice.workspace)
    assert len(indexer.visible(alice.workspace)) == 6
    assert reconcile(lambda: indexer.store)["rebuilds"] == 0


def test_a_lost_collection_is_healed_by_the_next_index(alice, indexer):
    indexer.index(alice.workspace, FIRST)
    indexer.store.drop(alice.workspace.pk)

    put_file(workspace=alice.workspace, path="new.py", data=b"n = 1\n")
    indexer.run()

    assert len(indexer.visible(alice.workspace)) == 7
