"""Anthropic's messages API.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from aiassist.lib.egress import Destination
from assistant.errors import ProviderBusy, ProviderMalformed, ProviderUnavailable
from assistant.providers.base import (
    Access,
    ChatMessage,
    ChatRequest,
    Delta,
    JsonObject,
    Usage,
)
from assistant.providers.given import GivenDestination
from assistant.providers.listing import listed
from assistant.providers.parts import (
    Image,
    Text,
    call_id_of,
    calls_of,
    chosen_tool,
    functions_of,
    json_schema_of,
    parts_of,
    wants_json,
)
from assistant.providers.schemas import closed
from assistant.providers.sealed import is_anthropics
from assistant.providers.wire import count_of, mapping, post, sse_data, text_of

API_VERSION = "2023-06-01"
MIN_THINKING_TOKENS = 1024  # Anthropic refuses a smaller budget
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_EFFORTS = {"minimal": "low"} | {
    e: e for e in ("low", "medium", "high", "xhigh", "max")
}
# Claude up to 4.6: claude-3-5-…, claude-sonnet-4-20250514, claude-haiku-4-5
_SAMPLED = re.compile(r"claude-(?:[1-3]|instant|[a-z]+-4(?:-[0-6])?(?:-\d{8})?$)")
_ONLY_JSON = "Answer with one JSON object and nothing else."


class AnthropicProvider:
    name = "anthropic"
    takes_tools = True
    takes_images = True
    takes_image_urls = True

    def is_configured(self) -> bool:
        return bool(settings.ANTHROPIC_API_KEY)

    def takes_raw(self, base_url: str = "") -> bool:
        return False

    async def models(self) -> Sequence[str]:
        """The catalogue's rows say which models are offered, and their prices."""
        return ()

    async def names(self, access: Access | None = None) -> Sequence[str]:
        path = "v1/models?limit=1000"
        return await listed(_destination(access), path, member="data", name="id")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        headers = request.native.headers if request.native else {}
        destination = _destination(request.access, headers)
        reader = _Reader(is_native=request.native is not None)
        async with post(destination, "v1/messages", body_of(request)) as answer:
            async with aclosing(sse_data(answer)) as events:
                async for event in events:
                    if event is None or event.get("type") == "message_stop":
                        answer.has_said_all = True
                        break
                    if (delta := reader.read(event)) is not None:
                        yield delta
        if not reader.finished:
            raise ProviderMalformed(provider=self.name)


def _destination(
    access: Access | None = None, headers: Mapping[str, str] | None = None
) -> Destination:
    known = {"anthropic-version": API_VERSION, **(headers or {})}
    if access is not None:
        known |= {"x-api-key": access.key} if access.key else {}
        return GivenDestination("anthropic", access.base_url, known, access.trust)
    known["x-api-key"] = settings.ANTHROPIC_API_KEY
    return Destination("anthropic", settings.ANTHROPIC_BASE_URL, known)


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Return the request in Anthropic's wire format."""
    if request.native is not None:
        return _native_body(request, request.native.body)
    system, messages = _system(request), _messages(request.messages)
    if system and not messages:  # which Anthropic refuses
        system, messages = "", [{"role": "user", "content": system}]
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": messages,
        "stream": True,
    }
    if system:
        body["system"] = system
    body |= _sampling(request)
    if stops := [stop for stop in request.stop if stop.strip()]:  # no others are taken
        body["stop_sequences"] = stops
    if request.tools:
        body |= _tools(request)
    if thinking := mapping(request.extra.get("thinking")):
        body["thinking"] = _within(thinking, request.max_tokens)
    if config := _output_config(request.extra):
        body["output_config"] = config
    return body


def _sampling(request: ChatRequest) -> dict[str, float]:
    """Return one knob at most: Claude takes no two, and none from 4.7 on.

    Editors set a temperature for every model, so a refusal would shut them out.
    """
    name = request.model
    if "claude" in name and not _SAMPLED.search(name):
        return {}
    if request.temperature is not None:
        return {"temperature": min(request.temperature, 1.0)}
    return {} if request.top_p is None else {"top_p": request.top_p}


def _native_body(request: ChatRequest, given: JsonObject) -> dict[str, Any]:
    """Return the client's own body, held to what the tier allows."""
    body = {
        **given,
        "model": request.model,
        "messages": _with_own_thoughts(given.get("messages", [])),
        "max_tokens": request.max_tokens,
        "stream": True,
    }
    if thinking := mapping(given.get("thinking")):
        body["thinking"] = _within(thinking, request.max_tokens)
    return body


def _with_own_thoughts(messages: list[Any]) -> list[Any]:
    """Leave out other models' thoughts: who changes the model brings them along."""
    found = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and not all(map(is_anthropics, content)):
            content = list(filter(is_anthropics, content))
            message = {**message, "content": content}
        if content:
            found.append(message)
    return found


def _within(thinking: dict[str, Any], max_tokens: int) -> dict[str, Any]:
    """Keep a thinking budget below `max_tokens`, or Anthropic refuses it."""
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < max_tokens:
        return thinking
    if max_tokens <= MIN_THINKING_TOKENS:
        return {"type": "disabled"}
    return {**thinking, "budget_tokens": max_tokens - 1}


def _system(request: ChatRequest) -> str | list[dict[str, Any]]:
    """`system` stands apart; marks for the cache make it a list of blocks."""
    parts = [
        part
        for message in request.messages
        if message.role == "system"
        for part in parts_of(message)
        if isinstance(part, Text)
    ]
    if wants_json(request.extra):
        parts.append(Text(_ONLY_JSON))
    if any(part.cache_control for part in parts):
        return [_block(part) for part in parts]
    return "\n\n".join(part.text for part in parts)


def _messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Translate; the results of one round of tools go into one message."""
    found: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the round that is being read
    for message in messages:
        if message.role == "tool":
            if results is None:
                results = []
                found.append({"role": "user", "content": results})
            results.append(_result(message))
        elif message.role in ("user", "assistant"):
            if content := _content(message):
                found.append({"role": message.role, "content": content})
                results = None
    return found


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    parts, calls = parts_of(message), calls_of(message)
    if not calls and len(parts) == 1 and parts[0] == Text(message.content):
        return message.content
    blocks = [_block(part) for part in parts]
    for call in calls:
        block = {"id": _id(call.id), "name": call.name, "input": call.arguments}
        blocks.append({"type": "tool_use", **block})
    return blocks


def _block(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if part.cache_control:
            block["cache_control"] = part.cache_control
        return block
    if part.data:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    else:
        source = {"type": "url", "url": part.url}
    is_document = part.media_type == "application/pdf"
    return {"type": "document" if is_document else "image", "source": source}


def _id(call_id: str) -> str:
    """Return an id as Anthropic takes it: other vendors write dots and colons."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", call_id)


def _result(message: ChatMessage) -> dict[str, Any]:
    content = [_block(part) for part in parts_of(message)]
    return {
        "type": "tool_result",
        "tool_use_id": _id(call_id_of(message)),
        "content": content,
    }


def _tools(request: ChatRequest) -> dict[str, Any]:
    tools = [
        {
            "name": function["name"],
            "description": text_of(function.get("description")),
            "input_schema": {"type": "object", **mapping(function.get("parameters"))},
        }
        for function in functions_of(request.tools)
    ]
    wanted = request.extra.get("tool_choice")
    choice: dict[str, Any] = {
        "none": {"type": "none"},
        "required": {"type": "any"},
    }.get(text_of(wanted), {"type": "auto"})
    if name := chosen_tool(wanted):
        choice = {"type": "tool", "name": name}
    if request.extra.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    is_default = choice == {"type": "auto"}
    return {"tools": tools} | ({} if is_default else {"tool_choice": choice})


def _output_config(extra: JsonObject) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if effort := _EFFORTS.get(text_of(extra.get("reasoning_effort"))):
        config["effort"] = effort
    if (schema := json_schema_of(extra)) is not None:
        config["format"] = {"type": "json_schema", "schema": closed(schema)}
    return config


@dataclass(slots=True)
class _Reader:
    """Reads events; what the first says of the input counts until the last does.

    For a client of the same wire the events go along as they are, the opening ones
    held back until there is something to say: until then another try is possible.
    """

    is_native: bool = False
    told: dict[str, Any] = field(default_factory=dict)  # of the usage, so far
    n_calls: int = 0
    finished: bool = False
    has_said: bool = False
    held: list[JsonObject] = field(default_factory=list)

    def read(self, event: dict[str, Any]) -> Delta | None:
        delta = self._read(event)
        if not self.is_native:
            return delta
        self.held.append(event)
        found = delta or Delta()
        self.has_said = self.has_said or found.says or bool(found.finish_reason)
        if not self.has_said:
            return delta
        native, self.held = tuple(self.held), []
        return Delta(
            text=found.text,
            tool_calls=found.tool_calls,
            reasoning=found.reasoning,
            native=native,
            finish_reason=found.finish_reason,
            usage=found.usage,
        )

    def _read(self, event: dict[str, Any]) -> Delta | None:
        match event.get("type"):
            case "message_start":
                self._note(mapping(mapping(event.get("message")).get("usage")))
                # At once: a stream that breaks off tells no more of its input.
                return Delta(usage=self._usage(None)) if self.told else None
            case "content_block_start":
                return self._opening(mapping(event.get("content_block")))
            case "content_block_delta":
                return self._piece(mapping(event.get("delta")))
            case "message_delta":
                return self._ending(event)
            case "error":
                raise _error(text_of(mapping(event.get("error")).get("type")))
        return None

    def _opening(self, block: dict[str, Any]) -> Delta | None:
        if block.get("type") != "tool_use":
            return None
        self.n_calls += 1
        call = {
            "index": self.n_calls - 1,
            "id": text_of(block.get("id")),
            "type": "function",
            "function": {"name": text_of(block.get("name")), "arguments": ""},
        }
        return Delta(tool_calls=(call,))

    def _piece(self, delta: dict[str, Any]) -> Delta | None:
        match delta.get("type"):
            case "thinking_delta":
                return Delta(reasoning=text_of(delta.get("thinking")))
            case "input_json_delta" if self.n_calls:
                function = {"arguments": text_of(delta.get("partial_json"))}
                call = {"index": self.n_calls - 1, "function": function}
                return Delta(tool_calls=(call,))
        return Delta(text=text_of(delta.get("text")))

    def _ending(self, event: dict[str, Any]) -> Delta:
        stop_reason = text_of(mapping(event.get("delta")).get("stop_reason"))
        finish_reason = _FINISH.get(stop_reason, "stop" if stop_reason else "")
        self.finished = self.finished or bool(finish_reason)
        usage = mapping(event.get("usage"))
        self._note(usage)
        tokens_out = usage.get("output_tokens")
        if tokens_out is None:
            return Delta(finish_reason=finish_reason)
        return Delta(
            finish_reason=finish_reason, usage=self._usage(count_of(tokens_out))
        )

    def _note(self, usage: dict[str, Any]) -> None:
        """Keep what is told; the last event tells anew, or leaves out, what is known.

        Some servers of the same wire know the input only then.
        """
        self.told |= {name: n for name, n in usage.items() if n is not None}

    def _usage(self, tokens_out: int | None) -> Usage:
        cached = count_of(self.told.get("cache_read_input_tokens"))
        tokens_in = (
            count_of(self.told.get("input_tokens"))
            + count_of(self.told.get("cache_creation_input_tokens"))
            + cached
        )
        return Usage(tokens_in, tokens_out, cached)


def _error(kind: str) -> ProviderUnavailable:
    if kind in ("overloaded_error", "rate_limit_error"):
        return ProviderBusy(provider="anthropic")
    return ProviderUnavailable(provider="anthropic")
