"""What a turn has heard from its provider, and how it ended."""

from dataclasses import dataclass, field

from aiassist.lib.errors import AppError
from aiassist.lib.records import record
from aiassist.lib.tokens import count_tokens
from assistant.providers.base import Delta, Usage
from assistant.providers.openai import whole_text, wire_text


@record(frozen=True, slots=True)
class Result:
    """How a turn ended, and what it cost."""

    message_id: str
    finish_reason: str  # stop, length, tool_calls, content_filter; error, cancelled
    provider: str
    model: str  # the offer's id
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost_usd_micros: int = 0
    estimated: bool = False
    charged: bool = True
    failed: tuple[str, ...] = ()  # models that were given up on before
    upstream: str = ""  # which of the model's places answered
    own_key: bool = False  # the user's own key paid
    error: AppError | None = None

    @property
    def is_unheard(self) -> bool:
        """Whether the reader left before the end: nobody is told anything more."""
        return self.finish_reason == "cancelled" and self.error is None

    def usage(self) -> dict[str, object]:
        """Return the body of the `usage` event."""
        body: dict[str, object] = {
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost_usd_micros": self.cost_usd_micros,
            "estimated": self.estimated,
            "provider": self.provider,
            "model": self.model,
        }
        if self.failed:
            body["fallback_from"] = list(self.failed)
        if self.upstream:
            body["upstream"] = self.upstream
        if self.own_key:
            body["own_key"] = True
        return body


@dataclass(slots=True)
class Heard:
    """What the provider has said so far."""

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)  # decoded only if it must be
    finish_reason: str = ""
    usage: Usage | None = None

    def note(self, delta: Delta) -> None:
        if delta.wire:  # and nothing else
            self.wire.append(delta.wire)
            return
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.thoughts.append(delta.reasoning)
        if delta.whole is not None:
            self.text.append(whole_text(delta.whole))
        for call in delta.tool_calls:
            self.tools.append(str(call.get("function", "")))
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.thoughts or self.tools or self.wire)

    def n_tokens(self) -> int:
        """Count what was said, as well as we can."""
        said = [*self.text, *self.thoughts, *self.tools, *map(wire_text, self.wire)]
        return count_tokens("".join(said))
