"""What a tier allows and what is left of it, as numbers, headers and refusals.

Admission, the dry run and `GET /limits` all judge by `refusal_of`.
"""

import math
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from aiassist.lib import clock
from aiassist.lib.errors import QuotaExceeded
from aiassist.lib.records import record
from billing.models import Tier
from billing.tiers.selectors import smallest_tier

HOUR, DAY, CONCURRENCY = "hour", "day", "concurrency"
# A slot frees whenever a call of the user ends; nobody knows when.
SLOT_RETRY_SECONDS = 2


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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
        hour = self.hour.remaining, self.seconds_left(self.hour)
        day = self.day.remaining, self.seconds_left(self.day)
        is_hour = hour[0] < day[0] or (hour[0] == day[0] and hour[1] >= day[1])
        least, (remaining, seconds) = (self.hour, hour) if is_hour else (self.day, day)
        return {
            "x-ratelimit-limit-requests": str(least.limit),
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": str(seconds),
            "RateLimit-Policy": _policy(self.hour.limit, self.day.limit),
            "RateLimit": (
                f'"{HOUR}";r={hour[0]};t={hour[1]}, "{DAY}";r={day[0]};t={day[1]}'
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
    hour_end, day_end = _ends(at.replace(minute=0, second=0, microsecond=0))
    return LimitsSnapshot(
        tier=tier,
        at=at,
        hour=Window(HOUR, tier.requests_per_hour, hour_used, hour_end, 3600),
        day=Window(DAY, tier.requests_per_day, day_used, day_end, 86400),
        concurrency=Window(CONCURRENCY, tier.max_concurrent, concurrent, None, None),
        enforced=enforced,
    )


@lru_cache(maxsize=16)
def _ends(hour: datetime) -> tuple[datetime, datetime]:
    """Return when a clock hour ends, and the day that it is of."""
    return hour + clock.HOUR, clock.day_window(hour)[1]


@lru_cache(maxsize=256)
def _policy(per_hour: int, per_day: int) -> str:
    return f'"{HOUR}";q={per_hour};w=3600, "{DAY}";q={per_day};w=86400'


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
