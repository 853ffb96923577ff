"""What a function makes of the settings alone is made once.

Settings stand as long as a process; of tests that change one, Django's signal tells.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from django.core.signals import setting_changed

R = TypeVar("R")


def of_settings(read: Callable[[], R]) -> Callable[[], R]:
    """Keep what `read` returns until a setting changes."""
    kept = cache(read)

    def forget(**change: object) -> None:
        kept.cache_clear()

    setting_changed.connect(forget, weak=False)
    return kept
