"""People: sign-up, sign-in, sessions, API keys, privacy, audit log."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate

from accounts.identity.clients import seed_clients


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        import_module("accounts.privacy")
        import_module("accounts.signing_in.receivers")
        post_migrate.connect(_seed_an_empty_table, sender=self)


def _seed_an_empty_table(apps: Apps = installed_apps, **kwargs: Any) -> None:
    # `flush` empties the table too. While migrations go back, the state may not
    # know the apps.
    try:
        seed_clients(apps)
    except LookupError:
        return
