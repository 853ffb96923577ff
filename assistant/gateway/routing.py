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
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from aiassist.lib import metrics
from aiassist.lib.errors import ProviderError
from aiassist.lib.shared_breaker import breakers
from aiassist.lib.vault import SealBroken
from assistant.catalogue import EXTRACTIVE, Offer
from assistant.errors import (
    OwnKeyRefused,
    ProviderMalformed,
    ProviderMisconfigured,
    ProviderRejected,
    ProviderResting,
    ProviderUnavailable,
)
from assistant.gateway import vitals
from assistant.providers import PROVIDERS
from assistant.providers.base import ChatRequest, Delta

logger = logging.getLogger(__name__)

MAX_TRIES = 3  # at one provider
MAX_WAIT_SECONDS = 3.0  # a provider that asks for more is not tried again
BACKOFF_SECONDS = 0.25
QUOTA = "quota"  # among the models given up on: none was asked, as none was left


@dataclass(slots=True)
class Route:
    """What became of a request on its way. Times in seconds, monotonic."""

    offer: Offer  # who is being asked, or answered
    started_at: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    was_called: bool = False  # a provider has been sent the prompt
    failed: list[str] = field(default_factory=list)  # labels of those given up on
    wanted: Offer = field(init=False)  # the first choice

    def __post_init__(self) -> None:
        self.wanted = self.offer

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


async def answers(
    *, offers: Sequence[Offer], build: Callable[[Offer], ChatRequest], route: Route
) -> AsyncGenerator[Delta, None]:
    """Yield the answer of the first of `offers` that gives one.

    Raises the last provider's ProviderError, and any error after the first token.
    """
    for index, offer in enumerate(offers):
        route.offer = offer
        name = breaker_of(offer)
        try:
            if name and not await breakers.admits(name):
                raise _resting(offer, name)
            async with aclosing(_tries(offer, _built(offer, build), route)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        except ProviderRejected:
            if name:  # it answers, if only to refuse
                breakers.succeeded(name)
            raise
        except ProviderUnavailable as error:
            if name:
                _tell_breaker(name, error)
            if route.first_token_at is not None or index == len(offers) - 1:
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


def _built(offer: Offer, build: Callable[[Offer], ChatRequest]) -> ChatRequest:
    """Return the request, with the key of the offer's place. Raises ProviderError."""
    try:
        return build(offer)
    except SealBroken:
        raise _refusal(offer) from None


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
    return "" if offer.own_key or offer.provider == EXTRACTIVE else offer.label


async def _tries(
    offer: Offer, request: ChatRequest, route: Route
) -> AsyncGenerator[Delta, None]:
    for attempt in range(1, MAX_TRIES + 1):
        try:
            async with aclosing(_one_try(offer, request, route)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        except ProviderError as error:
            metrics.count_provider_error(offer.provider, error.code)
            if offer.own_key and isinstance(error, ProviderMisconfigured):
                raise _refusal(offer) from None
            wait = _wait_before_retry(error, attempt)
            if route.first_token_at is not None or wait is None:
                raise
            await asyncio.sleep(wait)


async def _one_try(
    offer: Offer, request: ChatRequest, route: Route
) -> AsyncGenerator[Delta, None]:
    started = time.monotonic()
    route.was_called = True
    finished = False
    try:
        async with aclosing(PROVIDERS[offer.provider].stream(request)) as deltas:
            async for delta in deltas:
                if route.first_token_at is None and delta.says:
                    route.first_token_at = time.monotonic()
                    if name := breaker_of(offer):
                        breakers.succeeded(name)
                        vitals.note_success(name, route.first_token_at - started)
                finished = finished or bool(delta.finish_reason)
                yield delta
        if not finished:
            raise ProviderMalformed(provider=offer.provider)
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
