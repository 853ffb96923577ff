"""What a tier allows and what is left of it, as numbers, headers and refusals.

Admission, the dry run and `GET /limits` all judge by `refusal_of`.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from aiassist.lib import clock
from aiassist.lib.errors import QuotaExceeded
from billing.models import Tier
from billing.selectors import smallest_tier

HOUR, DAY, CONCURRENCY = "hour", "day", "concurrency"
# A slot frees whenever a call of the user ends; nobody knows when.
SLOT_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Window:
    """One limit and how much of it is used."""

    policy: str
    limit: int
    used: int
    resets_at: datetime | None  # None: when a running call ends
    window_seconds: int | None  # None: not a window of time

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class LimitsSnapshot:
    """A user's limits at one moment."""

    tier: Tier
    at: datetime
    hour: Window
    day: Window
    concurrency: Window
    enforced: bool = True  # False: RATE_LIMIT_ENABLED is off, all are admitted

    @property
    def windows(self) -> tuple[Window, Window, Window]:
        return self.hour, self.day, self.concurrency

    def headers(self) -> dict[str, str]:
        """Return the rate limit headers of a metered answer.

        `x-ratelimit-*` tell of the window with the least left, of two alike the
        one that lasts longer. Source: draft-ietf-httpapi-ratelimit-headers-10.
        """
        if not self.enforced:
            return {}
        timed = (self.hour, self.day)
        least = min(timed, key=lambda w: (w.remaining, -self.seconds_left(w)))
        return {
            "x-ratelimit-limit-requests": str(least.limit),
            "x-ratelimit-remaining-requests": str(least.remaining),
            "x-ratelimit-reset-requests": str(self.seconds_left(least)),
            "RateLimit-Policy": ", ".join(
                f'"{w.policy}";q={w.limit};w={w.window_seconds}' for w in timed
            ),
            "RateLimit": ", ".join(
                f'"{w.policy}";r={w.remaining};t={self.seconds_left(w)}' for w in timed
            ),
        }

    def seconds_left(self, window: Window) -> int:
        """Return whole seconds, at least 1, until there is room again."""
        if window.resets_at is None:
            return SLOT_RETRY_SECONDS
        return max(1, math.ceil((window.resets_at - self.at).total_seconds()))

    def after_return(self) -> "LimitsSnapshot":
        """Return the limits once this call's hold is given back."""
        hour, day, concurrency = (
            replace(w, used=max(0, w.used - 1)) for w in self.windows
        )
        return replace(self, hour=hour, day=day, concurrency=concurrency)


def snapshot(
    tier: Tier,
    at: datetime,
    *,
    hour_used: int,
    day_used: int,
    concurrent: int,
    enforced: bool,
) -> LimitsSnapshot:
    """Put counts and the tier's limits together."""
    hour_end, day_end = clock.hour_window(at)[1], clock.day_window(at)[1]
    return LimitsSnapshot(
        tier=tier,
        at=at,
        hour=Window(HOUR, tier.requests_per_hour, hour_used, hour_end, 3600),
        day=Window(DAY, tier.requests_per_day, day_used, day_end, 86400),
        concurrency=Window(CONCURRENCY, tier.max_concurrent, concurrent, None, None),
        enforced=enforced,
    )


def refusal_of(limits: LimitsSnapshot, *, requests: int = 1) -> QuotaExceeded | None:
    """Return why `requests` more calls would be refused, None when they would not.

    Of several full windows the one that lasts longest is named: waiting for the
    others would not help. Concurrency is judged for one call at a time.
    """
    if not limits.enforced:
        return None
    if limits.day.used + requests > limits.day.limit:
        return _exceeded(limits, limits.day)
    if limits.hour.used + requests > limits.hour.limit:
        return _exceeded(limits, limits.hour)
    if limits.concurrency.used >= limits.concurrency.limit:
        return _exceeded(limits, limits.concurrency)
    return None


def _exceeded(limits: LimitsSnapshot, window: Window) -> QuotaExceeded:
    code = limits.tier.code
    if window.policy == CONCURRENCY:
        sentence = (
            f"{window.used} of your calls are running; your tier '{code}' allows "
            f"{window.limit} at one time."
        )
        wait = "Wait until one of your running calls has ended."
    else:
        sentence = (
            f"{window.used} of the {window.limit} requests that your tier '{code}' "
            f"allows in this {window.policy} are used."
        )
        wait = f"Wait until {_until(window)}."
    better = _roomier(limits.tier, window)
    alternatives = [wait]
    if better is not None:
        alternatives.append(
            f"Move to the tier '{better.code}' ({_limit_of(better, window.policy)} "
            f"{_UNITS[window.policy]})."
        )
    return QuotaExceeded(
        sentence,
        policy=window.policy,
        scope="user",
        limit=window.limit,
        used=window.used,
        resets_at=window.resets_at and clock.rfc3339(window.resets_at),
        retry_after_seconds=limits.seconds_left(window),
        alternatives=alternatives,
        headers=limits.headers(),
    )


_UNITS = {
    HOUR: "requests an hour",
    DAY: "requests a day",
    CONCURRENCY: "calls at one time",
}


def _until(window: Window) -> str:
    return clock.rfc3339(window.resets_at) if window.resets_at else "a call ends"


def _limit_of(tier: Tier, policy: str) -> int:
    return {
        HOUR: tier.requests_per_hour,
        DAY: tier.requests_per_day,
        CONCURRENCY: tier.max_concurrent,
    }[policy]


def _roomier(tier: Tier, window: Window) -> Tier | None:
    return smallest_tier(lambda other: _limit_of(other, window.policy) > window.limit)
