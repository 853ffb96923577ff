"""Index jobs as they are asked for, joined, cancelled and ended."""

from django.db import transaction

from accounts.webhooks.events import emit
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.metrics import count_index_job
from aiassist.lib.queue import enqueue
from workspaces.content.storage import lock_workspace
from workspaces.errors import JobNotActive
from workspaces.ignoring.skips import FIELDS, Skips
from workspaces.models import IndexJob, JobState, Workspace, WorkspaceStatus

TASK = "workspaces.index"


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
