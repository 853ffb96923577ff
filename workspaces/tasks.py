"""The workspaces' Celery tasks: ids in, nothing out, each may run twice."""

from celery import shared_task

from workspaces.erasing import erase_workspace
from workspaces.git.importing import run_import, sweep_imports
from workspaces.indexing.runner import run_next
from workspaces.jobs.reconciling import reconcile, renew_outdated
from workspaces.jobs.sweeping import sweep, tidy
from workspaces.vectors import get_store


@shared_task(name="workspaces.index", acks_late=True, reject_on_worker_lost=True)
def index_task(job_id: str) -> None:
    """Give the next job in line a slice; `job_id` only says that one waits."""
    run_next(get_store)


@shared_task(name="workspaces.fetch", acks_late=True)
def fetch_task(workspace_id: str) -> None:
    """Fetch the repository that the workspace follows, if somebody waits for it."""
    run_import(workspace_id)


@shared_task(name="workspaces.sweep_imports")
def sweep_imports_task() -> None:
    sweep_imports()


@shared_task(name="workspaces.tidy", acks_late=True)
def tidy_task(job_id: str) -> None:
    tidy(job_id, get_store)


@shared_task(name="workspaces.erase", acks_late=True)
def erase_task(workspace_id: str) -> None:
    erase_workspace(workspace_id, get_store)


@shared_task(name="workspaces.sweep_jobs")
def sweep_task() -> None:
    sweep()


@shared_task(name="workspaces.reconcile")
def reconcile_task() -> None:
    reconcile(get_store)


@shared_task(name="workspaces.renew_outdated")
def renew_task() -> None:
    renew_outdated()
