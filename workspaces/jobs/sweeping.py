"""What runs on a clock: lost messages, unfinished clean-ups (J5, J8)."""

from collections.abc import Callable
from datetime import timedelta

from aiassist.lib.clock import now
from aiassist.lib.queue import enqueue
from workspaces.git.importing import break_fetches
from workspaces.indexing.records import put_leftovers_right
from workspaces.jobs.leases import LeaseLost, break_leases, take_lease
from workspaces.jobs.queue import TASK
from workspaces.models import IndexJob, Tombstone
from workspaces.receiving.sync import expire_syncs
from workspaces.vectors.base import VectorStore

_MOST_SENT = 100  # messages per sweep; the rows keep the order of turns


def sweep() -> None:
    """Send again what a dead broker or worker lost; every 15 seconds."""
    _send_lost_jobs()
    _send_unclean_jobs()
    for tombstone in Tombstone.objects.unconfirmed()[:_MOST_SENT]:
        enqueue("workspaces.erase", workspace_id=tombstone.pk)
    expire_syncs()


def resume_interrupted() -> int:
    """Take up at once what the last process left; return how many jobs.

    Only where no other process can be at work: the embedded start-up.
    """
    break_leases()
    active = IndexJob.objects.active().filter(workspace__deleted_at=None)
    keys = list(active.values_list("pk", flat=True))
    active.update(not_before=None, sent_at=now())
    for key in keys:
        enqueue(TASK, job_id=key)
    sweep()
    break_fetches()
    return len(keys)


def _send_lost_jobs() -> None:
    moment = now()
    lost = IndexJob.objects.runnable(moment).exclude(
        sent_at__gt=moment - IndexJob.RESEND_AFTER
    )
    keys = list(lost.order_by("created_at").values_list("pk", flat=True)[:_MOST_SENT])
    IndexJob.objects.filter(pk__in=keys).update(sent_at=moment)
    for key in keys:
        enqueue(TASK, job_id=key)


def _send_unclean_jobs() -> None:
    unclean = IndexJob.objects.unclean().filter(
        workspace__deleted_at=None, finished_at__lt=now() - timedelta(seconds=10)
    )
    for key in unclean.values_list("pk", flat=True)[:_MOST_SENT]:
        enqueue("workspaces.tidy", job_id=key)


def tidy(job_id: str, get_store: Callable[[], VectorStore]) -> None:
    """Remove the points that an ended job left, unless somebody works there now."""
    job = IndexJob.objects.unclean().filter(pk=job_id).first()
    lease = take_lease(job.workspace_id) if job else None
    if job is None or lease is None:
        return
    try:
        put_leftovers_right(job, lease, get_store())
    except LeaseLost:
        return
    finally:
        lease.release()
