"""OpenAI's chat completions, spoken to our clients.

Source: https://platform.openai.com/docs/api-reference/chat
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiassist.lib import jsons
from aiassist.lib.errors import AppError
from aiassist.lib.sse import HEARTBEAT
from assistant.faces import reading
from assistant.faces.base import Wanted
from assistant.faces.calls import Asked, Telling, asked_by, with_tools
from assistant.faces.openai_errors import OpenAIErrors, data, error_body
from assistant.gateway.outcome import Result
from assistant.gateway.plan import Options
from assistant.gateway.prompts import is_role, verbatim
from assistant.gateway.turn import Turn
from assistant.providers.base import ChatMessage, Delta
from assistant.providers.openai_wire import data_of
from assistant.providers.wire import mapping, parse_object

MAX_MESSAGES = 2000
# What we judge ourselves. All else is passed on to providers of the same wire.
_OURS = frozenset(
    "model messages stream stream_options max_tokens max_completion_tokens temperature"
    " top_p stop n tools workspace_id fallback".split()
)
# Knobs that cost extra or keep data with the vendor; the operator did not buy these.
DROPPED = frozenset(
    "service_tier store background web_search_options modalities audio prediction"
    " metadata best_of prompt_cache_retention prompt_cache_options".split()
)
DONE = b"data: [DONE]\n\n"
# Quotes inside texts are escaped, so this can only be the member itself.
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Style:
    """What the answer's form depends on."""

    include_usage: bool
    calls: Asked


class ChatFace(OpenAIErrors):
    """`/v1/chat/completions`. `style`: a Style."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        if body.get("n") not in (None, 1):
            raise reading.invalid(
                "n", "Only one choice is served for a request: leave 'n' at 1."
            )
        calls = asked_by(body)
        if calls.by_function:
            body = with_tools(body)
        stream_options = reading.mapping(body, "stream_options")
        limit = "max_completion_tokens" if body.get("max_completion_tokens") else ""
        streams = reading.flag(body, "stream")
        return Wanted(
            model=reading.text(body, "model", required=True),
            prompt=verbatim(_messages(body.get("messages"))),
            stream=streams,
            style=Style(reading.flag(stream_options, "include_usage"), calls),
            workspace_id=reading.workspace(body, headers),
            may_fall_back=reading.maybe_flag(body, "fallback"),
            options=Options(
                max_tokens=reading.count(body, limit or "max_tokens"),
                temperature=reading.number(body, "temperature", most=2),
                top_p=reading.number(body, "top_p", most=1),
                stop=reading.stops(body),
                tools=reading.list_of_objects(body, "tools"),
                wire="" if calls.by_function else "stream" if streams else "whole",
                extra={
                    key: value
                    for key, value in body.items()
                    if key not in _OURS and key not in DROPPED
                },
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> "ChatWriter":
        return ChatWriter(turn, wanted.style)

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        assert turn.result is not None
        if deltas and deltas[0].whole is not None:
            return {
                **deltas[0].whole,
                "model": turn.result.model,
                "usage": mapping(deltas[0].whole.get("usage"))
                | usage_body(turn.result),
            }
        text = "".join(delta.text for delta in deltas)
        telling = Telling(wanted.style.calls)
        calls = telling.whole(merged_tool_calls(deltas))
        extra = merged_extra(deltas)
        logprobs = extra.pop("logprobs", None)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not calls else None,
            "refusal": None,
            **extra,
            **calls,
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": telling.finish(turn.result.finish_reason),
        }
        body: dict[str, Any] = {
            "id": _completion_id(turn),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": turn.result.model,
            "choices": [choice],
            "usage": usage_body(turn.result),
        }
        if citations := citations_of(turn):
            body["citations"] = citations
        return body


class ChatWriter:
    """Writes chunks that share an id, a time and a model.

    Frames of a provider of the same wire are passed on with its id and time, and
    with our name of the model.
    """

    heartbeat = HEARTBEAT

    def __init__(self, turn: Turn, style: Style) -> None:
        self._turn = turn
        self._include_usage = style.include_usage
        self._calls = Telling(style.calls)
        self._has_begun = False
        self._id: object = _completion_id(turn)
        self._created: object = int(time.time())
        self._upstream_model = self._model = b""

    def opening(self) -> bytes:
        return b""  # who speaks is known with the first piece

    def delta(self, delta: Delta) -> bytes:
        if delta.wire:
            return self._passed_on(delta.wire)
        piece = with_reasoning(delta)
        logprobs = piece.pop("logprobs", None)
        if delta.text:
            piece["content"] = delta.text
        if delta.tool_calls:
            piece |= self._calls.piece(delta.tool_calls)
        if not (piece or logprobs):
            return b""
        return self._begin() + self._chunk(piece, logprobs=logprobs)

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        return self._chunk(
            {"role": "assistant", "content": ""}, citations=citations_of(self._turn)
        )

    def _passed_on(self, wire: bytes) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            self._learn(wire)
        if self._upstream_model:
            return wire.replace(self._upstream_model, self._model)
        return wire

    def _learn(self, wire: bytes) -> None:
        """Take over the id and time of the first frame, and how it names the model."""
        frame = wire.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
        first = parse_object(data_of(frame) or b"{}")
        self._id = first.get("id", self._id)
        self._created = first.get("created", self._created)
        if found := _MODEL.search(frame):
            self._upstream_model = found[0]
            self._model = b'"model":' + jsons.dumps(self._turn.route.offer.id)

    def ending(self, result: Result) -> bytes:
        last = self._begin()
        if rest := self._calls.rest():
            last += self._chunk(rest)
        last += self._chunk({}, finish_reason=self._calls.finish(result.finish_reason))
        if self._include_usage:
            last += data({**self._body([]), "usage": usage_body(result)})
        return last + DONE

    def failure(self, error: AppError) -> bytes:
        return data(error_body(error))

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: object = None,
        citations: list[dict[str, object]] | None = None,
    ) -> bytes:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        body = self._body([choice])
        if self._include_usage:
            body["usage"] = None
        if citations:
            body["citations"] = citations
        return data(body)

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._turn.route.offer.id,
            "choices": choices,
        }


def citations_of(turn: Turn) -> list[dict[str, object]]:
    return [passage.citation() for passage in turn.ready.assembled.passages]


def usage_body(result: Result) -> dict[str, Any]:
    return {
        "prompt_tokens": result.tokens_in,
        "completion_tokens": result.tokens_out,
        "total_tokens": result.tokens_in + result.tokens_out,
        "prompt_tokens_details": {"cached_tokens": result.tokens_cached},
        "cost": result.cost_usd_micros / 1_000_000,
    }


def with_reasoning(delta: Delta) -> dict[str, Any]:
    """Return the fields beside text and calls, thoughts under the common name."""
    piece = dict(delta.extra)
    if delta.reasoning and not piece.keys() & {"reasoning", "reasoning_content"}:
        piece["reasoning_content"] = delta.reasoning
    return piece


def merged_extra(deltas: list[Delta]) -> dict[str, Any]:
    """Put streamed fields together: texts and lists joined, of others the last."""
    merged: dict[str, Any] = {}
    for delta in deltas:
        for name, value in with_reasoning(delta).items():
            known = merged.get(name)
            merged[name] = _joined(known, value)
    return merged


def _joined(known: object, value: Any) -> Any:
    match known, value:
        case (str(), str()) | (list(), list()):
            return known + value
        case dict(), dict():
            return {**known, **{k: _joined(known.get(k), v) for k, v in value.items()}}
    return value


def merged_tool_calls(deltas: list[Delta]) -> list[dict[str, Any]]:
    """Put streamed pieces of tool calls together, by their index."""
    calls: dict[int, dict[str, Any]] = {}
    for piece in (piece for delta in deltas for piece in delta.tool_calls):
        index = piece.get("index")
        call = calls.setdefault(
            index if isinstance(index, int) else len(calls),
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        for name, value in piece.items():
            if name not in ("index", "type", "function", "custom") and value:
                call[name] = value
        if isinstance(custom := piece.get("custom"), dict):
            call |= {"type": "custom", "custom": _joined(call.get("custom"), custom)}
            call.pop("function", None)
        function = piece.get("function")
        if isinstance(function, dict):
            call["function"]["name"] += str(function.get("name") or "")
            call["function"]["arguments"] += str(function.get("arguments") or "")
    return [call for _, call in sorted(calls.items())]


def _completion_id(turn: Turn) -> str:
    return "chatcmpl-" + turn.id.removeprefix("msg_")


def _messages(value: object) -> tuple[ChatMessage, ...]:
    if not isinstance(value, list) or not value:
        raise reading.invalid("messages", "Send at least one message.")
    if len(value) > MAX_MESSAGES:
        raise reading.invalid("messages", f"Send at most {MAX_MESSAGES} messages.")
    return tuple(_message(item, index) for index, item in enumerate(value))


def _message(item: object, index: int) -> ChatMessage:
    where = f"messages.{index}"
    if not isinstance(item, dict) or not isinstance(item.get("role"), str):
        raise reading.invalid(where, "A message is an object with a role and content.")
    content = item.get("content")
    plain = _plain_text(content, where)
    role = is_role(item["role"])
    if set(item) <= {"role", "content"} and isinstance(content, str):
        return ChatMessage(role, plain)
    # Compatible servers do not know OpenAI's new name for `system`.
    wire = {**item, "role": role} if item["role"] == "developer" else item
    return ChatMessage(role, plain, wire)


def _plain_text(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise reading.invalid(f"{where}.content", "Content is text or a list of parts.")
    texts = []
    for part in content:
        if not isinstance(part, dict):
            raise reading.invalid(f"{where}.content", "A part of content is an object.")
        if isinstance(text := part.get("text"), str):
            texts.append(text)
    return "\n".join(texts)
