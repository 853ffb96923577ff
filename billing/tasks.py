"""Periodic work of billing. Every task may run twice, in sequence or in parallel."""

from celery import shared_task

from billing.metering import refusals
from billing.metering.ledger import sweep_reservations
from billing.metering.quota_events import sweep_quotas
from billing.reporting.rollups import roll_up


@shared_task(name="billing.sweep_reservations")
def sweep_reservations_task() -> None:
    sweep_reservations()


@shared_task(name="billing.sweep_quotas")
def sweep_quotas_task() -> None:
    sweep_quotas()


@shared_task(name="billing.roll_up")
def roll_up_task() -> None:
    roll_up()


@shared_task(name="billing.prune_refusals")
def prune_refusals_task() -> None:
    refusals.prune()
