"""What every provider of language models can do, whoever it is.

Roles, tool calls and finish reasons are in OpenAI's words, the common tongue of the
trade; each vendor's file translates.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aiassist.lib.public_egress import NOBODY, Trust
from aiassist.lib.records import record
from assistant.passages import Passage

Role = Literal["system", "user", "assistant", "tool"]
JsonObject = Mapping[str, Any]


@record(frozen=True, slots=True)
class ChatMessage:
    """One message of a prompt."""

    role: Role
    content: str
    # The message as an OpenAI-wire client sent it, where it holds more than text
    # (images, tool calls); None elsewhere.
    wire: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Where a provider is asked, and with what key, in place of the settings'.

    Somebody gave both together: the platform's own key never goes there, and this
    key goes nowhere else.
    """

    base_url: str
    key: str = field(default="", repr=False)
    trust: Trust = NOBODY


@record(frozen=True, slots=True)
class ChatRequest:
    """One prompt for one model. The last message is the user's, unless tools speak."""

    model: str  # the provider's own name for it
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[JsonObject, ...] = ()
    # Other fields of OpenAI's wire: passed on to it, translated where another vendor
    # has the like (tool_choice, response_format, reasoning_effort …), else dropped.
    extra: JsonObject = field(default_factory=dict)
    # How hard to think, as asked for in another wire than OpenAI's: for models that are
    # known to take it, as others refuse the whole request.
    effort: str = ""
    native: "Native | None" = None  # the client's own body, for a vendor of that wire
    access: Access | None = None  # None: the provider's as configured
    # Of OpenAI's two wires this place speaks responses alone; "": the provider knows.
    speaks: Literal["", "responses"] = ""
    # OpenAI's bytes are wanted as they come: "stream", or "whole" for one body.
    wire: Literal["", "stream", "whole"] = ""
    # The prompt with the marks of the model's family around a cursor, for providers
    # that continue a text; "" to be asked in `messages` alone.
    raw: str = ""
    # What the extractive provider answers from.
    feature: str = "basic_chat"
    question: str = ""
    code: str = ""  # given by the user to be explained
    notice: str = ""  # why no language model answers; "" for the usual reason
    hint: str = ""  # what to do when no passage was found
    passages: tuple[Passage, ...] = ()

    @property
    def reasoning_effort(self) -> str:
        """How hard to think; "" where nobody said."""
        asked = self.extra.get("reasoning_effort")
        return asked if isinstance(asked, str) else self.effort


@dataclass(frozen=True, slots=True)
class Native:
    """A body in a vendor's own wire, for that vendor; others get the translation."""

    provider: str
    body: JsonObject
    headers: Mapping[str, str] = field(default_factory=dict)  # never a credential


@record(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    tokens_in: int
    tokens_out: int | None  # None: not told (yet)
    tokens_cached: int = 0  # of tokens_in, read from the provider's cache


@dataclass(
    slots=True
)  # not frozen: there is one for each token, at a third of the time
class Delta:
    """One streamed piece of an answer. Any part may be missing."""

    text: str = ""
    tool_calls: tuple[JsonObject, ...] = ()  # OpenAI's stream shape, with `index`
    reasoning: str = ""  # what the model thinks aloud
    # Fields of OpenAI's stream that we know nothing of, for clients of that wire; and
    # `reasoning_details` (`assistant.providers.sealed`).
    extra: JsonObject = field(default_factory=dict)
    # The vendor's own events that this delta was read from, for clients of its wire.
    native: tuple[JsonObject, ...] = ()
    wire: bytes = b""  # whole frames of OpenAI's stream, undecoded
    whole: JsonObject | None = None  # OpenAI's whole answer
    finish_reason: str = ""  # stop, length, tool_calls, content_filter
    usage: Usage | None = None  # totals so far; the last one counts

    @property
    def says(self) -> bool:
        """Whether a client has something to see or do: the first such is the token."""
        return bool(
            self.text or self.tool_calls or self.reasoning or self.wire or self.whole
        )


class Provider(Protocol):
    """Raises ProviderError's subclasses and nothing else of its own."""

    name: str
    takes_tools: bool
    takes_images: bool
    takes_image_urls: bool  # fetches an image itself; else only data: URLs

    def is_configured(self) -> bool:
        """Tell whether the operator set what this provider needs."""

    def takes_raw(self, base_url: str = "") -> bool:
        """Tell whether it continues a text as it stands, besides chatting.

        `base_url` is that of its access; "": as configured.
        """

    async def models(self) -> Sequence[str]:
        """Names that the provider offers right now; [] when it does not answer."""

    async def names(self, access: Access | None = None) -> Sequence[str]:
        """Ask for its list of models with this credential. Raises ProviderError."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Answer piece by piece; closing the generator ends the upstream call.

        A complete answer ends with a `finish_reason`; without one the generator
        raises.
        """
