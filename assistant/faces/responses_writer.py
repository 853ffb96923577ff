"""The events of OpenAI's responses, in their order.

    response.created, response.in_progress
    per item: output_item.added, …delta, …done, output_item.done
    response.completed (or .incomplete, .failed)

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiassist.lib.errors import AppError
from aiassist.lib.ids import base62_random
from aiassist.lib.sse import HEARTBEAT, event
from assistant.faces.chat import citations_of, merged_tool_calls
from assistant.faces.openai_errors import code_of
from assistant.gateway.outcome import Result
from assistant.gateway.turn import Turn
from assistant.providers.base import Delta, JsonObject
from assistant.providers.openai_wire import data_of
from assistant.providers.parts import arguments_of
from assistant.providers.sealed import items_of
from assistant.providers.wire import mapping, parse_object, text_of

# The events of a stream that tell of the whole answer: at its start, at its end.
_OPENING = re.compile(rb'"type"\s*:\s*"response\.(?:created|queued|in_progress)"')
_ENDINGS = ("response.completed", "response.incomplete")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Tool:
    """A client's tool: how it is called, and what it was given as."""

    name: str
    namespace: str
    is_custom: bool
    given: Mapping[str, Any]


class ResponseWriter:
    """Writes one stream; `response` is the whole answer in the end.

    Frames of a provider of the same wire are passed on, with our name of the model in
    the first ones; of the last one the usage gets its cost.
    """

    heartbeat = HEARTBEAT

    def __init__(
        self, turn: Turn, echoed: Mapping[str, Any], tools: Mapping[str, Tool]
    ) -> None:
        self._turn = turn
        self._tools = tools
        self._n_events = 0
        self._has_begun = False
        self._ended_by: JsonObject | None = None  # a passed on stream's last event
        self._open: dict[str, Any] | None = None  # the item that is being written
        self._call: object = None  # index of the tool call that is written live
        self._later: list[Delta] = []  # calls that came beside it
        self.response: dict[str, Any] = {
            "id": "resp_" + turn.id.removeprefix("msg_"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": turn.route.offer.id,
            "output": [],
            "usage": None,
            **echoed,
        }
        if citations := citations_of(turn):
            self.response["citations"] = citations

    def opening(self) -> bytes:
        return b""  # who answers is known with the first piece

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        self.response["model"] = self._turn.route.offer.id
        return self._state("created") + self._state("in_progress")

    def delta(self, delta: Delta) -> bytes:
        if delta.wire:
            return self._passed_on(delta.wire)
        if delta.native:
            return b"".join(map(self._native, delta.native))
        out = self._begin()
        if delta.reasoning:
            out += self._thought(delta.reasoning)
        for item in items_of(delta.extra.get("reasoning_details")):
            out += self._start(item) + self._close()
        if delta.text:
            out += self._text(delta.text)
        for call in delta.tool_calls:
            out += self._tool_call(call)
        return out

    def _passed_on(self, wire: bytes) -> bytes:
        self._n_events += wire.count(b"\n\n")
        if self._has_begun:
            return wire
        self._has_begun = True
        frames = wire.replace(b"\r\n", b"\n").split(b"\n\n")
        return b"".join(self._opened(frame) for frame in frames if frame)

    def _opened(self, frame: bytes) -> bytes:
        """Put our name of the model into the events that open an answer."""
        if not _OPENING.search(frame):
            return frame + b"\n\n"
        given = parse_object(data_of(frame))
        own = mapping(given.get("response")) | {"model": self._turn.route.offer.id}
        self.response |= own
        return event(text_of(given.get("type")), {**given, "response": own})

    def _native(self, given: JsonObject) -> bytes:
        kind = text_of(given.get("type"))
        if kind in _ENDINGS:
            self._ended_by = given
            return b""
        self._n_events += 1
        return event(kind, given)

    def ending(self, result: Result) -> bytes:
        if self._ended_by is not None:
            response = own_answer(mapping(self._ended_by.get("response")), result)
            body = {**self._ended_by, "response": response}
            return event(text_of(body["type"]), body)
        out = self._begin() + self._close()
        for call in merged_tool_calls(self._later):
            out += self._start_call(call)
            out += self._arguments(call["function"]["arguments"]) + self._close()
        reason = _INCOMPLETE.get(result.finish_reason)
        state = "incomplete" if reason else "completed"
        self.response["model"] = result.model
        self.response["incomplete_details"] = {"reason": reason} if reason else None
        self.response["usage"] = _usage(result)
        return out + self._state(state)

    def failure(self, error: AppError) -> bytes:
        out = self._begin()
        self.response["error"] = {"code": code_of(error), "message": error.sentence}
        return out + self._state("failed")

    def _state(self, state: str) -> bytes:
        self.response["status"] = "in_progress" if state == "created" else state
        return self._event(f"response.{state}", response=self.response)

    def _event(self, kind: str, **members: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._n_events, **members}
        self._n_events += 1
        return event(kind, body)

    def _of_item(self, kind: str, **members: Any) -> bytes:
        """Write an event of the open item."""
        assert self._open is not None
        item_id = {"item_id": self._open["id"]}
        return self._event(
            f"response.{kind}", **item_id, output_index=self._index, **members
        )

    @property
    def _index(self) -> int:
        return len(self.response["output"])

    def _start(self, item: dict[str, Any]) -> bytes:
        out = self._close()
        self._open = item
        return out + self._event(
            "response.output_item.added", output_index=self._index, item=item
        )

    def _thought(self, text: str) -> bytes:
        out, item = b"", self._open
        if item is None or item["type"] != "reasoning":
            out = self._start({"id": _id("rs"), "type": "reasoning", "summary": []})
            item = self._open
            assert item is not None
            part = {"type": "summary_text", "text": ""}
            item["summary"].append(part)
            out += self._of_item(
                "reasoning_summary_part.added", summary_index=0, part=part
            )
        item["summary"][0]["text"] += text
        return out + self._of_item(
            "reasoning_summary_text.delta", summary_index=0, delta=text
        )

    def _text(self, text: str) -> bytes:
        out, item = b"", self._open
        if item is None or item["type"] != "message":
            head = {"id": _id("msg"), "type": "message", "role": "assistant"}
            out = self._start({**head, "status": "in_progress", "content": []})
            item = self._open
            assert item is not None
            part: dict[str, Any] = {"type": "output_text", "text": ""}
            item["content"].append(part | {"annotations": [], "logprobs": []})
            out += self._of_item(
                "content_part.added", content_index=0, part=item["content"][0]
            )
        item["content"][0]["text"] += text
        return out + self._of_item(
            "output_text.delta", content_index=0, delta=text, logprobs=[]
        )

    def _tool_call(self, call: JsonObject) -> bytes:
        """Write the first call as it comes; others wait, as pieces may interleave."""
        if self._call is not None and call.get("index") != self._call:
            self._later.append(Delta(tool_calls=(call,)))
            return b""
        out = b""
        if self._call is None:
            self._call = call.get("index")
            out = self._start_call(call)
        arguments = mapping(call.get("function")).get("arguments")
        return out + self._arguments(text_of(arguments))

    def _start_call(self, call: JsonObject) -> bytes:
        name = text_of(mapping(call.get("function")).get("name"))
        tool = self._tools.get(name) or Tool(name, "", False, {})
        item: dict[str, Any] = {
            "id": _id("ctc" if tool.is_custom else "fc"),
            "type": "custom_tool_call" if tool.is_custom else "function_call",
            "status": "in_progress",
            "call_id": text_of(call.get("id")),
            "name": tool.name,
            "input" if tool.is_custom else "arguments": "",
        }
        if tool.namespace:
            item["namespace"] = tool.namespace
        return self._start(item)

    def _arguments(self, piece: str) -> bytes:
        item = self._open
        if not piece or item is None:
            return b""
        if item["type"] == "custom_tool_call":
            item["input"] += piece  # JSON until it is whole; see _close
            return b""
        item["arguments"] += piece
        return self._of_item("function_call_arguments.delta", delta=piece)

    def _close(self) -> bytes:
        item = self._open
        if item is None:
            return b""
        out = self._done(item)
        if "status" in item:
            item["status"] = "completed"
        index = self._index
        self.response["output"].append(item)
        self._open = None
        return out + self._event(
            "response.output_item.done", output_index=index, item=item
        )

    def _done(self, item: dict[str, Any]) -> bytes:
        match item["type"]:
            case "reasoning" if not item["summary"]:  # sealed
                return b""
            case "reasoning":
                part = item["summary"][0]
                return self._of_item(
                    "reasoning_summary_text.done", summary_index=0, text=part["text"]
                ) + self._of_item(
                    "reasoning_summary_part.done", summary_index=0, part=part
                )
            case "message":
                part = item["content"][0]
                return self._of_item(
                    "output_text.done", content_index=0, text=part["text"], logprobs=[]
                ) + self._of_item("content_part.done", content_index=0, part=part)
            case "custom_tool_call":
                item["input"] = text_of(arguments_of(item["input"]).get("input"))
                delta = self._of_item(
                    "custom_tool_call_input.delta", delta=item["input"]
                )
                return delta + self._of_item(
                    "custom_tool_call_input.done", input=item["input"]
                )
        item["arguments"] = item["arguments"] or "{}"
        return self._of_item(
            "function_call_arguments.done",
            arguments=item["arguments"],
            name=item["name"],
        )


def own_answer(response: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """Return a provider's own whole answer, with our name of the model and its cost."""
    cost = {"cost": result.cost_usd_micros / 1_000_000}
    usage = mapping(response.get("usage")) or _usage(result)
    return {**response, "model": result.model, "usage": usage | cost}


def _id(kind: str) -> str:
    return f"{kind}_{base62_random(24)}"


def _usage(result: Result) -> dict[str, Any]:
    cached = {"cached_tokens": result.tokens_cached, "cache_write_tokens": 0}
    return {
        "input_tokens": result.tokens_in,
        "input_tokens_details": cached,
        "output_tokens": result.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": result.tokens_in + result.tokens_out,
        "cost": result.cost_usd_micros / 1_000_000,
    }
