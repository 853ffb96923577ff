"""Fit a prompt into the tier's context: counted in tokens, cut by relevance.

The context holds the system prompt, the user's words, the history, the retrieved code
and the room kept for the answer. The user's words are never cut: too many of them
are refused, with the numbers.
"""

import json
import math
from collections.abc import Sequence

from aiassist.lib.records import record
from aiassist.lib.tokens import count_tokens, truncate_to_tokens
from assistant.catalogue import Offer
from assistant.errors import ContextTooLarge
from assistant.gateway.prompts import Prompt, passages_message
from assistant.passages import Passage
from assistant.providers.base import ChatMessage, JsonObject
from assistant.providers.parts import n_images
from billing.models import Tier
from workspaces.finding.search import Hit

MESSAGE_TOKENS = 4  # role and separators of one message
# What stands around retrieved code, at most: each mark has up to 8 tokens, twice.
IMAGE_TOKENS = 1000  # about what vendors count for a screenshot; they tell the truth
HEAD_TOKENS = 60  # of the message that carries it
PASSAGE_TOKENS = 44  # around one passage, its path apart
MIN_ANSWER_TOKENS = 64
MIN_PASSAGE_LINES = 3  # a shorter rest of a passage says too little


@record(frozen=True, slots=True)
class Assembled:
    """A prompt that fits, and the code that found room in it."""

    messages: tuple[ChatMessage, ...]
    passages: tuple[Passage, ...]
    max_tokens: int  # left for the answer
    counted: int | None = None  # tokens of the messages; None: not counted yet

    @property
    def n_tokens(self) -> int:
        """The tokens of the messages, as we count."""
        if self.counted is not None:
            return self.counted
        return sum(map(message_tokens, self.messages))


def context_size(tier: Tier, offer: Offer) -> int:
    """Return how many tokens prompt and answer may have together."""
    return min(tier.context_tokens, offer.context_window or tier.context_tokens)


def assemble(
    *,
    prompt: Prompt,
    hits: Sequence[Hit],
    tier: Tier,
    size: int,
    max_tokens: int | None,
    tools: Sequence[JsonObject] = (),
) -> Assembled:
    """Put the prompt together within `size` tokens. Raises ContextTooLarge."""
    wanted = max_tokens or size // 4
    if not (hits or tools or prompt.history) and size - _most(prompt) >= wanted:
        # It fits whatever its tokens are, so nobody needs to count them.
        return Assembled((*_system(prompt), *prompt.final), (), wanted)
    fixed = fixed_tokens(prompt, tools)
    room = room_beside(fixed, tier, size, wanted)
    answer = min(wanted, room)
    left = room - answer
    history, left = _newest(prompt.history, left // 2 if hits else left, left)
    passages, left = _best(hits, left)
    messages = [*_system(prompt), *history, *prompt.final]
    if passages:
        messages.insert(_before_question(messages), passages_message(passages))
    return Assembled(
        messages=tuple(messages),
        passages=tuple(passages),
        max_tokens=answer,
        counted=size - answer - left,
    )


def room_beside(fixed: int, tier: Tier, size: int, wanted: int) -> int:
    """Return the tokens that are left. Raises ContextTooLarge: none for an answer."""
    room = size - fixed
    if room < min(wanted, MIN_ANSWER_TOKENS):
        raise _too_large(tier, size, fixed)
    return room


def fixed_tokens(prompt: Prompt, tools: Sequence[JsonObject] = ()) -> int:
    """Return the tokens of what must be sent whatever is left out."""
    messages = [*_system(prompt), *prompt.final]
    return sum(map(message_tokens, messages)) + (
        count_tokens(json.dumps(list(tools))) if tools else 0
    )


def _most(prompt: Prompt) -> float:
    """Return how many tokens a prompt can have at most, at no cost.

    A token holds at least one character, of which one of Unicode's becomes four at
    most when the tokenizer takes it apart.
    """
    most = 0
    for message in (*_system(prompt), *prompt.final):
        if message.wire is not None:
            return math.inf  # images, calls: these are counted one by one
        text = message.content
        most += MESSAGE_TOKENS + len(text) * (1 if text.isascii() else 4)
    return most


def message_tokens(message: ChatMessage) -> int:
    """Return a message's tokens; what it holds beside text is counted as JSON."""
    n_tokens = MESSAGE_TOKENS + count_tokens(message.content)
    if message.wire is not None:
        rest = {k: v for k, v in message.wire.items() if k not in ("role", "content")}
        if rest:
            n_tokens += count_tokens(json.dumps(rest))
        n_tokens += IMAGE_TOKENS * n_images(message)
    return n_tokens


def _system(prompt: Prompt) -> list[ChatMessage]:
    return [ChatMessage("system", prompt.system)] if prompt.system else []


def _newest(
    history: Sequence[ChatMessage], share: int, left: int
) -> tuple[list[ChatMessage], int]:
    """Keep the newest messages that fit into `share`; return them and what is left.

    What is kept starts with a question: some providers refuse anything else.
    """
    kept: list[ChatMessage] = []
    for message in reversed(history):
        n_tokens = message_tokens(message)
        if n_tokens > share:
            break
        share -= n_tokens
        left -= n_tokens
        kept.append(message)
    while kept and kept[-1].role == "assistant":
        left += message_tokens(kept.pop())
    return kept[::-1], left


def _best(hits: Sequence[Hit], left: int) -> tuple[list[Passage], int]:
    """Take passages by relevance until the room is used; return them and the rest.

    One that does not fit is cut after a whole line; later, smaller ones may still fit.
    """
    passages: list[Passage] = []
    for hit in hits:
        if _is_covered(hit, passages):
            continue
        overhead = (
            PASSAGE_TOKENS
            + count_tokens(hit.path)
            + (0 if passages else MESSAGE_TOKENS + HEAD_TOKENS)
        )
        text = truncate_to_tokens(hit.text, left - overhead)
        if not text.strip() or (
            text != hit.text and len(text.splitlines()) < MIN_PASSAGE_LINES
        ):
            continue
        left -= overhead + count_tokens(text)
        passages.append(_passage(hit, text, n=len(passages) + 1))
    return passages, left


def _is_covered(hit: Hit, passages: Sequence[Passage]) -> bool:
    return any(
        (p.workspace_id, p.path) == (hit.workspace_id, hit.path)
        and p.start_line <= hit.start_line
        and hit.end_line <= p.end_line
        for p in passages
    )


def _passage(hit: Hit, text: str, *, n: int) -> Passage:
    return Passage(
        n=n,
        workspace_id=hit.workspace_id,
        path=hit.path,
        start_line=hit.start_line,
        end_line=min(hit.end_line, hit.start_line + max(0, len(text.splitlines()) - 1)),
        language=hit.language,
        symbol=hit.symbol,
        score=round(hit.score, 6),
        sha256=hit.sha256,
        text=text,
        changed=hit.changed,
    )


def _before_question(messages: Sequence[ChatMessage]) -> int:
    """Return where retrieved code goes: right before the last question."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            return index
    return len(messages)


def _too_large(tier: Tier, size: int, fixed: int) -> ContextTooLarge:
    return ContextTooLarge(
        f"Your text has about {fixed:,} tokens; with room for an answer the context "
        f"of your tier '{tier.code}' holds {size:,}. Send less.",
        policy="context_tokens",
        scope="user",
        limit=size,
        used=fixed,
        resets_at=None,
        alternatives=[
            "Send a smaller piece of code or a shorter conversation.",
            "Index the code in a workspace and name it: only what matters is sent.",
            "Move to a tier with a larger context.",
        ],
    )
