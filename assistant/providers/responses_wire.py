"""OpenAI's responses, read: event by event, or passed on to clients of the same wire.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiassist.lib.egress import MIB
from aiassist.lib.errors import ProviderError
from assistant.errors import (
    PromptTooLong,
    ProviderBusy,
    ProviderMalformed,
    ProviderRejected,
    ProviderUnavailable,
)
from assistant.providers.base import Delta, JsonObject, Usage
from assistant.providers.openai_wire import Relay
from assistant.providers.sealed import sealed_of
from assistant.providers.wire import count_of, mapping, objects, text_of

# The last event repeats the whole answer and what was asked for.
MAX_EVENT_BYTES = 8 * MIB
_CALLS = ("function_call", "custom_tool_call")
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_TEXTS = ("response.output_text.delta", "response.refusal.delta")
_INPUTS = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
)
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
# What the request is to blame for; all else may pass by itself.
_OURS = re.compile(r"invalid_|image_|unsupported_|empty_|failed_to_download_|_policy")


class ResponsesRelay(Relay):
    """Cuts a stream whose last event alone is decoded."""

    max_bytes = MAX_EVENT_BYTES
    special = re.compile(
        rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"'
    )
    says = re.compile(
        rb'"type"\s*:\s*"(?:response\.(?:output_text|refusal|reasoning_text'
        rb"|reasoning_summary_text|function_call_arguments|custom_tool_call_input)"
        rb'\.delta|function_call|custom_tool_call)"'
    )

    def __init__(self) -> None:
        super().__init__(ended)

    def _special(self, frame: bytes) -> list[Delta]:
        """Let nothing be lost of an answer that ends without a word."""
        found = super()._special(frame)
        held, self._held = self._held, b""
        return [Delta(wire=held), *found] if held else found


def ended(event: dict[str, Any]) -> Delta:
    """Read the event that ends a relayed stream; it goes along, as all others did."""
    kind = event.get("type")
    if kind not in ENDS:  # it only looked like an end
        return Delta(native=(event,))
    raise_failure(event)
    response = mapping(event.get("response"))
    return Delta(
        native=(event,), finish_reason=finish_of(response), usage=usage_of(response)
    )


def whole_delta_of(response: dict[str, Any]) -> Delta:
    """Read an answer that came in one body."""
    raise_failure({"type": f"response.{response.get('status')}", "response": response})
    if response.get("status") not in ("completed", "incomplete"):
        raise ProviderMalformed(provider="openai")
    return Delta(
        whole=response, finish_reason=finish_of(response), usage=usage_of(response)
    )


@dataclass(slots=True)
class Reader:
    """Reads events for clients of another wire.

    Sealed thoughts wait for the next word: until then another try is possible.
    """

    finished: bool = False
    _sealed: list[JsonObject] = field(default_factory=list)
    _indexes: dict[object, int] = field(default_factory=dict)  # of calls, by place
    _open: set[int] = field(default_factory=set)  # calls that nothing was told of yet

    def read(self, event: dict[str, Any]) -> Delta | None:
        delta = self._read(event)
        if delta is not None and self._sealed:
            delta.extra = {"reasoning_details": self._sealed}
            self._sealed = []
        return delta

    def _read(self, event: dict[str, Any]) -> Delta | None:
        kind, place = event.get("type"), event.get("output_index")
        if kind in _TEXTS:
            return Delta(text=text_of(event.get("delta")))
        if kind in _THOUGHTS:
            return Delta(reasoning=text_of(event.get("delta")))
        if kind in _INPUTS and place in self._indexes:
            return self._piece(self._indexes[place], text_of(event.get("delta")))
        match kind:
            case "response.reasoning_summary_part.added" if event.get("summary_index"):
                return Delta(reasoning="\n\n")
            case "response.output_item.added":
                return self._opening(mapping(event.get("item")), place)
            case "response.output_item.done":
                return self._closing(mapping(event.get("item")), place)
            case kind if kind in ENDS:
                raise_failure(event)
                return self._ending(mapping(event.get("response")))
        return None

    def _opening(self, item: dict[str, Any], place: object) -> Delta | None:
        if item.get("type") not in _CALLS:
            return None
        index = self._indexes[place] = len(self._indexes)
        self._open.add(index)
        function = {"name": text_of(item.get("name")), "arguments": ""}
        call = {"index": index, "id": text_of(item.get("call_id")), "type": "function"}
        return Delta(tool_calls=({**call, "function": function},))

    def _piece(self, index: int, told: str) -> Delta:
        self._open.discard(index)
        call = {"index": index, "function": {"arguments": told}}
        return Delta(tool_calls=(call,))

    def _closing(self, item: dict[str, Any], place: object) -> Delta | None:
        """Read a whole item: some servers tell arguments here alone."""
        if (sealed := sealed_of(item)) is not None:
            self._sealed.append(sealed)
        index = self._indexes.get(place)
        if index is None or index not in self._open:
            return None
        return self._piece(index, text_of(item.get("arguments")))

    def _ending(self, response: dict[str, Any]) -> Delta:
        self.finished = True
        return Delta(finish_reason=finish_of(response), usage=usage_of(response))


def finish_of(response: JsonObject) -> str:
    """Return the finish reason of a whole response."""
    reason = mapping(response.get("incomplete_details")).get("reason")
    if response.get("status") == "incomplete" or reason:
        return _FINISH.get(text_of(reason), "length")
    output = objects(response.get("output"))
    called = any(item.get("type") in _CALLS for item in output)
    return "tool_calls" if called else "stop"


def usage_of(response: JsonObject) -> Usage | None:
    usage = mapping(response.get("usage"))
    if not usage:
        return None
    details = mapping(usage.get("input_tokens_details"))
    return Usage(
        tokens_in=count_of(usage.get("input_tokens")),
        tokens_out=count_of(usage.get("output_tokens")),
        tokens_cached=count_of(details.get("cached_tokens")),
    )


def raise_failure(event: JsonObject) -> None:
    """Raise the ProviderError that an event tells of, if it does."""
    if event.get("type") == "response.failed":
        error = mapping(mapping(event.get("response")).get("error"))
    elif event.get("type") == "error":
        error = mapping(event.get("error")) or mapping(event)
    else:
        return
    raise _failure(text_of(error.get("code")))


def _failure(code: str) -> ProviderError:
    if code == "context_length_exceeded":
        return PromptTooLong(provider="openai")
    if code in ("rate_limit_exceeded", "server_is_overloaded", "slow_down"):
        return ProviderBusy(provider="openai")
    if _OURS.search(code):
        return ProviderRejected(provider="openai")
    return ProviderUnavailable(provider="openai")


def said_by(event: dict[str, Any]) -> str:
    """Return what a relayed event says, to count its tokens."""
    if event.get("type") in (*_TEXTS, *_THOUGHTS, *_INPUTS):
        return text_of(event.get("delta"))
    return ""


def said_in(response: JsonObject) -> str:
    """Return what a whole answer says, calls included, to count its tokens."""
    return "".join(_said(objects(response.get("output"))))


def _said(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        yield text_of(item.get("arguments")) + text_of(item.get("input"))
        for part in objects(item.get("content")) + objects(item.get("summary")):
            yield text_of(part.get("text")) + text_of(part.get("refusal"))
