"""Workspaces, their files, their index and the search over it."""

from importlib import import_module
from typing import TYPE_CHECKING

from django.apps import AppConfig

from aiassist.lib.registry import erasers, health_checks

if TYPE_CHECKING:
    from accounts.models import User


class WorkspacesConfig(AppConfig):
    name = "workspaces"
    verbose_name = "Workspaces"

    def ready(self) -> None:
        import_module("workspaces.privacy")
        import_module("workspaces.tier_limits")
        erasers.register("workspaces", _erase)
        health_checks.register("vector database", _ping)


def _erase(user: "User") -> int:
    # The engine is a heavy import that only some processes need.
    erasing = import_module("workspaces.erasing")
    vectors = import_module("workspaces.vectors")
    n_things: int = erasing.erase_user(user, vectors.get_store)
    return n_things


def _ping() -> None:
    import_module("workspaces.vectors").get_store().ping()
