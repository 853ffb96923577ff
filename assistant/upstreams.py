"""What staff see and try of the places where models are had."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiassist.lib import shared_breaker
from aiassist.lib.db import in_db
from aiassist.lib.redis import RedisDown
from aiassist.lib.vault import SealBroken
from assistant.catalogue import (
    Offer,
    entered_offers,
    in_order,
    live_models,
    offers_from,
)
from assistant.errors import ProviderMisconfigured, ProviderUnavailable
from assistant.gateway.routing import breaker_of
from assistant.gateway.vitals import Vitals, vitals
from assistant.providers import EMBEDDERS, PROVIDERS
from assistant.providers.base import Access, ChatMessage, ChatRequest
from assistant.providers.embedding import EmbedRequest

TEST_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Health:
    """One place of one model, and how it does. Nothing secret is in it."""

    label: str  # names it: `openai/gpt-…@eu`; of a model without places, its id
    provider: str  # whose wire it speaks
    host: str  # "": as the settings say
    rest_seconds: float = 0.0  # above 0: its breaker is open
    times: int = 0  # how often it opened in a row; above 0 with no rest: half open
    vitals: Vitals = field(default_factory=Vitals)

    @property
    def state(self) -> str:
        if not self.times:
            return "closed"
        return "open" if self.rest_seconds else "half open"

    @property
    def answered(self) -> datetime:
        return datetime.fromtimestamp(self.vitals.answered_at, UTC)

    @property
    def failed(self) -> datetime:
        return datetime.fromtimestamp(self.vitals.failed_at, UTC)


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test."""

    model: str
    took_ms: int


def upstream_health() -> list[Health]:
    """Return every place of every model that staff entered, in the order of asking.

    While Redis is away nothing is known of how they do.
    """
    opened: Mapping[str, tuple[float, int]] = {}
    known: Mapping[str, Vitals] = {}
    try:
        opened, known = shared_breaker.open_now(), vitals()
    except RedisDown:
        pass
    found = []
    for offer in _places():
        rest, times = opened.get(breaker_of(offer), (0.0, 0))
        found.append(
            Health(
                label=offer.label,
                provider=offer.provider,
                host=offer.place.host if offer.place else "",
                rest_seconds=rest,
                times=times,
                vitals=known.get(breaker_of(offer), Vitals()),
            )
        )
    return found


async def try_upstream(label: str) -> Tried:
    """Have one place say one token. Raises ProviderError, also for an unknown one.

    Its breaker is not asked: staff want to know.
    """
    offers = await in_db(_places)
    offer = next((offer for offer in offers if offer.label == label), None)
    if offer is None:
        raise ProviderUnavailable("There is no such place (any more).")
    return await ask_for_a_word(offer)


async def try_provider(name: str) -> Tried:
    """Have a provider's default model say one token. Raises ProviderError."""
    live = await live_models()
    offers = await in_db(lambda: offers_from(entered_offers(), live))
    offer = next((o for o in offers if o.provider == name and not o.lanes), None)
    if offer is None:
        raise ProviderUnavailable("It offers no model now.")
    return await ask_for_a_word(offer)


async def ask_for_a_word(offer: Offer) -> Tried:
    """Send two words to the offer's place. Raises ProviderError."""
    try:
        access = offer.place.access() if offer.place else None
    except SealBroken:
        raise ProviderMisconfigured(
            "Its key belongs to another address. Enter the key again."
        ) from None
    began = time.monotonic()
    try:
        async with asyncio.timeout(TEST_SECONDS):
            await (_embedded if offer.makes_vectors else _said)(offer, access)
    except TimeoutError:
        raise ProviderUnavailable("It said nothing in time.") from None
    return Tried(offer.name, round(1000 * (time.monotonic() - began)))


async def _said(offer: Offer, access: Access | None) -> None:
    question = ChatRequest(
        model=offer.upstream_name,
        messages=(ChatMessage("user", "Say: ok"),),
        max_tokens=16,
        access=access,
        speaks=offer.speaks,
    )
    async with aclosing(PROVIDERS[offer.provider].stream(question)) as deltas:
        async for delta in deltas:
            if delta.says:
                break


async def _embedded(offer: Offer, access: Access | None) -> None:
    await EMBEDDERS[offer.provider].embed(
        EmbedRequest(model=offer.upstream_name, inputs=("Say: ok",), access=access)
    )


def _places() -> list[Offer]:
    """Every usable place; of a model without any, its provider as configured."""
    return [
        place
        for offer in entered_offers()
        for place in in_order(offer, draw=lambda: 0.5)
        if place.place is not None or PROVIDERS[place.provider].is_configured()
    ]
