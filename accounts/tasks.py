"""What the worker does for accounts. Each may run twice."""

from celery import shared_task
from django.core.management import call_command

from accounts import expiry, idempotency
from accounts.identity import grants, newcomers
from accounts.own_data import erasure, exports, unconfirmed
from accounts.signing_in import guessing, tokens
from accounts.webhooks import sending


@shared_task(name="accounts.erase", acks_late=True, reject_on_worker_lost=True)
def erase_task(user_id: str) -> None:
    erasure.erase(user_id)


@shared_task(name="accounts.sweep_erasures")
def sweep_erasures_task() -> None:
    erasure.sweep()
    exports.sweep()


@shared_task(name="accounts.export", acks_late=True, reject_on_worker_lost=True)
def export_task(export_id: str) -> None:
    exports.build(export_id)


@shared_task(name="accounts.warn_of_expiry")
def warn_of_expiry_task() -> None:
    expiry.warn_of_expiry()


@shared_task(name="accounts.send_webhooks", acks_late=True)
def send_webhooks_task(webhook_id: str) -> None:
    sending.send_waiting(webhook_id)


@shared_task(name="accounts.sweep_webhooks")
def sweep_webhooks_task() -> None:
    sending.sweep()
    sending.tell_owners()


@shared_task(name="accounts.tidy")
def tidy_task() -> None:
    """Drop what has run out: counters, exports, answers, tokens, sign-ups …"""
    guessing.forget_old()
    idempotency.forget_old()
    exports.forget_old()
    tokens.forget_old()
    grants.forget_old()
    newcomers.forget_unused()
    unconfirmed.forget_unconfirmed()
    sending.forget_old()
    call_command("clearsessions")
