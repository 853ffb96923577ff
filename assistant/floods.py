"""Hold back a flood of calls that fail: they cost no quota, so nothing else would.

Counted in this process and per credential, for one minute at a time: a count shared
through Redis would cost every good call a round trip.
"""

import time
from collections.abc import Mapping

from django.conf import settings

from aiassist.lib.errors import TooManyAttempts

FAILURES_PER_MINUTE = 1200  # as many as the other metered doors let one user make
_MAX_COUNTED = 100_000  # credentials; a flood of invented ones forgets the others


class Floods:
    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[int, int] = {}

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise TooManyAttempts when this credential has failed too often."""
        if not self._counts or not settings.RATE_LIMIT_ENABLED:
            return
        now = time.time()
        if self._counts_of(now).get(_key(headers), 0) < FAILURES_PER_MINUTE:
            return
        seconds = max(1, 60 - int(now % 60))
        raise TooManyAttempts(
            f"Too many failing calls in a short time. Try again in {seconds} seconds.",
            policy="metered",
            scope="credential",
            limit=FAILURES_PER_MINUTE,
            used=FAILURES_PER_MINUTE,
            resets_at=None,
            retry_after_seconds=seconds,
            alternatives=[f"Wait {seconds} seconds, then go slower."],
        )

    def count(self, headers: Mapping[str, str]) -> None:
        """Note a call that failed."""
        counts, key = self._counts_of(time.time()), _key(headers)
        if len(counts) >= _MAX_COUNTED:
            counts.clear()
        counts[key] = counts.get(key, 0) + 1

    def _counts_of(self, now: float) -> dict[int, int]:
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        return self._counts


def _key(headers: Mapping[str, str]) -> int:
    """Return a number for the credential; Python's hash is salted per process."""
    return hash((headers.get("authorization"), headers.get("x-api-key")))
