"""OpenAI's responses API, asked: where its newest models think while they have tools.

No provider of its own: `assistant.providers.openai` decides which of its two wires a
request takes. A client's own body of this wire goes on as it came, its answer too.
Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiassist.lib.egress import Answer, Caps, Destination, EgressError
from assistant.errors import ProviderMalformed
from assistant.providers.base import ChatMessage, ChatRequest, Delta, JsonObject
from assistant.providers.parts import (
    Image,
    Text,
    call_id_of,
    chosen_tool,
    function_of,
    functions_of,
    parts_of,
)
from assistant.providers.responses_wire import (
    ENDS,
    MAX_EVENT_BYTES,
    Reader,
    ResponsesRelay,
    raise_failure,
    whole_delta_of,
)
from assistant.providers.sealed import items_of
from assistant.providers.wire import (
    MAX_STREAM_BYTES,
    as_provider_error,
    caps,
    is_stream,
    mapping,
    objects,
    parse_object,
    post,
    require_type,
    sse_data,
    text_of,
)

PATH = "responses"
# Each token comes in an event of some 300 bytes.
MAX_BYTES = 4 * MAX_STREAM_BYTES
MIN_OUTPUT_TOKENS = 16  # fewer are refused
# What both of OpenAI's wires call alike; of chat's other knobs this one has none.
_SAME = ("parallel_tool_calls", "prompt_cache_key", "safety_identifier", "user")


def answered(
    request: ChatRequest, destination: Destination, *, thinks: bool, effort: str
) -> AsyncGenerator[Delta, None]:
    """Answer piece by piece, as a provider does."""
    body = body_of(request, thinks=thinks, effort=effort)
    limits = replace(caps(), max_bytes=MAX_BYTES)
    if thinks:
        limits = _patient(limits)
    if request.native is None:
        return _read(body, destination, limits)
    return (_relayed if body.get("stream") else _whole)(body, destination, limits)


def _patient(limits: Caps) -> Caps:
    """Wait longer for the next event: who thinks says nothing for minutes."""
    seconds = limits.total_seconds / 2
    return replace(limits, first_byte_seconds=seconds, idle_seconds=seconds)


async def _read(
    body: dict[str, Any], destination: Destination, limits: Caps
) -> AsyncGenerator[Delta, None]:
    reader = Reader()
    async with post(destination, PATH, body, limits) as answer:
        async with aclosing(sse_data(answer, MAX_EVENT_BYTES)) as events:
            async for event in events:
                if event is None:
                    break
                if (delta := reader.read(event)) is not None:
                    yield delta
                if reader.finished:
                    answer.has_said_all = True
                    break
    if not reader.finished:
        raise ProviderMalformed(provider=destination.name)


async def _relayed(
    body: dict[str, Any], destination: Destination, limits: Caps
) -> AsyncGenerator[Delta, None]:
    """Pass the events on as they are; read the one that ends the answer."""
    relay = ResponsesRelay()
    async with post(destination, PATH, body, limits) as answer:
        require_type(answer, "text/event-stream")
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                for delta in relay.feed(chunk):
                    yield delta
                if relay.has_finished:
                    break
            else:
                for delta in relay.end():
                    yield delta
    if not relay.has_finished:
        raise ProviderMalformed(provider=destination.name)


async def _whole(
    body: dict[str, Any], destination: Destination, limits: Caps
) -> AsyncGenerator[Delta, None]:
    """Have the answer in one body. It may take as long as a whole stream."""
    patient = replace(limits, first_byte_seconds=limits.total_seconds)
    async with post(destination, PATH, body, patient) as answer:
        if is_stream(answer):  # some servers know nothing else
            given = await _last_of(answer)
        else:
            require_type(answer, "application/json")
            try:
                given = parse_object(await answer.read(MAX_STREAM_BYTES))
            except EgressError as error:
                raise as_provider_error(destination.name, error) from None
    yield whole_delta_of(given)


async def _last_of(answer: Answer) -> dict[str, Any]:
    """Return the response that a stream ends with; {} when it breaks off."""
    async with aclosing(sse_data(answer, MAX_EVENT_BYTES)) as events:
        async for event in events:
            if event is None:
                break
            if event.get("type") in ENDS:
                raise_failure(event)
                return mapping(event.get("response"))
    return {}


def body_of(request: ChatRequest, *, thinks: bool, effort: str = "") -> dict[str, Any]:
    """Return the request in the wire format of responses. Nothing is kept there.

    What a model `thinks` comes sealed, to be sent back with the next question; while
    it does it takes no temperature.
    """
    max_tokens = max(request.max_tokens, MIN_OUTPUT_TOKENS)
    ours = {"model": request.model, "max_output_tokens": max_tokens, "store": False}
    if request.native is not None:
        return {**request.native.body, **ours}
    extra = request.extra
    body: dict[str, Any] = {
        **{name: extra[name] for name in _SAME if extra.get(name) is not None},
        **ours,
        "input": [item for message in request.messages for item in _items(message)],
        "stream": True,
    }
    if effort:
        body["reasoning"] = {"effort": effort}
    if thinks:
        body["include"] = ["reasoning.encrypted_content"]
    else:
        sampling = {"temperature": request.temperature, "top_p": request.top_p}
        body |= {name: value for name, value in sampling.items() if value is not None}
    if tools := [_tool(function) for function in functions_of(request.tools)]:
        body["tools"] = tools
        if choice := _choice(extra.get("tool_choice")):
            body["tool_choice"] = choice
    if text := _text(extra):
        body["text"] = text
    return body


def _items(message: ChatMessage) -> Iterator[dict[str, Any]]:
    """Yield the items that a message is: thoughts, what was said, then calls."""
    wire = message.wire or {}
    if message.role == "tool":
        output = {"call_id": call_id_of(message), "output": message.content}
        yield {"type": "function_call_output", **output}
        return
    yield from items_of(wire.get("reasoning_details"))
    if content := _content(message):
        yield {"type": "message", "role": message.role, "content": content}
    for call in objects(wire.get("tool_calls")):
        function = function_of(call)
        yield {
            "type": "function_call",
            "call_id": text_of(call.get("id")),
            "name": text_of(function.get("name")),
            "arguments": text_of(function.get("arguments")) or "{}",
        }


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    parts = parts_of(message)
    if not parts or parts == [Text(message.content)]:
        return message.content
    if message.role == "assistant":
        return "\n".join(part.text for part in parts if isinstance(part, Text))
    return [_part(part) for part in parts]


def _part(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if part.media_type == "application/pdf":
        return {
            "type": "input_file",
            "filename": "document.pdf",
            "file_data": part.url,
        }
    return {"type": "input_image", "image_url": part.url}


def _tool(function: JsonObject) -> dict[str, Any]:
    return {
        "type": "function",
        "name": function["name"],
        "description": text_of(function.get("description")),
        "parameters": mapping(function.get("parameters"))
        or {"type": "object", "properties": {}},
        # Here a schema is enforced unless told otherwise, at chat only when asked for.
        "strict": function.get("strict") is True,
    }


def _choice(wanted: object) -> object:
    if name := chosen_tool(wanted):
        return {"type": "function", "name": name}
    return wanted if isinstance(wanted, str) else None


def _text(extra: JsonObject) -> dict[str, Any]:
    """Return how the answer shall be: its format, and how wordy."""
    text: dict[str, Any] = {}
    if verbosity := text_of(extra.get("verbosity")):
        text["verbosity"] = verbosity
    wanted = mapping(extra.get("response_format"))
    if wanted.get("type") == "json_schema":
        schema = mapping(wanted.get("json_schema"))
        text["format"] = {"type": "json_schema", **schema}
    elif wanted.get("type") == "json_object":
        text["format"] = {"type": "json_object"}
    return text
