"""Where a higher app registers what a lower one must reach without importing it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Registry:
    """Named callables, in the order of registration."""

    entries: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Add or replace an entry; called from an AppConfig's ready()."""
        self.entries[name] = function

    def items(self) -> Iterable[tuple[str, Callable[..., Any]]]:
        """Return (name, function) pairs."""
        return tuple(self.entries.items())


# name -> function() -> None; raises when the dependency is away
health_checks = Registry()
# name -> function(user) -> int; removes the app's data of a user outside the
# database rows that cascade (vectors, files), returns how many things went
erasers = Registry()
# name -> function(user, tier, n) -> None; raises LimitRefused as the real call would
limit_judges = Registry()
# column of a tier -> function(users, limit) -> [(user id, what they hold)] of those of
# the queryset who hold more than the limit
tier_holdings = Registry()
