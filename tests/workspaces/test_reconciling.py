"""The index is compared with the record and mended; what is outdated is renewed."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from aiassist.lib.clock import now
from workspaces.indexing import generations
from workspaces.indexing.embedding import embed_query
from workspaces.indexing.generations import INDEX_VERSION
from workspaces.indexing.keywords import query_terms
from workspaces.indexing.runner import next_job
from workspaces.jobs.queue import request_index
from workspaces.jobs.reconciling import reconcile, renew_outdated
from workspaces.models import IndexedFile, IndexJob, Workspace
from workspaces.services import create_workspace
from workspaces.vectors.base import Point, PointPayload

FILES = {f"{n}.py": f"def f{n}():\n    return {n}\n" for n in range(4)}


def drift_metric(kind):
    return (
        REGISTRY.get_sample_value("aiassist_index_drift_total", {"kind": kind}) or 0.0
    )


def ghost(path="ghost.py"):
    return Point(
        id="00000000-0000-0000-0000-00000000beef",
        dense=embed_query("ghost"),
        sparse=query_terms("ghost"),
        payload=PointPayload(path, 1, 2, "python", "", "0" * 64, since=1),
    )


def test_a_true_index_is_left_alone(alice, indexer):
    indexer.index(alice.workspace, FILES)

    done = reconcile(lambda: indexer.store)

    assert done == {"collections": 0, "points": 0, "rebuilds": 0}
    alice.workspace.refresh_from_db()
    assert alice.workspace.checked_at is not None


def test_a_stray_point_goes_and_is_counted(alice, indexer):
    indexer.index(alice.workspace, FILES)
    indexer.store.upsert(alice.workspace.pk, [ghost()])
    before = drift_metric("points")

    assert reconcile(lambda: indexer.store)["points"] == 1

    assert drift_metric("points") == before + 1
    indexer.assert_clean(alice.workspace)


def test_a_swap_that_keeps_the_number_of_points_is_found_too(alice, indexer):
    """A stray point hides a lost one from those who only count."""
    indexer.index(alice.workspace, FILES)
    whole = indexer.visible(alice.workspace)
    lost = next(i for i, _ in indexer.store.scroll(alice.workspace.pk))
    indexer.store.delete(alice.workspace.pk, [lost])
    indexer.store.upsert(alice.workspace.pk, [ghost()])

    done = reconcile(lambda: indexer.store)

    assert (done["points"], done["rebuilds"]) == (1, 1)
    indexer.run()
    alice.workspace.refresh_from_db()
    assert indexer.visible(alice.workspace) == whole
    indexer.assert_clean(alice.workspace)


def test_d2_the_vectors_come_again_from_the_database_alone(alice, indexer):
    """Qdrant is in no backup, as what is backed up makes an equal index."""

    def everything():
        found = indexer.store.search_dense(
            alice.workspace.pk,
            embed_query("return three"),
            generation=Workspace.objects.get(pk=alice.workspace.pk).generation,
            limit=100,
        )
        return indexer.visible(alice.workspace), [
            (hit.payload.path, pytest.approx(hit.score, abs=1e-5)) for hit in found
        ]

    indexer.index(alice.workspace, FILES)
    before = everything()
    indexer.store.drop(alice.workspace.pk)

    assert reconcile(lambda: indexer.store)["rebuilds"] == 1
    indexer.run()

    assert len(before[1]) == 4
    assert everything() == before


def test_a_wrong_count_in_the_database_is_put_right(alice, indexer):
    indexer.index(alice.workspace, FILES)
    Workspace.objects.update(n_chunks=99)

    reconcile(lambda: indexer.store)

    alice.workspace.refresh_from_db()
    assert alice.workspace.n_chunks == 4


def test_an_index_from_before_the_record_is_adopted_as_it_is(alice, indexer):
    indexer.index(alice.workspace, FILES)
    points = dict(indexer.store.scroll(alice.workspace.pk))
    IndexedFile.objects.all().delete()

    done = reconcile(lambda: indexer.store)

    assert done == {"collections": 0, "points": 0, "rebuilds": 0}
    assert dict(indexer.store.scroll(alice.workspace.pk)) == points
    assert IndexedFile.objects.count() == 4


@pytest.fixture
def outdated(alice, indexer):
    indexer.index(alice.workspace, FILES)
    Workspace.objects.update(index_version="old-model/1")
    return alice.workspace


def test_an_outdated_index_serves_until_the_new_one_is_whole(outdated, indexer):
    before = indexer.visible(outdated)

    assert renew_outdated() == 1

    seen = []
    indexer.run(lambda step: seen.append(indexer.visible(outdated) == before))
    outdated.refresh_from_db()
    assert all(seen)
    assert (outdated.generation, outdated.index_version) == (2, INDEX_VERSION)
    indexer.assert_clean(outdated)
    assert renew_outdated() == 0


def test_a_renewal_that_failed_is_not_tried_again_at_once(outdated):
    renew_outdated()
    IndexJob.objects.filter(background=True).update(state="failed", finished_at=now())
    assert renew_outdated() == 0

    IndexJob.objects.update(finished_at=now() - timedelta(days=2))
    assert renew_outdated() == 1


def test_a_few_are_renewed_at_a_time(alice, indexer):
    for n in range(5):
        workspace = create_workspace(user=alice.user, name=f"{n}")
        Workspace.objects.filter(pk=workspace.pk).update(
            generation=1, last_generation=1, index_version="old-model/1"
        )

    assert (renew_outdated(), renew_outdated()) == (4, 0)


def test_j9_a_renewal_gives_way_to_what_somebody_waits_for(outdated, charlie, indexer):
    renew_outdated()
    waited_for = indexer.put(charlie.workspace, FILES)

    assert next_job() == waited_for


def test_an_upload_during_a_renewal_is_not_in_the_background(outdated):
    renew_outdated()
    assert IndexJob.objects.get(state="queued").background

    request_index(outdated)

    assert not IndexJob.objects.get(state="queued").background


def test_a_job_begun_by_another_splitter_begins_anew(alice, indexer, monkeypatch):
    """Half of an index cut in one way and half in another would be neither."""
    indexer.put(alice.workspace, FILES)
    monkeypatch.setattr("workspaces.jobs.leases.Lease.release", lambda lease: None)

    class Stopped(BaseException):
        pass

    def stop(step):
        if step == "progress saved":
            raise Stopped

    with pytest.raises(Stopped):
        indexer.run(stop)
    Workspace.objects.update(lease_until=now() - timedelta(seconds=1))
    for module in ("generations", "manifest", "pipeline", "runner"):
        monkeypatch.setattr(
            f"workspaces.indexing.{module}.INDEX_VERSION", "new-model/3"
        )

    indexer.run()

    alice.workspace.refresh_from_db()
    assert generations.INDEX_VERSION == "new-model/3"
    assert (alice.workspace.generation, alice.workspace.index_version) == (
        2,
        "new-model/3",
    )
    indexer.assert_clean(alice.workspace)
