"""What beat sends: each task exists and has nothing to do on an empty platform."""

import pytest
from celery import Task, current_app
from django.conf import settings

SCHEDULE = settings.CELERY_BEAT_SCHEDULE


@pytest.mark.parametrize("entry", SCHEDULE)
def test_whatever_is_scheduled_runs(db: None, vectors: object, entry: str):
    current_app.loader.import_default_modules()
    task: Task[..., None] = current_app.tasks[str(SCHEDULE[entry]["task"])]

    task.apply(throw=True)


def test_whatever_sweeps_or_tidies_is_scheduled():
    """A task by these verbs that beat never sends would do nothing."""
    current_app.loader.import_default_modules()
    verbs = ("sweep_", "tidy", "roll_up", "reconcile", "renew_", "warn_")
    periodic = {
        name
        for name in current_app.tasks
        if name.partition(".")[2].startswith(verbs) and "celery" not in name
    }

    # That one follows a job that was ended.
    assert periodic - {"workspaces.tidy"} <= {e["task"] for e in SCHEDULE.values()}
