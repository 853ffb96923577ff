"""A worker's one slice of indexing: whose turn it is, and how the slice ends."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Max, Min

from aiassist.lib.clock import now
from aiassist.lib.errors import AppError
from aiassist.lib.queue import enqueue
from workspaces.content.paths import shown
from workspaces.indexing.generations import INDEX_VERSION
from workspaces.indexing.manifest import Manifest
from workspaces.indexing.pipeline import (
    IndexRun,
    Step,
    StopRequested,
    TurnOver,
    nothing,
)
from workspaces.indexing.records import adopt, begin_generation, put_leftovers_right
from workspaces.jobs.leases import Lease, LeaseLost, locked_by, take_lease
from workspaces.jobs.queue import TASK, end_job
from workspaces.models import IndexJob, JobState, Tombstone
from workspaces.vectors.base import VectorStore

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_USERS = 500  # looked at for the next turn, the longest waiting first
_MOST_BACKOFF_SECONDS = 300


def run_next(get_store: Callable[[], VectorStore], step: Step = nothing) -> bool:
    """Give the next user in line one slice. False: nothing to do.

    A message only says that there is work; the rows say whose turn it is, so that one
    user's thousand messages do not keep another's single job waiting (J9).
    """
    while (job := next_job()) is not None:
        lease = take_lease(job.workspace_id)
        if lease is not None:
            run_slice(job, lease, get_store, step)
            return True
    return False


def next_job() -> IndexJob | None:
    """Return the oldest runnable job of the user who was served longest ago."""
    # What somebody waits for goes before what we renew on our own account.
    return _next_of(background=False) or _next_of(background=True)


def _next_of(*, background: bool) -> IndexJob | None:
    """Ask per user, so that a user's thousand jobs cost no more than one."""
    moment = now()
    runnable = IndexJob.objects.runnable(moment).filter(background=background)
    for user_id in _in_turn(moment, background=background):
        # By creation alone: of two jobs of a workspace only one is runnable.
        own = runnable.filter(user_id=user_id).defer("manifest")
        if (job := own.order_by("created_at", "pk").first()) is not None:
            return job
    return None


def _in_turn(moment: datetime, *, background: bool) -> list[str]:
    """Return the users with work that is due, the longest waiting first."""
    waiting = dict(
        IndexJob.objects.due(moment)
        .filter(background=background)
        .order_by()
        .values("user_id")
        .annotate(first=Min("created_at"))
        .order_by("first")
        .values_list("user_id", "first")[:_MOST_USERS]
    )
    served = dict(
        IndexJob.objects.filter(user_id__in=waiting)
        .order_by()
        .values("user_id")
        .annotate(last=Max("heartbeat_at"))
        .values_list("user_id", "last")
    )
    return sorted(waiting, key=lambda u: (served.get(u) or _EPOCH, waiting[u], u))


def run_slice(
    job: IndexJob,
    lease: Lease,
    get_store: Callable[[], VectorStore],
    step: Step = nothing,
) -> None:
    """Work on the job until it ends, fails for now, or somebody else's turn comes."""
    try:
        step("leased")
        adopt(lease, get_store())
        begun = _begin(job.pk, lease)
        step("begun")
        if begun is not None:
            _run(begun, lease, get_store(), step)
    except LeaseLost:
        _leave_nothing_behind(lease.workspace_id, get_store)
    except AppError as error:
        # Known and passing: the vector database is away. Not the job's fault.
        _put_off(job.pk, error.sentence, blame=error.permanent)
    except Exception as error:  # the worker's outermost loop: one job, not the worker
        # The text of a foreign exception may hold code, so it is not logged.
        logger.error(
            "index slice failed: job=%s error=%s", job.pk, type(error).__name__
        )
        _put_off(job.pk, f"Indexing failed ({type(error).__name__}).", blame=True)
    finally:
        lease.release()


def _run(job: IndexJob, lease: Lease, store: VectorStore, step: Step) -> None:
    if job.is_over:
        put_leftovers_right(job, lease, store)
        return
    try:
        IndexRun(
            job=job,
            lease=lease,
            store=store,
            others_wait=lambda: _others_wait(job),
            step=step,
        ).run()
    except TurnOver:
        _pause(job.pk)
    except StopRequested:
        _end(job.pk, lease, JobState.CANCELLED)
        step("cancelled")
        put_leftovers_right(job, lease, store)


@transaction.atomic
def _begin(job_id: str, lease: Lease) -> IndexJob | None:
    """Start or resume the job, counting the attempt before any work (J4).

    Returns it ended where it was cancelled or has killed too many workers; None
    where there is nothing to do.
    """
    workspace = locked_by(lease)
    job = IndexJob.objects.select_for_update().get(pk=job_id)
    job.workspace = workspace
    if job.is_over:
        return None if job.cleaned_at else job
    if job.parked_at:
        return None
    if job.state == JobState.QUEUED and _another_runs(job):
        return None
    if job.cancel_requested or not _owner_is_live(job):
        end_job(workspace, job, JobState.CANCELLED)
        return job
    if job.attempts >= IndexJob.MAX_ATTEMPTS:
        end_job(workspace, job, JobState.FAILED, _parked(job))
        return job
    if job.state == JobState.QUEUED or _is_outdated(job):
        begin_generation(job, workspace)
        job.state = JobState.RUNNING
        job.started_at = job.started_at or now()
    job.attempts += 1
    job.heartbeat_at = now()
    job.not_before = None
    job.save()
    return job


def _is_outdated(job: IndexJob) -> bool:
    """Tell whether another splitter or model began it: nothing of that is of use."""
    return (
        job.manifest is None or Manifest.unpack(job.manifest).version != INDEX_VERSION
    )


def _another_runs(job: IndexJob) -> bool:
    return IndexJob.objects.running().filter(workspace=job.workspace).exists()


def _owner_is_live(job: IndexJob) -> bool:
    return job.user.is_active and job.user.deleted_at is None


def _parked(job: IndexJob) -> str:
    place = f"after {shown(job.cursor)}" if job.cursor else "at the first file"
    return (
        f"Indexing stopped its worker {job.attempts} times {place}; it was given up. "
        "The index from before is still searched. Remove the file that follows and "
        "start again." + (f" Last error: {job.error}" if job.error else "")
    )


@transaction.atomic
def _end(job_id: str, lease: Lease, state: JobState) -> None:
    workspace = locked_by(lease)
    job = IndexJob.objects.select_for_update().get(pk=job_id)
    if not job.is_over:
        end_job(workspace, job, state)


def _pause(job_id: str) -> None:
    """End the slice in good order; another message takes the job up again."""
    IndexJob.objects.filter(pk=job_id).update(attempts=0, sent_at=now())
    enqueue(TASK, job_id=job_id)


@transaction.atomic
def _put_off(job_id: str, error: str, *, blame: bool) -> None:
    """Try again later, less and less often; only a blamed try counts (J4)."""
    job = (
        IndexJob.objects.active()
        .select_for_update()
        .defer("manifest")
        .filter(pk=job_id)
        .first()
    )
    if job is None:
        return
    job.retries += 1
    job.error = error
    seconds = min(2 ** min(job.retries, 10), _MOST_BACKOFF_SECONDS)
    job.not_before = now() + timedelta(seconds=seconds)
    if not blame:
        job.attempts = 0
    job.save(update_fields=["retries", "error", "not_before", "attempts"])


def _others_wait(job: IndexJob) -> bool:
    moment = now()
    runnable = IndexJob.objects.runnable(moment).exclude(pk=job.pk)
    if job.background and runnable.filter(background=False).exists():
        return True
    return any(
        runnable.filter(user_id=user_id, background=job.background).exists()
        for user_id in _in_turn(moment, background=job.background)
        if user_id != job.user_id
    )


def _leave_nothing_behind(
    workspace_id: str, get_store: Callable[[], VectorStore]
) -> None:
    """What was written into a workspace that is deleted meanwhile goes again (J8)."""
    if Tombstone.objects.filter(pk=workspace_id).exists():
        get_store().drop(workspace_id)
