"""Anthropic's answers: its events in their order, or one message.

    message_start, then per block content_block_start / _delta … / _stop,
    message_delta (stop reason, usage), message_stop

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from collections.abc import Iterator
from typing import Any

from aiassist.lib.errors import AppError
from aiassist.lib.sse import event
from assistant.faces.anthropic_errors import error_body
from assistant.faces.chat import merged_tool_calls
from assistant.gateway.outcome import Result
from assistant.gateway.turn import Turn
from assistant.providers.base import Delta, JsonObject
from assistant.providers.parts import arguments_of
from assistant.providers.sealed import blocks_of
from assistant.providers.wire import mapping, text_of

_STOPS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class MessagesWriter:
    """Writes one stream. The first piece shows whether its events are native."""

    heartbeat = event("ping", {"type": "ping"})

    def __init__(self, turn: Turn, *, shows_thoughts: bool) -> None:
        self._turn = turn
        self._shows_thoughts = shows_thoughts
        self._has_begun = self._is_native = False
        self._n_blocks = 0
        self._open = ""  # the kind of the block that is open
        self._call: object = None  # index of the tool call that is written live
        self._later: list[Delta] = []  # calls that came beside it

    def opening(self) -> bytes:
        return b""  # the model is known with its first piece

    def delta(self, delta: Delta) -> bytes:
        if delta.native:
            self._has_begun = self._is_native = True
            return b"".join(map(self._native, delta.native))
        out = self._begin()
        if delta.reasoning and self._shows_thoughts:
            out += self._piece("thinking", "thinking_delta", delta.reasoning)
        if self._shows_thoughts and delta.extra:
            for block in blocks_of(delta):
                out += self._close() + self._start(block["type"], block) + self._close()
        if delta.text:
            out += self._piece("text", "text_delta", delta.text)
        for call in delta.tool_calls:
            out += self._tool_call(call)
        return out

    def ending(self, result: Result) -> bytes:
        stop = _named({"type": "message_stop"})
        if self._is_native:
            return stop
        out = self._begin() + self._close()
        for call in merged_tool_calls(self._later):
            out += self._start_call(call)
            out += self._arguments(call["function"]["arguments"]) + self._close()
        ending = {"stop_reason": stop_reason(result), "stop_sequence": None}
        body = {"type": "message_delta", "delta": ending, "usage": usage_of(result)}
        return out + _named(body) + stop

    def failure(self, error: AppError) -> bytes:
        return _named({**error_body(error), "type": "error"})

    def _native(self, given: JsonObject) -> bytes:
        if given.get("type") == "message_start":
            message = {**mapping(given.get("message")), "model": self._model}
            given = {**given, "message": message}
        return _named(given)

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        message = _message(self._turn, self._model) | {
            "content": [],
            "stop_reason": None,
            # Counted by us; the provider's own count comes at the end.
            "usage": _usage(self._turn.ready.assembled.n_tokens, 0, 0),
        }
        return _named({"type": "message_start", "message": message})

    @property
    def _model(self) -> str:
        return self._turn.route.offer.id

    def _piece(self, kind: str, delta_kind: str, text: str) -> bytes:
        out = b""
        if self._open != kind:
            block = {"type": kind, kind: ""}
            if kind == "thinking":
                block["signature"] = ""
            out = self._close() + self._start(kind, block)
        return out + self._delta({"type": delta_kind, kind: text})

    def _tool_call(self, call: JsonObject) -> bytes:
        """Write the first call as it comes; others wait, as pieces may interleave."""
        if self._call is not None and call.get("index") != self._call:
            self._later.append(Delta(tool_calls=(call,)))
            return b""
        out = b""
        if self._call is None:
            self._call = call.get("index")
            out = self._start_call(call)
        return out + self._arguments(
            text_of(mapping(call.get("function")).get("arguments"))
        )

    def _start_call(self, call: JsonObject) -> bytes:
        block = {
            "type": "tool_use",
            "id": text_of(call.get("id")),
            "name": text_of(mapping(call.get("function")).get("name")),
            "input": {},
        }
        return self._close() + self._start("tool_use", block)

    def _arguments(self, piece: str) -> bytes:
        if not piece:
            return b""
        return self._delta({"type": "input_json_delta", "partial_json": piece})

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        self._open = kind
        opening = {"type": "content_block_start", "index": self._n_blocks}
        return _named({**opening, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        piece = {"type": "content_block_delta", "index": self._n_blocks}
        return _named({**piece, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        self._n_blocks += 1
        return _named({"type": "content_block_stop", "index": self._n_blocks - 1})


def whole_message(
    turn: Turn, deltas: list[Delta], *, shows_thoughts: bool
) -> dict[str, Any]:
    """Return the whole answer: Anthropic's own where it came from there."""
    result = turn.result
    assert result is not None
    events = [given for delta in deltas for given in delta.native]
    if events:
        return _put_together(events) | {"model": result.model}
    return _message(turn, result.model) | {
        "content": list(_blocks(deltas, shows_thoughts=shows_thoughts)),
        "stop_reason": stop_reason(result),
        "usage": usage_of(result),
    }


def _message(turn: Turn, model: str) -> dict[str, Any]:
    return {
        "id": turn.id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
    }


def stop_reason(result: Result) -> str:
    return _STOPS.get(result.finish_reason, "end_turn")


def usage_of(result: Result) -> dict[str, Any]:
    return _usage(result.tokens_in, result.tokens_cached, result.tokens_out) | {
        "cost": result.cost_usd_micros / 1_000_000
    }


def _usage(tokens_in: int, cached: int, tokens_out: int) -> dict[str, Any]:
    """Anthropic counts what its cache gave beside the input, not in it."""
    return {
        "input_tokens": max(0, tokens_in - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": tokens_out,
    }


def _blocks(deltas: list[Delta], *, shows_thoughts: bool) -> Iterator[dict[str, Any]]:
    thoughts = "".join(delta.reasoning for delta in deltas)
    if thoughts and shows_thoughts:
        yield {"type": "thinking", "thinking": thoughts, "signature": ""}
    if shows_thoughts:
        for delta in deltas:
            yield from blocks_of(delta)
    if text := "".join(delta.text for delta in deltas):
        yield {"type": "text", "text": text}
    for call in merged_tool_calls(deltas):
        function = call["function"]
        arguments = arguments_of(function["arguments"])
        block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
        yield {**block, "input": arguments}


def _put_together(events: list[JsonObject]) -> dict[str, Any]:
    """Put Anthropic's own events together to the message that they tell."""
    message: dict[str, Any] = {}
    blocks: dict[object, dict[str, Any]] = {}
    inputs: dict[object, str] = {}
    for given in events:
        index = given.get("index")
        match given.get("type"):
            case "message_start":
                message = dict(mapping(given.get("message")))
            case "content_block_start":
                blocks[index] = dict(mapping(given.get("content_block")))
            case "content_block_delta" if index in blocks:
                _add(blocks[index], mapping(given.get("delta")), inputs, index)
            case "message_delta":
                message |= mapping(given.get("delta"))
                usage = mapping(message.get("usage"))
                message["usage"] = usage | mapping(given.get("usage"))
    for index, raw in inputs.items():
        blocks[index]["input"] = arguments_of(raw)
    return message | {"content": list(blocks.values())}


def _add(
    block: dict[str, Any],
    delta: dict[str, Any],
    inputs: dict[object, str],
    index: object,
) -> None:
    match delta.get("type"):
        case "text_delta":
            block["text"] = text_of(block.get("text")) + text_of(delta.get("text"))
        case "thinking_delta":
            thought = text_of(delta.get("thinking"))
            block["thinking"] = text_of(block.get("thinking")) + thought
        case "signature_delta":
            block["signature"] = delta.get("signature")
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + text_of(delta.get("partial_json"))
        case "citations_delta":
            known = block.get("citations") or []
            block["citations"] = [*known, delta.get("citation")]


def _named(body: JsonObject) -> bytes:
    return event(body["type"], body)
