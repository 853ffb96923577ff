"""Tiers, quotas and usage."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate

from aiassist.lib.registry import erasers
from billing.seeds import seed_tiers


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        # Models may be imported from here on.
        privacy = import_module("billing.privacy")
        erasers.register("billing", privacy.erase)
        post_migrate.connect(_seed_an_emptied_table, sender=self)


def _seed_an_emptied_table(apps: Apps = installed_apps, **kwargs: Any) -> None:
    # `flush` empties the table and asks for initial data again by this signal.
    # While migrations go back, the state may not know the tiers.
    try:
        seed_tiers(apps)
    except LookupError:
        return
