"""OpenAI's embeddings.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.faces import reading
from assistant.gateway.embedding import EmbedAsk, EmbedResult
from assistant.providers.embedding import Input

MAX_INPUTS = 2048  # OpenAI's own


@dataclass(frozen=True, slots=True)
class WantedVectors:
    ask: EmbedAsk
    is_base64: bool


def read(body: Mapping[str, Any]) -> WantedVectors:
    """Read and judge a body. Raises ValidationFailed."""
    encoding = body.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise reading.invalid("encoding_format", "Either 'float' or 'base64'.")
    return WantedVectors(
        EmbedAsk(
            model=reading.text(body, "model", required=True),
            inputs=_inputs(body.get("input")),
            dimensions=reading.count(body, "dimensions"),
        ),
        is_base64=encoding == "base64",
    )


def body_of(result: EmbedResult, *, is_base64: bool) -> dict[str, Any]:
    write = _base64 if is_base64 else list
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(result.vectors)
        ],
        "model": result.model,
        "usage": {
            "prompt_tokens": result.tokens_in,
            "total_tokens": result.tokens_in,
            "cost": result.cost_usd_micros / 1_000_000,
        },
    }


def _base64(vector: Sequence[float]) -> str:
    """32-bit floats, little end first: what OpenAI's SDKs ask for by default."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _inputs(value: object) -> tuple[Input, ...]:
    if isinstance(value, str) or _are_tokens(value):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise reading.invalid("input", f"Send 1 to {MAX_INPUTS:,} texts.")
    for given in value:
        is_text = isinstance(given, str) and given.strip()
        if not (is_text or _are_tokens(given)):
            raise reading.invalid(
                "input", "Each input is a text, or a list of token ids; none is empty."
            )
    return tuple(value)


def _are_tokens(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
        and min(value) >= 0
    )
