"""Texts to vectors: judged, admitted, embedded, settled, all in one go."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.principals import Principal
from aiassist.lib.db import in_db
from aiassist.lib.tokens import count_many
from assistant.catalogue import AUTO, Offer, all_embedders, allowed, find_offer, why_not
from assistant.errors import ContextTooLarge
from assistant.gateway.background import spawn
from assistant.gateway.open import admit_call, giving_back
from assistant.providers import EMBEDDERS
from assistant.providers.embedding import Embedded, Input
from billing.admission import Admission
from billing.ledger import Settlement, asettle
from billing.selectors import tier_of

FEATURE = "embeddings"
MAX_TOKENS_AT_ONCE = 300_000  # OpenAI's own


@dataclass(frozen=True, slots=True)
class EmbedAsk:
    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class EmbedResult:
    vectors: Sequence[Sequence[float]]
    model: str
    tokens_in: int
    cost_usd_micros: int
    admission: Admission


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


async def live_embedders() -> dict[str, Sequence[str]]:
    """Ask those providers that list their models themselves."""
    asked = [embedder for embedder in EMBEDDERS.values() if embedder.is_configured()]
    listed = await asyncio.gather(*(embedder.embedders() for embedder in asked))
    return {e.name: names for e, names in zip(asked, listed, strict=True)}


def _judge(
    principal: Principal, ask: EmbedAsk, live: dict[str, Sequence[str]]
) -> tuple[Offer, int]:
    tier = tier_of(principal.user)
    everything = all_embedders(live)
    usable = allowed(everything, tier)
    if not any(o.is_called(ask.model) or ask.model == AUTO for o in usable):
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
    offer: Offer, ask: EmbedAsk, n_tokens: int, admission: Admission
) -> EmbedResult:
    started = time.monotonic()
    async with giving_back(admission):
        done: Embedded = await EMBEDDERS[offer.provider].embed(
            offer.upstream_name, ask.inputs, ask.dimensions
        )
    tokens_in = n_tokens if done.tokens_in is None else done.tokens_in
    settlement = Settlement(
        provider=offer.provider,
        model=offer.name,
        tokens_in=tokens_in,
        cost_usd_micros=offer.cost_usd_micros(tokens_in, 0),
        estimated=done.tokens_in is None,
        latency_ms=round((time.monotonic() - started) * 1000),
    )
    await asettle(admission, settlement)
    return EmbedResult(
        vectors=done.vectors,
        model=offer.id,
        tokens_in=tokens_in,
        cost_usd_micros=settlement.cost_usd_micros,
        admission=admission,
    )
