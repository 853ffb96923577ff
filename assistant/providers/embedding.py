"""What providers of embeddings can do, and the local one, which is always there."""

import asyncio
import base64
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiassist.lib.db import release_connections
from aiassist.lib.egress import MIB, Caps, Destination, EgressError
from aiassist.lib.tokens import count_many, tokenizer
from assistant.errors import ProviderMalformed, UnsupportedParameter
from assistant.providers.base import Access
from assistant.providers.given import opened
from assistant.providers.wire import as_provider_error, caps, parse_object, refusal
from workspaces.indexing.embedding import MAX_TOKENS, embed_passages
from workspaces.vectors.base import EMBEDDING_DIM

LOCAL = "local"
LOCAL_MODEL = "all-MiniLM-L6-v2"
MAX_ANSWER_BYTES = 64 * MIB  # 2,048 vectors of 3,072 floats in base64 have 34
_AT_ONCE = 64  # texts; between two batches others get their turn

Input = str | Sequence[int]  # a text, or the ids of its tokens in the model's words


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """Some texts for one model."""

    model: str  # the provider's own name for it
    inputs: tuple[Input, ...]
    dimensions: int | None = None  # None: as many as the model makes
    access: Access | None = None  # None: as the settings name the provider


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: list[Sequence[float]]
    tokens_in: int | None  # None: the provider did not tell


class Embedder(Protocol):
    """Raises ProviderError's subclasses and UnsupportedParameter."""

    name: str

    def is_configured(self) -> bool: ...

    async def embedders(self) -> Sequence[str]:
        """Names of embedding models that it lists itself."""

    async def embed(self, request: EmbedRequest) -> Embedded: ...


class LocalEmbedder:
    """The model that indexes workspaces, in this very process."""

    name = LOCAL

    def is_configured(self) -> bool:
        return True

    async def embedders(self) -> Sequence[str]:
        return ()

    async def embed(self, request: EmbedRequest) -> Embedded:
        inputs = request.inputs
        if request.dimensions not in (None, EMBEDDING_DIM):
            raise unsupported(
                "dimensions", f"This model's vectors have {EMBEDDING_DIM} dimensions."
            )
        texts = [text if isinstance(text, str) else _text(text) for text in inputs]
        vectors: list[Sequence[float]] = []
        n_tokens = 0
        for start in range(0, len(texts), _AT_ONCE):
            batch = texts[start : start + _AT_ONCE]
            found, n = await asyncio.to_thread(_embed, batch)
            vectors += found
            n_tokens += n
        return Embedded(vectors, n_tokens)


def _embed(texts: Sequence[str]) -> tuple[list[Sequence[float]], int]:
    try:
        vectors = embed_passages(texts)
        counts = count_many(texts)
    finally:
        release_connections()
    return [row.tolist() for row in vectors], sum(min(n, MAX_TOKENS) for n in counts)


def _text(ids: Sequence[int]) -> str:
    """Return the text of tokens; of another model's tokens it would be nonsense."""
    known = tokenizer()
    if max(ids) >= known.get_vocab_size():
        raise unsupported(
            "input",
            "These are another model's tokens. Send texts, or name that model.",
        )
    return str(known.decode(list(ids)))


def unsupported(field: str, sentence: str) -> UnsupportedParameter:
    errors = [{"field": field, "code": "unsupported_parameter", "detail": sentence}]
    return UnsupportedParameter(sentence, errors=errors)


def only_texts(inputs: Sequence[Input], provider: str) -> list[str]:
    """Return the inputs where a provider takes no tokens."""
    if not all(isinstance(given, str) for given in inputs):
        raise unsupported("input", f"The provider '{provider}' takes texts, no tokens.")
    return [given for given in inputs if isinstance(given, str)]


async def ask(destination: Destination, path: str, body: object) -> dict[str, Any]:
    """Post a request for embeddings. Raises ProviderError only."""
    limits = caps()
    wide = Caps(
        limits.connect_seconds,
        limits.first_byte_seconds,
        limits.idle_seconds,
        limits.total_seconds,
        MAX_ANSWER_BYTES,
    )
    try:
        async with opened(destination, "POST", path, json=body, caps=wide) as answer:
            if answer.status != 200:
                raise refusal(destination.name, answer)
            return parse_object(await answer.read(MAX_ANSWER_BYTES))
    except EgressError as error:
        raise as_provider_error(destination.name, error) from None


def vector_of(value: object) -> Sequence[float]:
    """Return a vector from a list of numbers or base64 of 32-bit floats."""
    if isinstance(value, str):
        floats = array("f")
        try:
            floats.frombytes(base64.b64decode(value, validate=True))
        except ValueError:
            raise ProviderMalformed from None
        return floats
    if not isinstance(value, list) or not all(
        isinstance(number, int | float) for number in value
    ):
        raise ProviderMalformed
    return value


def checked(vectors: list[Sequence[float]], n_inputs: int) -> list[Sequence[float]]:
    """Return them if there is one for each input, else raise ProviderMalformed."""
    if len(vectors) != n_inputs or not all(vectors):
        raise ProviderMalformed
    return vectors
