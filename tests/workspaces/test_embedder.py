"""The model reads passages while the job cuts the next ones and writes the last."""

import threading

import numpy as np
import pytest

from workspaces.indexing import pipeline, reuse
from workspaces.indexing.embedding import n_threads
from workspaces.indexing.reuse import Embedder
from workspaces.jobs.queue import cancel_job
from workspaces.models import ChunkEmbedding
from workspaces.vectors.base import EMBEDDING_DIM

FILES = {f"{n}.py": f"def f{n}():\n    return {n}\n" for n in range(4)}


def nothing():
    pass


def test_a_batch_is_asked_for_before_the_last_one_is_written(
    alice, indexer, monkeypatch
):
    monkeypatch.setattr(pipeline, "BATCH_FILES", 2)
    indexer.put(alice.workspace, FILES)
    steps: list[str] = []

    indexer.run(steps.append)

    told = [step for step in steps if step in ("before embed", "before upsert")]
    assert told == ["before embed", "before embed", "before upsert", "before upsert"]


def test_what_two_batches_under_way_share_is_embedded_once(alice):
    with Embedder(alice.workspace, nothing) as embedder:
        first = embedder.ask(["one", "shared"])
        second = embedder.ask(["shared", "two"])
        before, after = embedder.vectors(first), embedder.vectors(second)

    assert (len(first.coming), len(second.coming)) == (2, 1)
    assert np.array_equal(before[1], after[0])
    assert ChunkEmbedding.objects.count() == 3


class Hanging:
    """A model that reads nothing to its end until it is told to."""

    def __init__(self):
        self.calls = []
        self.go_on = threading.Event()

    def __call__(self, text):
        self.calls.append(text)
        assert self.go_on.wait(30)
        return np.ones(EMBEDDING_DIM, np.float32)


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(reuse, "_LOOK_UP_SECONDS", 0.01)
    hanging = Hanging()
    monkeypatch.setattr(reuse, "embed_passage", hanging)
    yield hanging
    hanging.go_on.set()


def test_a_cancel_is_heard_while_the_model_is_at_work(alice, model):
    looks: list[int] = []

    def stop_at_the_third_look():
        looks.append(len(looks))
        if len(looks) == 3:
            model.go_on.set()
            raise pipeline.StopRequested

    texts = [f"passage {n}" for n in range(50)]
    with (
        pytest.raises(pipeline.StopRequested),
        Embedder(alice.workspace, stop_at_the_third_look) as embedder,
    ):
        embedder.vectors(embedder.ask(texts))

    assert len(looks) == 3
    # Each thread may have begun another one; the rest was never read.
    assert len(model.calls) <= 2 * n_threads()
    assert not ChunkEmbedding.objects.exists()


def test_a_job_cancelled_while_the_model_is_at_work_ends(alice, indexer, model):
    job = indexer.put(alice.workspace, FILES)

    def cancel(step):
        if step == "before embed":
            cancel_job(job=job)
            threading.Timer(0.1, model.go_on.set).start()

    indexer.run(cancel)

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert indexer.store.count(alice.workspace.pk) == 0
