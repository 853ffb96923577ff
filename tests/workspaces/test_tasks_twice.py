"""J3: every task of ours, run twice at one time and once more, has one effect."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from celery import current_app
from django.apps import apps
from django.core import mail
from django.db import connections
from django.db.models import Sum

from accounts.keys import create_key
from accounts.models import (
    AuditEvent,
    DataExport,
    GuessWindow,
    Webhook,
    WebhookDelivery,
)
from accounts.own_data.erasure import delete_user
from accounts.own_data.exports import ask_for_export
from accounts.webhooks.endpoints import create_webhook
from aiassist.lib.clock import now
from billing.metering import refusals
from billing.models import Refusal, UsageDay, UsageRecord
from tests.billing.people import NOON, ask, tier, use
from tests.support.people import Person
from tests.support.queue import SentTasks
from tests.workspaces.git_imports import paths
from tests.workspaces.indexer import Indexer
from workspaces.git.sources import ask_import
from workspaces.models import Blob, GitSource, IndexJob, SourceFile, Workspace
from workspaces.services import delete_workspace

OURS = ("accounts", "billing", "workspaces", "assistant", "aiassist")
FILES = {"a.py": "def one():\n    return 1\n", "b.py": "def two():\n    return 2\n"}
LONG_AGO = timedelta(minutes=5)


class Ground:
    """What a task may need to find, and what it changed."""

    def __init__(self, alice: Person, indexer: Indexer, queue: SentTasks, host: Any):
        self.alice, self.indexer, self.queue, self.host = alice, indexer, queue, host

    def deleted(self) -> str:
        delete_user(self.alice.user, self.alice.user)
        return str(self.alice.user.pk)

    def n_erased(self) -> int:
        self.queue.run()
        return AuditEvent.objects.filter(action="user.erased").count()

    def n_found(self) -> int:
        self.indexer.assert_clean(self.alice.workspace)
        return len(self.indexer.visible(self.alice.workspace))

    def n_found_after_the_queue(self) -> int:
        self.queue.run()
        return self.n_found()

    def imported(self) -> IndexJob:
        return ask_import(
            workspace=self.alice.workspace, url=f"{self.host.url}/code.git"
        )


Arranged = tuple[dict[str, str], Callable[[], int], int]  # arguments, effect, once


def erase(ground: Ground) -> Arranged:
    return {"user_id": ground.deleted()}, ground.n_erased, 1


def sweep_erasures(ground: Ground) -> Arranged:
    ground.deleted()
    ground.queue.clear()
    return {}, ground.n_erased, 1


def export(ground: Ground) -> Arranged:
    asked = ask_for_export(user=ground.alice.user)
    ready = DataExport.objects.filter(state="ready")
    return {"export_id": asked.pk}, ready.count, 1


def warn_of_expiry(ground: Ground) -> Arranged:
    create_key(ground.alice.user, "ending", expires_at=now() + timedelta(days=9))
    return {}, lambda: len(mail.outbox), 1


def tidy_accounts(ground: Ground) -> Arranged:
    GuessWindow.objects.create(key="old", hits=[1.0])
    GuessWindow.objects.update(updated_at=now() - timedelta(days=2))
    return {}, GuessWindow.objects.count, 0


def told(ground: Ground) -> str:
    """Have an event wait for a webhook at an address where nothing may be sent."""
    address = "https://127.0.0.1:9/"
    webhook = Webhook.objects.create(user=ground.alice.user, url=address)
    create_key(ground.alice.user, "told of")
    ground.queue.clear()
    return webhook.pk


def n_tries() -> int:
    return int(WebhookDelivery.objects.aggregate(n=Sum("attempts"))["n"])


def send_webhooks(ground: Ground) -> Arranged:
    return {"webhook_id": told(ground)}, n_tries, 1


def sweep_webhooks(ground: Ground) -> Arranged:
    told(ground)

    def effect() -> int:
        ground.queue.run()
        return n_tries()

    return {}, effect, 1


def sweep_reservations(ground: Ground) -> Arranged:
    ask(ground.alice, now=NOON)
    return {}, UsageRecord.objects.count, 1


def roll_up(ground: Ground) -> Arranged:
    use(ground.alice, now=now() - timedelta(days=1))
    days = UsageDay.objects.filter(user_id=ground.alice.user.pk)
    return {}, lambda: int(days.aggregate(n=Sum("requests"))["n"]), 1


def prune_refusals(ground: Ground) -> Arranged:
    for moment in (NOON - refusals.KEPT, now()):
        Refusal.objects.create(
            user=ground.alice.user,
            minute=moment,
            reason="quota_exceeded (hour)",
            n_calls=1,
            first_at=moment,
            last_at=moment,
        )
    return {}, Refusal.objects.count, 1


def sweep_quotas(ground: Ground) -> Arranged:
    tier("free", requests_per_hour=1)
    create_webhook(
        user=ground.alice.user, url="https://a.test/", event_types=["quota.exceeded"]
    )
    use(ground.alice)
    return {}, WebhookDelivery.objects.count, 1


def index(ground: Ground) -> Arranged:
    job = ground.indexer.put(ground.alice.workspace, FILES)
    return {"job_id": job.pk}, ground.n_found, 2


def fetch(ground: Ground) -> Arranged:
    ground.imported()
    wanted = {"workspace_id": ground.alice.workspace.pk}

    def effect() -> int:
        assert "src/app.py" in paths(ground.alice.workspace)
        return sum("git-upload-pack" in str(asked) for asked in ground.host.asked)

    return wanted, effect, 1


def sweep_imports(ground: Ground) -> Arranged:
    ground.imported()
    GitSource.objects.update(sent_at=now() - LONG_AGO)
    ground.queue.clear()

    def effect() -> int:
        ground.queue.run()
        return IndexJob.objects.filter(state="succeeded").count()

    return {}, effect, 1


def tidy_workspace(ground: Ground) -> Arranged:
    job = ground.indexer.index(ground.alice.workspace, FILES)
    IndexJob.objects.update(cleaned_at=None)
    return {"job_id": job.pk}, ground.n_found, 2


def erase_workspace(ground: Ground) -> Arranged:
    workspace = ground.alice.workspace
    ground.indexer.index(workspace, FILES)
    delete_workspace(workspace=workspace)

    def effect() -> int:
        assert not ground.indexer.store.exists(workspace.pk)
        return sum(model.objects.count() for model in (Blob, SourceFile, IndexJob))

    return {"workspace_id": workspace.pk}, effect, 0


def sweep_jobs(ground: Ground) -> Arranged:
    ground.indexer.put(ground.alice.workspace, FILES)
    IndexJob.objects.update(sent_at=now() - LONG_AGO)
    ground.queue.clear()
    return {}, ground.n_found_after_the_queue, 2


def reconcile(ground: Ground) -> Arranged:
    ground.indexer.index(ground.alice.workspace, FILES)
    ground.indexer.store.ensure("workspace_orphan")
    return {}, lambda: len(list(ground.indexer.store.collections())), 1


def renew_outdated(ground: Ground) -> Arranged:
    ground.indexer.index(ground.alice.workspace, FILES)
    Workspace.objects.update(index_version="of another splitter")
    return {}, IndexJob.objects.filter(background=True).count, 1


TASKS: dict[str, Callable[[Ground], Arranged]] = {
    "accounts.erase": erase,
    "accounts.sweep_erasures": sweep_erasures,
    "accounts.export": export,
    "accounts.warn_of_expiry": warn_of_expiry,
    "accounts.tidy": tidy_accounts,
    "accounts.send_webhooks": send_webhooks,
    "accounts.sweep_webhooks": sweep_webhooks,
    "billing.sweep_reservations": sweep_reservations,
    "billing.sweep_quotas": sweep_quotas,
    "billing.roll_up": roll_up,
    "billing.prune_refusals": prune_refusals,
    "workspaces.index": index,
    "workspaces.fetch": fetch,
    "workspaces.sweep_imports": sweep_imports,
    "workspaces.tidy": tidy_workspace,
    "workspaces.erase": erase_workspace,
    "workspaces.sweep_jobs": sweep_jobs,
    "workspaces.reconcile": reconcile,
    "workspaces.renew_outdated": renew_outdated,
}


def test_j3_every_task_stands_in_the_table():
    current_app.loader.import_default_modules()

    assert {n for n in current_app.tasks if n.startswith(OURS)} == TASKS.keys()


# When somebody last looked, which every run may write down.
LOOKED = {"read_until", "checked_at", "lease_token", "lease_until", "updated_at"}


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return every row of ours."""
    return {
        model._meta.label: list(
            model._base_manager.order_by("pk").values(
                *(f.attname for f in model._meta.fields if f.name not in LOOKED)
            )
        )
        for label in OURS[:4]
        for model in apps.get_app_config(label).get_models()
    }


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.django_db(transaction=True)
def test_j3_a_task_run_twice_has_one_effect(
    request: pytest.FixtureRequest,
    alice: Person,
    indexer: Indexer,
    queue: SentTasks,
    name: str,
):
    current_app.loader.import_default_modules()
    task, both = current_app.tasks[name], Barrier(2)
    host = None
    if name in ("workspaces.fetch", "workspaces.sweep_imports"):
        request.getfixturevalue("repository")
        host = request.getfixturevalue("host")
    arguments, effect, once = TASKS[name](Ground(alice, indexer, queue, host))

    def run(_: int) -> None:
        try:
            both.wait(5)
            task.apply(kwargs=arguments, throw=True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    after_both = rows()
    task.apply(kwargs=arguments, throw=True)

    assert rows() == after_both
    assert effect() == once
