"""A job that staff put aside: no worker takes it until it is let go on.

It keeps its place and what it has done. A slice that runs ends first, in seconds. A
job that kills its workers is not parked so: the runner gives it up by itself (J4).
"""

from django.db import transaction

from aiassist.lib.clock import now
from aiassist.lib.queue import enqueue
from workspaces.errors import JobNotActive
from workspaces.jobs.queue import TASK
from workspaces.models import IndexJob


def park_job(*, job: IndexJob) -> IndexJob:
    """Put an active job aside. Raises JobNotActive when it is over or parked."""
    return _move(job, from_parked=False)


def release_job(*, job: IndexJob) -> IndexJob:
    """Let a parked job go on. Raises JobNotActive when it is not parked."""
    return _move(job, from_parked=True)


@transaction.atomic
def _move(job: IndexJob, *, from_parked: bool) -> IndexJob:
    fresh = IndexJob.objects.select_for_update().defer("manifest").get(pk=job.pk)
    if fresh.is_over or (fresh.parked_at is not None) is not from_parked:
        raise JobNotActive("This job is not parked." if from_parked else "")
    fresh.parked_at = None if from_parked else now()
    if from_parked:
        fresh.sent_at = now()
        fresh.not_before, fresh.attempts = None, 0
        enqueue(TASK, job_id=fresh.pk)
    fresh.save(update_fields=["parked_at", "sent_at", "not_before", "attempts"])
    return fresh
