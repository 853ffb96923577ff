"""Texts to vectors: judged, admitted, embedded, settled, all in one go.

A model is asked in all its places, as a chat is (`assistant.gateway.routing`), and by
the caller's own key where there is one. Another model never answers in its place:
vectors of two models cannot be compared.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from accounts.principals import Principal
from aiassist.lib.db import in_db
from aiassist.lib.tokens import count_many
from assistant.catalogue import (
    AUTO,
    Live,
    Offer,
    allowed,
    embedders_of,
    find_offer,
    in_order,
    live_embedders,
    why_not,
)
from assistant.errors import ContextTooLarge
from assistant.gateway.background import spawn
from assistant.gateway.open import admit_call, giving_back
from assistant.gateway.routing import Route, first_to_answer
from assistant.providers import EMBEDDERS
from assistant.providers.embedding import Embedded, EmbedRequest, Input
from billing.metering.admission import Admission
from billing.metering.ledger import Settlement, asettle
from billing.metering.refusals import noted
from billing.tiers.selectors import tier_of

FEATURE = "embeddings"
MAX_TOKENS_AT_ONCE = 300_000  # OpenAI's own


@dataclass(frozen=True, slots=True)
class EmbedAsk:
    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None

    def request_for(self, offer: Offer) -> EmbedRequest:
        """Return what this model is asked. Raises SealBroken."""
        return EmbedRequest(
            model=offer.upstream_name,
            inputs=self.inputs,
            dimensions=self.dimensions,
            access=offer.place.access() if offer.place else None,
        )


@dataclass(frozen=True, slots=True)
class EmbedResult:
    vectors: Sequence[Sequence[float]]
    model: str
    tokens_in: int
    cost_usd_micros: int
    headers: Mapping[str, str]  # what is left of the quota, and who answered


async def embed(
    principal: Principal, ask: EmbedAsk, *, endpoint: str, request_id: str
) -> EmbedResult:
    """Judge, admit, embed and settle. Raises AppError; then nothing was spent."""
    offer, n_tokens = await in_db(_judge, principal, ask, await live_embedders())
    admission = await admit_call(
        principal, feature=FEATURE, endpoint=endpoint, request_id=request_id
    )
    # A caller who leaves meanwhile has still spent it: the work goes on to its end.
    return await asyncio.shield(spawn(_run(offer, ask, n_tokens, admission)))


def _judge(principal: Principal, ask: EmbedAsk, live: Live) -> tuple[Offer, int]:
    tier = tier_of(principal.user)
    everything = embedders_of(principal.user, tier, live)
    usable = allowed(everything, tier)
    if not any(o.is_called(ask.model) or ask.model == AUTO for o in usable):
        with noted(principal.user_id, tier, FEATURE):
            raise why_not(ask.model, everything, usable, tier)
    texts = [given for given in ask.inputs if isinstance(given, str)]
    n_ids = sum(len(given) for given in ask.inputs if not isinstance(given, str))
    n_tokens = sum(count_many(texts)) + n_ids
    if n_tokens > MAX_TOKENS_AT_ONCE:
        raise ContextTooLarge(
            f"These inputs have about {n_tokens:,} tokens; a request takes "
            f"{MAX_TOKENS_AT_ONCE:,}. Send fewer at once.",
            policy="embedding_tokens",
            scope="request",
            limit=MAX_TOKENS_AT_ONCE,
            used=n_tokens,
            resets_at=None,
            alternatives=["Send fewer texts at once."],
        )
    return find_offer(usable, ask.model), n_tokens


async def _run(
    named: Offer, ask: EmbedAsk, n_tokens: int, admission: Admission
) -> EmbedResult:
    started = time.monotonic()
    offers = list(in_order(named))
    route = Route(offers[0])
    async with giving_back(admission):
        done = await first_to_answer(offers, partial(_asked, ask, route), route)
    offer = route.offer
    tokens_in = n_tokens if done.tokens_in is None else done.tokens_in
    settlement = Settlement(
        provider=offer.provider,
        model=offer.name,
        tokens_in=tokens_in,
        cost_usd_micros=offer.cost_usd_micros(tokens_in, 0),
        estimated=done.tokens_in is None,
        latency_ms=round((time.monotonic() - started) * 1000),
        upstream=offer.lane,
        own_key=offer.own_key,
        fallback=route.fallback,
    )
    await asettle(admission, settlement)
    return EmbedResult(
        vectors=done.vectors,
        model=offer.id,
        tokens_in=tokens_in,
        cost_usd_micros=settlement.cost_usd_micros,
        headers=admission.limits.headers() | route.headers(),
    )


async def _asked(ask: EmbedAsk, route: Route, offer: Offer) -> Embedded:
    embedded = await EMBEDDERS[offer.provider].embed(ask.request_for(offer))
    route.speaks()
    return embedded
