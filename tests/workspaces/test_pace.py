"""Progress and estimates: told from what this installation has measured of itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from aiassist.lib.clock import now
from tests.workspaces.indexer import Indexer
from workspaces.jobs.pace import BYTES_PER_CHUNK, measured_pace
from workspaces.jobs.progress import eta_seconds, progress, progress_of
from workspaces.models import IndexJob, JobPhase, JobState
from workspaces.preview import NamedFile, preview

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ended(alice):
    """Make a first index that has ended: so many passages in so many seconds."""

    def make(chunks=600, seconds=10.0, *, reading=2.0, n_bytes=400_000, **more):
        embedded_from = now() - timedelta(seconds=seconds)
        columns = {
            "workspace": alice.workspace,
            "user": alice.user,
            "state": JobState.SUCCEEDED,
            "generation": 1,
            "phase": JobPhase.EMBEDDING,
            "chunks": chunks,
            "chunks_computed": chunks,
            "bytes_total": n_bytes,
            "started_at": embedded_from - timedelta(seconds=reading),
            "phase_at": embedded_from,
            "finished_at": embedded_from + timedelta(seconds=seconds),
        }
        return IndexJob.objects.create(**columns | more)

    return make


def running(alice, phase, **columns):
    return IndexJob(
        workspace=alice.workspace,
        user=alice.user,
        state=JobState.RUNNING,
        generation=1,
        phase=phase,
        phase_at=now(),
        **columns,
    )


def test_the_pace_is_the_median_of_the_last_jobs(ended):
    for seconds in (5, 6, 60):
        ended(600, seconds)

    pace = measured_pace()

    assert pace.is_measured
    assert pace.chunks_per_second == pytest.approx(100)
    assert pace.bytes_per_second == pytest.approx(200_000)


def test_a_machine_that_became_faster_is_believed(ended):
    for n in range(9):
        ended(600, 60, finished_at=now() - timedelta(days=2 + n))
    for _ in range(9):
        ended(600, 6)

    assert measured_pace().chunks_per_second == pytest.approx(100)


@pytest.mark.parametrize(
    "job",
    [
        {"chunks": 49},
        {"chunks_computed": 3},  # most of it was embedded before
        {"generation": 2},
        {"state": JobState.FAILED},
        {"finished_at": None, "state": JobState.RUNNING},
    ],
)
def test_what_tells_no_pace_is_not_asked(ended, job):
    ended(**job)
    assert not measured_pace().is_measured


def test_a_previews_time_is_that_of_the_measured_pace(alice, ended):
    files = {f"{n}.py": NamedFile(4600) for n in range(100)}
    guessed = preview(workspace=alice.workspace, files=files)
    ended(600, 20, reading=2, n_bytes=400_000)  # 30 a second, 0.2 MB a second

    told = preview(workspace=alice.workspace, files=files)

    assert (guessed.is_measured, told.is_measured) == (False, True)
    assert told.chunks_per_second == 30
    assert told.seconds == pytest.approx(1 + told.chunks / 30 + 460_000 / 200_000, 0.01)


def test_a_real_index_comes_within_a_tenth_and_sets_the_pace(alice, indexer: Indexer):
    """Chunks as estimated; and the next preview counts in this job's speed."""
    names = ("git/importing.py", "git/sources.py", "receiving/sync.py", "errors.py")
    paths = [*(f"workspaces/{name}" for name in names), "docs/public/sync.md"]
    files = {path: (ROOT / path).read_bytes() for path in paths}
    told = {
        path: NamedFile(len(data), head=data[:8000].decode("utf-8", "ignore"))
        for path, data in files.items()
    }
    estimate = preview(workspace=alice.workspace, files=told)

    job = indexer.index(alice.workspace, files)

    assert job.phase_at and job.finished_at
    assert abs(estimate.chunks - job.chunks) <= 0.1 * job.chunks
    seconds = (job.finished_at - job.phase_at).total_seconds()
    again = preview(workspace=alice.workspace, files=told)
    assert again.is_measured
    assert again.chunks_per_second == round(job.chunks_computed / seconds, 1)


def test_progress_moves_while_the_words_are_read_and_ends_at_one(alice, indexer):
    files = {f"m{n}.py": f"def f{n}():\n    return {n}\n" for n in range(60)}
    job = indexer.put(alice.workspace, files)
    seen = []

    def watch(step):
        fresh = IndexJob.objects.get(pk=job.pk)
        seen.append((fresh.phase, fresh.files_done, progress(fresh)))

    indexer.run(watch)
    job.refresh_from_db()

    shares = [share for *_, share in seen]
    assert shares == sorted(shares)
    assert (shares[0], progress(job)) == (0.0, 1.0)
    reading = [share for phase, n_done, share in seen if phase == "keywords"]
    assert reading and 0 < max(reading) < 0.1
    assert all(n_done == 0 for phase, n_done, _ in seen if phase == "keywords")
    assert all(share < 1 for share in shares[:-2]), "the switch is still to come"
    assert progress_of(job)["progress"] == 1.0


def test_a_later_index_tells_its_share_of_what_changed(alice):
    job = running(alice, JobPhase.EMBEDDING, bytes_total=1000, bytes_done=250)
    assert progress(job) == 0.25
    job.state = JobState.CANCELLED
    assert progress(job) == 0.25


def test_nothing_to_embed_is_no_division_by_nothing(alice):
    job = running(alice, JobPhase.EMBEDDING, chunks_total=0)
    assert 0 <= progress(job) < 1
    assert 0 <= progress(running(alice, JobPhase.EMBEDDING)) < 1
    assert 0 <= progress(running(alice, JobPhase.KEYWORDS)) < 1


def test_the_time_left_is_told_from_the_first_moment_on(alice, ended):
    """Before a job has a pace of its own, that of the last jobs counts."""
    n_bytes = 1000 * BYTES_PER_CHUNK
    reading = running(
        alice, JobPhase.KEYWORDS, files_total=100, files_read=50, bytes_total=n_bytes
    )
    embedding = running(alice, JobPhase.EMBEDDING, chunks_total=1000, chunks=100)
    assert (eta_seconds(reading), eta_seconds(embedding)) == (None, None)

    ended(600, 20, reading=2, n_bytes=400_000)

    assert eta_seconds(reading) == pytest.approx(1 + 1000 / 30, abs=1)
    assert eta_seconds(embedding) == 30
    embedding.phase_at = now() - timedelta(seconds=50)
    assert eta_seconds(embedding) == 450, "by now it has a pace of its own"


def test_the_time_left_of_a_later_index_follows_its_bytes(alice):
    job = running(alice, JobPhase.EMBEDDING, bytes_total=1000, bytes_done=250)
    assert eta_seconds(job) is None
    job.phase_at = now() - timedelta(seconds=10)
    assert eta_seconds(job) == 30
