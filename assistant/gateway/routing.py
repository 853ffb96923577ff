"""Ask a provider; try again or ask another one, but only before the first token.

A model may be had in several places (its *upstreams*): they are asked one after the
other, as it is the same model there. What fails everywhere is left alone for a while
by all processes (`aiassist.lib.shared_breaker`).
"""

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiassist.lib import metrics
from aiassist.lib.errors import ProviderError
from aiassist.lib.shared_breaker import breakers
from aiassist.lib.vault import SealBroken
from assistant.catalogue import EXTRACTIVE, Offer
from assistant.errors import (
    OwnKeyRefused,
    ProviderMisconfigured,
    ProviderRejected,
    ProviderResting,
    ProviderUnavailable,
)
from assistant.gateway import vitals
from assistant.providers.embedding import LOCAL

logger = logging.getLogger(__name__)

R = TypeVar("R")

MAX_TRIES = 3  # at one provider
MAX_WAIT_SECONDS = 3.0  # a provider that asks for more is not tried again
BACKOFF_SECONDS = 0.25
QUOTA = "quota"  # among the models given up on: none was asked, as none was left


@dataclass(slots=True)
class Route:
    """What became of a request on its way. Times in seconds, monotonic."""

    offer: Offer  # who is being asked, or answered
    started_at: float = field(default_factory=time.monotonic)
    tried_at: float = 0.0  # the last try began
    first_token_at: float | None = None
    was_called: bool = False  # a provider has been sent the prompt
    failed: list[str] = field(default_factory=list)  # labels of those given up on
    wanted: Offer = field(init=False)  # the first choice

    def __post_init__(self) -> None:
        self.wanted = self.offer

    def speaks(self) -> None:
        """Note that a token has come: from the first one on nobody else is asked."""
        if self.first_token_at is not None:
            return
        self.first_token_at = time.monotonic()
        if name := breaker_of(self.offer):
            breakers.succeeded(name)
            vitals.note_success(name, self.first_token_at - self.tried_at)

    @property
    def fallback(self) -> str:
        """What the usage record says: did another one answer than was chosen first?"""
        if not self.failed:
            return ""
        if self.failed[0] == QUOTA:
            return QUOTA
        return "upstream" if self.offer.id == self.wanted.id else "model"

    def headers(self) -> dict[str, str]:
        """Say in headers who answers, where that is not plain from the request."""
        headers = {}
        if self.offer.lane:
            headers["X-Upstream"] = self.offer.lane
        if self.offer.own_key:
            headers["X-Own-Key"] = "true"
        if self.failed:
            headers["X-Fallback-From"] = _plain(", ".join(self.failed))
            headers["X-Model"] = _plain(self.offer.id)
        return headers

    @property
    def first_token_ms(self) -> int | None:
        if self.first_token_at is None:
            return None
        return round((self.first_token_at - self.started_at) * 1000)


async def first_to_answer(
    offers: Sequence[Offer], attempt: Callable[[Offer], Awaitable[R]], route: Route
) -> R:
    """Return what the first of `offers` answers that gives an answer.

    `attempt` asks one of them once, and tells `route.speaks` of its first token.
    Raises the last provider's ProviderError, and any error after the first token.
    """
    left = deque(offers)
    while True:
        offer = route.offer = left.popleft()
        name = breaker_of(offer)
        try:
            if name and not await breakers.admits(name):
                raise _resting(offer, name)
            return await _tries(offer, attempt, route)
        except ProviderRejected:
            if name:  # it answers, if only to refuse
                breakers.succeeded(name)
            raise
        except ProviderUnavailable as error:
            if name:
                _tell_breaker(name, error)
            if route.first_token_at is not None or not left:
                raise
            route.failed.append(offer.label)
            logger.warning(
                "provider given up, asking the next one",
                extra={"provider": offer.provider, "code": error.code},
            )


def _resting(offer: Offer, name: str) -> ProviderResting:
    rest = math.ceil(breakers.rest_seconds(name))
    return ProviderResting(provider=offer.provider, retry_after_seconds=max(1, rest))


def _tell_breaker(name: str, error: ProviderUnavailable) -> None:
    """Tell what came of a call that gave no answer."""
    if isinstance(error, ProviderResting):
        return  # there was none
    if isinstance(error, ProviderMisconfigured):
        breakers.succeeded(name)  # it answers, if only to refuse
        return
    breakers.failed(name)
    vitals.note_failure(name, error.code)


def _refusal(offer: Offer) -> ProviderMisconfigured:
    """Return what is wrong when a key is not taken: whose it is decides."""
    kind = OwnKeyRefused if offer.own_key else ProviderMisconfigured
    return kind(provider=offer.provider)


def _plain(text: str) -> str:
    """Return what a header can carry: servers name models as they like."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def breaker_of(offer: Offer) -> str:
    """Return the name of its breaker; "" for what has none.

    A user's own key says nothing about others; what runs in here does not go away.
    """
    return "" if offer.own_key or offer.provider in (EXTRACTIVE, LOCAL) else offer.label


async def _tries(
    offer: Offer, attempt: Callable[[Offer], Awaitable[R]], route: Route
) -> R:
    n_tries = 0
    while True:
        n_tries += 1
        try:
            return await _one_try(offer, attempt, route)
        except SealBroken:  # of the key that its place has
            raise _refusal(offer) from None
        except ProviderError as error:
            metrics.count_provider_error(offer.provider, error.code)
            if offer.own_key and isinstance(error, ProviderMisconfigured):
                raise _refusal(offer) from None
            wait = _wait_before_retry(error, n_tries)
            if route.first_token_at is not None or wait is None:
                raise
            await asyncio.sleep(wait)


async def _one_try(
    offer: Offer, attempt: Callable[[Offer], Awaitable[R]], route: Route
) -> R:
    started = route.tried_at = time.monotonic()
    route.was_called = True
    try:
        return await attempt(offer)
    finally:
        first = route.first_token_at
        metrics.observe_provider_call(
            offer.provider,
            seconds=time.monotonic() - started,
            first_token=None if first is None else first - started,
        )


def _wait_before_retry(error: ProviderError, attempt: int) -> float | None:
    """Return how many seconds to wait; None when trying again is no use."""
    if error.permanent or attempt == MAX_TRIES:
        return None
    if error.code == "provider_timeout" and error.details.get("phase") != "connect":
        return None  # the caller has waited long enough for this one
    asked = error.details.get("retry_after_seconds")
    if isinstance(asked, int):
        return float(asked) if asked <= MAX_WAIT_SECONDS else None
    # Full jitter would retry at once too often; half of it spreads a burst enough.
    backoff: float = BACKOFF_SECONDS * 2 ** (attempt - 1)
    return backoff * random.uniform(0.5, 1.0)
