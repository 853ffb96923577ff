"""A first index serves while it is made: words first, then meaning, told honestly."""

import pytest

from workspaces.finding.serving import serving
from workspaces.indexing import pipeline
from workspaces.jobs.progress import eta_seconds, phase_of
from workspaces.jobs.queue import cancel_job
from workspaces.models import IndexedFile, IndexJob

WORDS = ("apple", "banana", "cherry", "damson", "elder", "fig")
FILES = {
    f"{n:02}.py": f"def {word}(value):\n    return value * {n}\n"
    for n, word in enumerate(WORDS)
}


class Stopped(BaseException):
    """The worker is gone."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Two files a batch in both rounds."""
    monkeypatch.setattr(pipeline, "BATCH_FILES", 2)
    monkeypatch.setattr(pipeline, "WORDS_AT_ONCE", 1)


def stop_at(wanted, nth=1):
    seen = []

    def step(name):
        seen.extend([name] if name == wanted else [])
        if len(seen) == nth and name == wanted:
            raise Stopped

    return step


def run_until(indexer, step):
    with pytest.raises(Stopped):
        indexer.run(step)


def by_words(indexer, workspace, query):
    from workspaces.indexing.keywords import query_terms  # noqa: PLC0415

    found = indexer.store.search_sparse(
        workspace.pk,
        query_terms(query),
        generation=serving(workspace).generation,
        limit=9,
    )
    return [point.payload.path for point in found]


def test_nothing_uploaded_serves_nothing(alice):
    told = serving(alice.workspace)

    assert (told.generation, told.state, told.keywords) == (0, "empty", 0.0)


def test_words_are_found_before_any_vector_is_there(alice, indexer):
    job = indexer.put(alice.workspace, FILES)
    run_until(indexer, stop_at("words saved", nth=2))

    alice.workspace.refresh_from_db()
    told = serving(alice.workspace)
    assert (told.state, told.keywords, told.meaning) == ("building", 0.6667, 0.0)
    assert by_words(indexer, alice.workspace, "damson") == ["03.py"]
    assert by_words(indexer, alice.workspace, "fig") == []
    job.refresh_from_db()
    assert (job.files_read, job.files_done) == (4, 0)
    assert (phase_of(job), eta_seconds(job)) == ("keywords", None)


def test_it_gets_better_as_the_vectors_come(alice, indexer):
    indexer.put(alice.workspace, FILES)
    run_until(indexer, stop_at("progress saved", nth=2))

    alice.workspace.refresh_from_db()
    told = serving(alice.workspace)
    assert (told.state, told.keywords, told.meaning) == ("building", 1.0, 0.6667)
    assert IndexedFile.objects.filter(is_whole=True).count() == 4
    job = IndexJob.objects.get()
    assert (job.files_read, job.files_done, job.chunks_computed) == (6, 4, 4)
    assert phase_of(job) == "embedding"


def test_a_whole_index_says_that_it_is(alice, indexer):
    indexer.index(alice.workspace, FILES)

    told = serving(alice.workspace)
    assert (told.generation, told.state) == (1, "ready")
    assert (told.keywords, told.meaning, told.dense_fits) == (1.0, 1.0, True)
    assert alice.workspace.preview_generation == 0
    indexer.assert_clean(alice.workspace)


def test_a_cancelled_first_index_serves_no_more(alice, indexer):
    indexer.put(alice.workspace, FILES)

    def cancel(step):
        if step == "words saved" and not IndexJob.objects.get().cancel_requested:
            cancel_job(job=IndexJob.objects.get())

    indexer.run(cancel)

    alice.workspace.refresh_from_db()
    assert serving(alice.workspace).state == "empty"
    assert indexer.store.count(alice.workspace.pk) == 0
    assert not IndexedFile.objects.exists()


def test_j7_a_later_index_is_not_served_before_it_is_whole(alice, indexer):
    indexer.index(alice.workspace, FILES)
    indexer.put(alice.workspace, {**FILES, "new.py": "def novelty(): pass\n"})
    run_until(indexer, stop_at("after upsert"))

    alice.workspace.refresh_from_db()
    told = serving(alice.workspace)
    assert (told.generation, told.state) == (1, "refreshing")
    assert by_words(indexer, alice.workspace, "novelty") == []


def test_vectors_of_another_model_are_not_compared_with_a_query(alice, indexer):
    indexer.index(alice.workspace, FILES)
    alice.workspace.index_version = "another-model/1"

    told = serving(alice.workspace)
    assert (told.keywords, told.meaning, told.dense_fits) == (1.0, 0.0, False)


def test_j4_a_large_file_is_written_in_parts_and_taken_up_in_the_middle(
    alice, indexer, monkeypatch
):
    monkeypatch.setattr(pipeline, "BATCH_CHUNKS", 4)
    monkeypatch.setattr("workspaces.jobs.leases.Lease.release", lambda lease: None)
    large = "".join(
        f"def number_{n}(value):\n" + "    value = value * 2 + len(str(value))\n" * 12
        for n in range(12)
    )
    indexer.put(alice.workspace, {"large.py": large})
    run_until(indexer, stop_at("progress saved", nth=2))
    job = IndexJob.objects.get()
    assert (job.cursor, job.cursor_chunks, job.chunks) == ("large.py", 8, 8)

    alice.workspace.lease_until = None
    alice.workspace.save(update_fields=["lease_until"])
    indexer.run()

    job.refresh_from_db()
    assert job.state == "succeeded"
    assert job.chunks_computed == job.chunks > 8
    alice.workspace.refresh_from_db()
    indexer.assert_clean(alice.workspace)
