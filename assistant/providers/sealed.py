"""Thoughts that their vendor alone can read: given out sealed, sent back untouched.

A model goes on with what it thought before it called a tool. Inside they are entries of
a message's `reasoning_details`, the form in which chat's clients keep them; the other
faces carry them in blocks and items of their own.
Source: https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

from collections.abc import Iterator
from typing import Any

from assistant.providers.base import Delta, JsonObject
from assistant.providers.wire import mapping, objects, text_of

OPENAI = "openai-responses-v1"


def sealed_of(item: JsonObject) -> dict[str, Any] | None:
    """Return the entry for an item of OpenAI's responses; None if nothing is sealed."""
    data = text_of(item.get("encrypted_content"))
    if item.get("type") != "reasoning" or not data:
        return None
    return {
        "type": "reasoning.encrypted",
        "id": text_of(item.get("id")),
        "data": data,
        "format": OPENAI,
        "index": 0,
    }


def items_of(details: object) -> Iterator[dict[str, Any]]:
    """Yield the items of OpenAI's responses that a message's entries are."""
    for each in objects(details):
        if each.get("format") == OPENAI and (data := text_of(each.get("data"))):
            kept = {"id": text_of(each.get("id")), "encrypted_content": data}
            yield {"type": "reasoning", "summary": [], **kept}


def blocks_of(delta: Delta) -> Iterator[dict[str, Any]]:
    """Yield blocks of Anthropic's for a delta's entries: thoughts nobody can read."""
    for item in items_of(delta.extra.get("reasoning_details")):
        data = f"{OPENAI}:{item['id']}:{item['encrypted_content']}"
        yield {"type": "redacted_thinking", "data": data}


def of_block(block: JsonObject) -> dict[str, Any] | None:
    """Return the entry that a block of ours holds; None for any other block."""
    data = text_of(block.get("data"))
    if block.get("type") != "redacted_thinking" or not data.startswith(f"{OPENAI}:"):
        return None
    item_id, _, content = data.removeprefix(f"{OPENAI}:").partition(":")
    item = {"type": "reasoning", "id": item_id, "encrypted_content": content}
    return sealed_of(item)


def is_anthropics(block: object) -> bool:
    """Tell whether Anthropic takes a block: of thoughts it takes its own alone.

    Those of other vendors' models came out of here, unsigned or in our form.
    """
    given = mapping(block)
    if given.get("type") == "thinking":
        return bool(given.get("signature"))
    return not text_of(given.get("data")).startswith(f"{OPENAI}:")
