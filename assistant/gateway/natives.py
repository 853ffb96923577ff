"""A client's body in a vendor's own wire, with what we add to it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assistant.gateway.prompts import passages_message
from assistant.passages import Passage
from assistant.providers.base import Native
from assistant.providers.wire import objects


def with_passages(native: Native, passages: Sequence[Passage]) -> Native | None:
    """Put retrieved code before the last question of Anthropic's body.

    It goes into the user's own message: between a tool's call and its result nothing
    may stand. None for OpenAI's: its answer is ours then, as it has to tell citations.
    """
    if not passages:
        return native
    if native.provider == "openai":
        return None
    block = {"type": "text", "text": passages_message(passages).content}
    messages = [dict(message) for message in objects(native.body.get("messages"))]
    for message in reversed(messages):
        if message.get("role") == "user" and _is_question(message):
            blocks = _blocks(message)
            at = max(i for i, b in enumerate(blocks) if b.get("type") == "text")
            message["content"] = [*blocks[:at], block, *blocks[at:]]
            break
    return replace(native, body={**native.body, "messages": messages})


def _is_question(message: dict[str, Any]) -> bool:
    return any(block.get("type") == "text" for block in _blocks(message))


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects(content)
