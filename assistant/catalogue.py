"""Which models a caller may use, and which one answers when none is named."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from accounts.models import User
from aiassist.lib.db import in_db
from assistant.errors import UnknownModel
from assistant.models import OPENAI_RESPONSES, AIModel, ProviderKey, Upstream
from assistant.places import Place
from assistant.providers import EMBEDDERS, PROVIDERS
from assistant.providers.base import Provider
from assistant.providers.embedding import LOCAL, LOCAL_MODEL, Embedder
from assistant.providers.listing import makes_vectors
from assistant.providers.vendors import VENDORS
from billing.metering.gates import require_provider
from billing.metering.prices import cost_usd_micros
from billing.models import Tier
from workspaces.indexing.embedding import MAX_TOKENS

AUTO = "auto"  # a model's name for clients that must name one: take the default
EXTRACTIVE = "extractive"
# Providers without a fixed list: they have what they say they have. Others may say it
# too (a server that is compatible with OpenAI); else the catalogue's rows count.
_ONLY_LIVE = ("ollama",)
EMBEDDINGS = "embeddings"  # the feature of models that make vectors and cannot chat


Speaks = Literal["", "responses"]


@dataclass(frozen=True, slots=True)
class Lane:
    """One of several places where a model can be had."""

    name: str
    provider: str  # whose wire it speaks
    upstream_name: str
    priority: int
    weight: int
    place: Place | None  # None: as the settings name the provider
    speaks: Speaks = ""

    @property
    def is_usable(self) -> bool:
        return self.place is not None or PROVIDERS[self.provider].is_configured()


@dataclass(frozen=True, slots=True)
class Offer:
    """One model that can be asked right now."""

    provider: str
    name: str
    upstream_name: str
    context_window: int | None = None  # in tokens; None: as much as the tier allows
    price_in_usd_micros: int = 0  # for a million tokens
    price_out_usd_micros: int = 0
    features: tuple[str, ...] = ()  # empty: all
    lanes: tuple[Lane, ...] = ()  # empty: at the provider's configured address alone
    # Of a model that has lanes, on its way: which one, and what the model is called.
    lane: str = ""
    alias: str = ""
    place: Place | None = None
    speaks: Speaks = ""  # which of its provider's wires, if not the usual one
    own_key: bool = False  # the user's own key pays for it

    @property
    def id(self) -> str:
        """What callers name it: `openai/gpt-…`; plain `extractive`."""
        if self.alias or self.provider == EXTRACTIVE:
            return self.alias or self.name
        return f"{self.provider}/{self.name}"

    @property
    def label(self) -> str:
        """What headers and records call it, its place included."""
        return f"{self.id}@{self.lane}" if self.lane else self.id

    @property
    def parameters(self) -> tuple[str, ...]:
        """What a request may set and this model's provider heeds."""
        if self.makes_vectors:
            return ("dimensions", "encoding_format")
        if not PROVIDERS[self.provider].takes_tools:
            return ("max_tokens", "stop")
        return (
            *("max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice"),
            *("response_format", "structured_outputs", "reasoning_effort"),
        )

    @property
    def makes_vectors(self) -> bool:
        return EMBEDDINGS in self.features

    def serves(self, feature: str) -> bool:
        return not self.features or feature in self.features

    def is_called(self, name: str) -> bool:
        return name in (self.id, self.name, self.upstream_name)

    def cost_usd_micros(self, tokens_in: int, tokens_out: int) -> int:
        if self.own_key:
            return 0
        return cost_usd_micros(
            tokens_in, tokens_out, self.price_in_usd_micros, self.price_out_usd_micros
        )


Live = Mapping[str, Sequence[str]]  # provider -> names it offers right now


async def live_models() -> Live:
    """Ask those providers that list their models themselves."""
    asked = [
        p for p in PROVIDERS.values() if p.name != EXTRACTIVE and p.is_configured()
    ]
    listed = await asyncio.gather(*(provider.models() for provider in asked))
    return {p.name: names for p, names in zip(asked, listed, strict=True) if names}


async def live_embedders() -> Live:
    """Do as `live_models` for models that make vectors."""
    asked = [e for e in EMBEDDERS.values() if e.is_configured()]
    listed = await asyncio.gather(*(embedder.embedders() for embedder in asked))
    return {e.name: names for e, names in zip(asked, listed, strict=True) if names}


async def offers_for(tier: Tier, user: User) -> list[Offer]:
    """Return the models that the user may use, in the order of a default choice."""
    live = await live_models()
    return allowed(await in_db(lambda: offers_of(user, tier, live)), tier)


async def embedders_for(tier: Tier, user: User) -> list[Offer]:
    """Do as `offers_for` for models that make vectors."""
    live = await live_embedders()
    return allowed(await in_db(lambda: embedders_of(user, tier, live)), tier)


def offers_of(user: User, tier: Tier, live: Live) -> list[Offer]:
    """Return what the user can ask now, by their own keys where they have any."""
    entered = entered_offers()
    keys = own_keys_of(user) if uses_own_keys(user, tier) else ()
    return with_own_keys(keys, entered, offers_from(entered, live))


def embedders_of(user: User, tier: Tier, live: Live) -> list[Offer]:
    """Do as `offers_of` for models that make vectors; the local one first."""
    entered = entered_offers()
    keys = own_keys_of(user) if uses_own_keys(user, tier) else ()
    offers = embedders_from(entered, live)
    found = with_own_keys(keys, entered, offers, for_vectors=True)
    return [replace(offer, features=(EMBEDDINGS,)) for offer in found]


def uses_own_keys(user: User, tier: Tier) -> bool:
    """Tell whether the user has any, and may use them."""
    return tier.own_provider_keys and user.has_provider_keys


def own_keys_of(user: User) -> tuple[ProviderKey, ...]:
    """Read the user's own keys, sealed."""
    return tuple(ProviderKey.objects.for_user(user))


def with_own_keys(
    keys: Iterable[ProviderKey],
    entered: Sequence[Offer],
    offers: Sequence[Offer],
    *,
    for_vectors: bool = False,
) -> list[Offer]:
    """Put what a user's own keys open in the place of those providers' offers."""
    by_provider = {key.provider: key for key in keys}
    if not by_provider:
        return list(offers)
    return [
        offer
        for name in (LOCAL, *PROVIDERS)
        for offer in (
            _by_own_key(by_provider[name], entered, for_vectors=for_vectors)
            if name in by_provider
            else [offer for offer in offers if offer.provider == name]
        )
    ]


def _by_own_key(
    key: ProviderKey, entered: Iterable[Offer], *, for_vectors: bool
) -> Iterator[Offer]:
    """Yield the models that a user's key opens.

    Of a vendor's own the catalogue knows; elsewhere is what the address listed.
    """
    if for_vectors and key.provider not in EMBEDDERS:
        return
    known = [
        offer
        for offer in entered
        if offer.provider == key.provider and offer.makes_vectors == for_vectors
    ]
    place = Place(key.base_url, "user", key.sealed_key)
    own: dict[str, Any] = {"place": place, "own_key": True, "lanes": ()}
    if key.base_url == VENDORS[key.provider]:
        yield from (replace(offer, **own) for offer in known)
        return
    windows = {offer.upstream_name: offer.context_window for offer in known}
    for name in key.listed:
        if makes_vectors(name) == for_vectors:
            yield Offer(key.provider, name, name, windows.get(name), **own)


def all_offers(live: Live) -> list[Offer]:
    """Return what can be asked now: configured providers, enabled rows."""
    return offers_from(entered_offers(), live)


def entered_offers() -> tuple[Offer, ...]:
    """Read the enabled rows, each with its lanes."""
    offers = []
    for row in AIModel.objects.enabled().prefetch_related("upstreams"):
        offer, lanes = _offer(row), row.upstreams.all()
        # Staff who switch off all its places mean that it cannot be had.
        if offer.lanes or not lanes:
            offers.append(offer)
    return tuple(offers)


def offers_from(entered: Iterable[Offer], live: Live) -> list[Offer]:
    """Do as `all_offers` with rows that were read before."""
    chatting = [offer for offer in entered if not offer.makes_vectors]
    offers = _to_be_had(chatting, PROVIDERS, live)
    return [*offers, Offer(EXTRACTIVE, EXTRACTIVE, EXTRACTIVE)]


def embedders_from(entered: Iterable[Offer], live: Live) -> list[Offer]:
    """Return what can make vectors now; the local model first."""
    making = [offer for offer in entered if offer.makes_vectors]
    local = Offer(LOCAL, LOCAL_MODEL, LOCAL_MODEL, MAX_TOKENS)
    return [local, *_to_be_had(making, EMBEDDERS, live)]


def _to_be_had(
    rows: Sequence[Offer], providers: Mapping[str, Provider | Embedder], live: Live
) -> list[Offer]:
    """Return those of `rows` that can be asked, and what providers list besides."""
    offers: list[Offer] = []
    for name, provider in providers.items():
        mine = [offer for offer in rows if offer.provider == name]
        plain = [offer for offer in mine if not offer.lanes]
        if not provider.is_configured():
            plain = []
        elif name in live:
            plain = _live_offers(name, live[name], plain)
        elif name in _ONLY_LIVE:
            plain = []
        offers += plain if all(not o.lanes for o in mine) else _merged(mine, plain)
    return offers


def _merged(mine: Sequence[Offer], plain: Sequence[Offer]) -> list[Offer]:
    """Put models with lanes between the others, in the order of the rows."""
    there = {offer.name for offer in plain}
    kept = [
        offer
        for offer in mine
        if (offer.name in there if not offer.lanes else _is_open(offer))
    ]
    names = {offer.name for offer in mine}
    return kept + [offer for offer in plain if offer.name not in names]


def _is_open(offer: Offer) -> bool:
    return any(lane.is_usable for lane in offer.lanes)


def in_order(
    offer: Offer, draw: Callable[[], float] = random.random
) -> Iterator[Offer]:
    """Yield the offer at each of its lanes: by priority, then by lot and weight."""
    if not offer.lanes:
        yield offer
        return
    usable = [lane for lane in offer.lanes if lane.is_usable]
    # Who draws the highest u^(1/w) is first in proportion to w.
    # Source: https://doi.org/10.1016/j.ipl.2005.11.003
    drawn = {lane.name: draw() ** (1 / lane.weight) for lane in usable}
    for lane in sorted(usable, key=lambda lane: (lane.priority, -drawn[lane.name])):
        yield replace(
            offer,
            provider=lane.provider,
            upstream_name=lane.upstream_name,
            lanes=(),
            lane=lane.name,
            alias=offer.id,
            place=lane.place,
            speaks=lane.speaks,
        )


def find_offer(offers: Sequence[Offer], name: str) -> Offer:
    """Return the model of this name; the default for `auto`. Raises UnknownModel."""
    found = next((o for o in offers if o.is_called(name) or name == AUTO), None)
    if found is None:
        raise UnknownModel(
            f"There is no model '{name[:80]}' for you.",
            available=[offer.id for offer in offers],
        )
    return found


def allowed(offers: Sequence[Offer], tier: Tier) -> list[Offer]:
    """Return those of the tier's providers; what runs in here is everybody's."""
    mine = (*tier.providers, EXTRACTIVE, LOCAL)
    return [o for o in offers if o.own_key or o.provider in mine]


def candidates(
    *, offers: Sequence[Offer], tier: Tier, wanted: str, feature: str
) -> list[Offer]:
    """Return whom to ask, first choice first.

    Of each provider its default model, in the providers' order; a model that was
    named comes before them. Raises UnknownModel, ProviderNotInTier.
    """
    chosen = choose(offers, tier, wanted=wanted, feature=feature)
    if chosen is None:
        usable = [o for o in allowed(offers, tier) if o.serves(feature)]
        raise why_not(wanted, offers, usable, tier)
    return chosen


def choose(
    offers: Sequence[Offer], tier: Tier, *, wanted: str, feature: str
) -> list[Offer] | None:
    """Do as `candidates`; None when the model cannot be had."""
    usable = [o for o in allowed(offers, tier) if o.serves(feature)]
    defaults = list({o.provider: o for o in reversed(usable)}.values())[::-1]
    if wanted in ("", AUTO):
        return defaults
    named = next((o for o in usable if o.is_called(wanted)), None)
    if named is None:
        return None
    return [named, *(o for o in defaults if o.provider != named.provider)]


def why_not(
    wanted: str, offers: Sequence[Offer], usable: Sequence[Offer], tier: Tier
) -> UnknownModel:
    """Say why a model cannot be had; raises ProviderNotInTier where that is why."""
    known = [*offers, *entered_offers()]
    match = next((o for o in known if o.is_called(wanted)), None)
    provider = match.provider if match else ""
    if provider:
        require_provider(tier, provider)
    available = [offer.id for offer in usable]
    listed = ", ".join(f"'{name}'" for name in available[:10])
    shown = wanted[:80]
    if match is None:
        sentence = f"There is no model '{shown}'. Available to you: {listed}."
    elif not (PROVIDERS.get(provider) or EMBEDDERS[provider]).is_configured():
        sentence = (
            f"The model '{shown}' needs the provider '{provider}', which is not "
            f"configured on this installation. Available to you: {listed}."
        )
    else:
        sentence = (
            f"The model '{shown}' does not serve this. Available to you: {listed}."
        )
    return UnknownModel(
        sentence,
        errors=[{"field": "model", "code": "unknown_model", "detail": sentence}],
        available=available,
    )


def _live_offers(
    provider: str, names: Sequence[str], rows: Sequence[Offer]
) -> list[Offer]:
    """Return what the provider lists; rows add prices and windows, and go first.

    Elsewhere than on one's own machine models cost money: there, staff who have
    entered some of the listed ones offer just these.
    """
    known = [row for row in rows if row.upstream_name in names]
    if known and provider not in _ONLY_LIVE:
        return known
    entered = {row.upstream_name for row in rows}
    return known + [
        Offer(provider, name, name) for name in names if name not in entered
    ]


def _offer(row: AIModel) -> Offer:
    return Offer(
        provider=row.provider,
        name=row.name,
        upstream_name=row.upstream_name,
        context_window=row.context_window,
        price_in_usd_micros=row.price_in_usd_micros,
        price_out_usd_micros=row.price_out_usd_micros,
        features=tuple(row.features),
        lanes=tuple(_lane(up) for up in row.upstreams.all() if _can_serve(up, row)),
    )


def _can_serve(place: Upstream, row: AIModel) -> bool:
    return place.enabled and (
        EMBEDDINGS not in row.features or place.provider in EMBEDDERS
    )


def _lane(row: Upstream) -> Lane:
    place = Place(row.base_url, "staff", row.sealed_key) if row.base_url else None
    over_responses = row.provider == OPENAI_RESPONSES
    return Lane(
        name=row.name,
        provider="openai" if over_responses else row.provider,
        speaks="responses" if over_responses else "",
        upstream_name=row.upstream_name,
        priority=row.priority,
        weight=max(1, row.weight),
        place=place,
    )
