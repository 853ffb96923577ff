"""How far an index job is and how long it will still run, as its owner sees it."""

from aiassist.lib.clock import now
from workspaces.jobs.pace import BYTES_PER_CHUNK, measured_pace
from workspaces.models import IndexJob, JobPhase, JobState

_LEAST_PACE_SECONDS = 2.0  # a shorter time tells no pace
_READING_SHARE = 0.05  # of a first index's time, as measured
_MOST_BEFORE_THE_END = 0.999  # the switch to the new index is still to come


def phase_of(job: IndexJob) -> str:
    """Return queued, fetching, parked, keywords, embedding or ended."""
    if job.is_over:
        return "ended"
    if job.parked_at:
        return "parked"
    if job.fetching:
        return "fetching"
    return job.phase or "queued"


def progress(job: IndexJob) -> float:
    """Return the share of the work that is done, 0 to 1.

    A first index reads every file before it embeds the first passage, so that files
    that are done would stand at 0 for a while.
    """
    if job.state == JobState.SUCCEEDED:
        return 1.0
    if job.phase == JobPhase.KEYWORDS:
        share = _READING_SHARE * job.files_read / max(1, job.files_total)
    elif job.phase == JobPhase.EMBEDDING and job.chunks_total is not None:
        share = job.chunks / max(1, job.chunks_total)
        share = _READING_SHARE + (1 - _READING_SHARE) * share
    elif job.phase == JobPhase.EMBEDDING:
        share = job.bytes_done / max(1, job.bytes_total)
    else:
        share = 0.0
    return round(min(share, _MOST_BEFORE_THE_END), 3)


def eta_seconds(job: IndexJob) -> int | None:
    """Return how long the job will still run; None: nothing tells yet.

    At its own pace by the clock, waiting for others' turns included; until that is
    known at the pace of this installation's last jobs.
    """
    if job.is_over:
        return 0
    if job.phase == JobPhase.KEYWORDS:
        return _eta_of_reading(job)
    if job.phase != JobPhase.EMBEDDING or job.phase_at is None:
        return None
    seconds = (now() - job.phase_at).total_seconds()
    if job.chunks_total is None:
        done, wanted = job.bytes_done, job.bytes_total
    else:
        done, wanted = job.chunks, job.chunks_total
    if done and seconds >= _LEAST_PACE_SECONDS:
        return max(round(seconds * (wanted - done) / done), 0)
    pace = measured_pace()
    if not pace.is_measured or job.chunks_total is None:
        return None
    return round(pace.seconds_to_embed(wanted - done))


def _eta_of_reading(job: IndexJob) -> int | None:
    pace = measured_pace()
    if not pace.is_measured:
        return None
    unread = 1 - min(1.0, job.files_read / max(1, job.files_total))
    return round(
        pace.seconds_to_read(unread * job.bytes_total)
        + pace.seconds_to_embed(job.bytes_total / BYTES_PER_CHUNK)
    )


def progress_of(job: IndexJob) -> dict[str, object]:
    """Return the job as the API and its event stream show it."""
    return {
        "id": job.pk,
        "workspace_id": job.workspace_id,
        "state": job.state,
        "phase": phase_of(job),
        "progress": progress(job),
        "files_total": job.files_total,
        "files_read": job.files_read,
        "files_done": job.files_done,
        "chunks": job.chunks,
        "chunks_total": job.chunks_total,
        "chunks_computed": job.chunks_computed,
        "eta_seconds": eta_seconds(job),
        "skipped": job.skipped,
        "n_skipped": job.n_skipped,
        "skipped_reasons": job.skipped_reasons,
        "error": job.error,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
