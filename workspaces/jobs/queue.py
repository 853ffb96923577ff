"""Index jobs as their owner sees them: asked for, watched, cancelled."""

from django.db import transaction

from accounts.webhooks.events import emit
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.metrics import count_index_job
from aiassist.lib.queue import enqueue
from workspaces.content.storage import lock_workspace
from workspaces.errors import JobNotActive
from workspaces.ignoring.skips import FIELDS, Skips
from workspaces.jobs.pace import BYTES_PER_CHUNK, measured_pace
from workspaces.models import IndexJob, JobPhase, JobState, Workspace, WorkspaceStatus

TASK = "workspaces.index"
_LEAST_PACE_SECONDS = 2.0  # a shorter time tells no pace
_READING_SHARE = 0.05  # of a first index's time, as measured
_MOST_BEFORE_THE_END = 0.999  # the switch to the new index is still to come


def request_index(
    workspace: Workspace,
    *,
    skips: Skips | None = None,
    rebuild: bool = False,
    background: bool = False,
) -> IndexJob:
    """Ask for an index of the files as they are now; the caller holds the lock.

    A job that waits already is joined: it will see the same files. An import's job is
    not, as it may wait for its code a while.
    """
    left_out = skips or Skips()
    job = IndexJob.objects.filter(
        workspace=workspace, state=JobState.QUEUED, imported=False
    ).first()
    if job is None:
        job = IndexJob(
            workspace=workspace,
            user_id=workspace.user_id,
            files_total=workspace.n_files,
            rebuild=rebuild,
            background=background,
            sent_at=now(),
        )
        left_out.store_in(job)
        job.save()
    else:
        job.background = job.background and background
        _join(job, left_out, rebuild, workspace.n_files)
    workspace.status = WorkspaceStatus.INDEXING
    workspace.save(update_fields=["status", "updated_at"])
    enqueue(TASK, job_id=job.pk)
    return job


def _join(job: IndexJob, left_out: Skips, rebuild: bool, n_files: int) -> None:
    skips = Skips()
    skips.extend(left_out)
    skips.extend(Skips.of(job))
    skips.store_in(job)
    job.rebuild = job.rebuild or rebuild
    job.files_total = n_files
    job.save(update_fields=[*FIELDS, "rebuild", "background", "files_total"])


@transaction.atomic
def request_rebuild(*, workspace: Workspace) -> IndexJob:
    """Index every file anew, trusting nothing that is there."""
    return request_index(lock_workspace(workspace), rebuild=True)


@transaction.atomic
def cancel_job(*, job: IndexJob) -> IndexJob:
    """Stop a job. A running one ends between two batches; the old index stays.

    Raises JobNotActive when it is over.
    """
    workspace = lock_workspace(job.workspace)
    fresh = IndexJob.objects.select_for_update().defer("manifest").get(pk=job.pk)
    if fresh.is_over:
        raise JobNotActive(f"This job is over: it {_ENDED[JobState(fresh.state)]}.")
    fresh.cancel_requested = True
    fresh.parked_at = None
    fresh.save(update_fields=["cancel_requested", "parked_at"])
    if fresh.state == JobState.QUEUED:
        fresh.cleaned_at = now()  # it never wrote anything
        fresh.save(update_fields=["cleaned_at"])
        end_job(workspace, fresh, JobState.CANCELLED)
    else:
        # Between two slices nobody is there to notice; this message wakes one.
        enqueue(TASK, job_id=fresh.pk)
    return fresh


_ENDED = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "was cancelled already",
}


def end_job(
    workspace: Workspace, job: IndexJob, state: JobState, error: str = ""
) -> None:
    """Close the job and tell the workspace's status; the caller holds the lock."""
    job.state = state
    job.error = error
    job.finished_at = now()
    job.manifest = None
    job.save(update_fields=["state", "error", "finished_at", "manifest", "cleaned_at"])
    waiting = IndexJob.objects.for_workspace(workspace).active().first()
    if waiting is not None:
        workspace.status = WorkspaceStatus.INDEXING
        # Its own message may have come while this job was in the way.
        enqueue(TASK, job_id=waiting.pk)
    elif state == JobState.FAILED:
        workspace.status = WorkspaceStatus.FAILED
    elif workspace.generation:
        workspace.status = WorkspaceStatus.READY
    else:
        workspace.status = WorkspaceStatus.EMPTY
    if workspace.preview_generation == job.generation:
        workspace.preview_generation = 0
    workspace.save(update_fields=["status", "preview_generation", "updated_at"])
    emit(user_id=job.user_id, event_type=f"job.{state}", data=_event_data(job))
    transaction.on_commit(lambda: _count(job))


def _event_data(job: IndexJob) -> dict[str, object]:
    """Return what webhooks are told of a job: no path and no sentence is in it."""
    return {
        "job_id": job.pk,
        "workspace_id": job.workspace_id,
        "state": job.state,
        "background": job.background,
        "files_total": job.files_total,
        "files_done": job.files_done,
        "chunks": job.chunks,
        "n_skipped": job.n_skipped,
        "created_at": rfc3339(job.created_at),
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
    }


def _count(job: IndexJob) -> None:
    began = job.started_at or job.created_at
    count_index_job(
        job.state,
        seconds=(job.finished_at - began).total_seconds() if job.finished_at else 0.0,
        files=job.files_done,
        chunks=job.chunks,
    )


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
