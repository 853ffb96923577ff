"""Reading a message in OpenAI's words: texts, images, tool calls, tool results.

What vendors with another wire translate from.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.providers.base import ChatMessage, JsonObject
from assistant.providers.wire import mapping, objects, text_of

_DATA_URL = re.compile(
    r"data:(image/[a-z0-9.+-]+|application/pdf);base64,(.*)", re.DOTALL
)
_CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
_TEXTS = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache_control: JsonObject = field(default_factory=dict)  # Anthropic's, if any


@dataclass(frozen=True, slots=True)
class Image:
    """Inline (`media_type` and base64 `data`), or by `url`; a PDF counts as one."""

    url: str
    media_type: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `extra` is a vendor's own (Google's thought signature)."""

    id: str
    name: str
    arguments: JsonObject
    extra: JsonObject = field(default_factory=dict)


def parts_of(message: ChatMessage) -> list[Text | Image]:
    """Return what the message shows, in order; empty texts are left out."""
    content = message.content if message.wire is None else message.wire.get("content")
    if not isinstance(content, list):
        text = text_of(content) or message.content
        return [Text(text)] if text.strip() else []
    return list(_parts(objects(content)))


def _parts(items: Iterable[dict[str, Any]]) -> Iterator[Text | Image]:
    for item in items:
        kind = item.get("type", "text")
        if kind in _TEXTS and text_of(item.get("text")).strip():
            yield Text(text_of(item["text"]), mapping(item.get("cache_control")))
        elif kind in ("image_url", "input_image"):
            found = item.get("image_url")
            url = found if isinstance(found, str) else mapping(found).get("url")
            yield image_of(text_of(url))
        elif kind == "file":
            yield image_of(text_of(mapping(item.get("file")).get("file_data")))


def n_images(message: ChatMessage) -> int:
    """Return how many images a message shows."""
    return sum(isinstance(part, Image) for part in parts_of(message))


def image_of(url: str) -> Image:
    """Return the image behind a URL, `data:` ones taken apart."""
    if match := _DATA_URL.fullmatch(url):
        return Image(url, match[1], match[2])
    return Image(url)


def calls_of(message: ChatMessage) -> list[Call]:
    """Return the tool calls of an assistant's message."""
    wire = message.wire or {}
    return [
        Call(
            id=text_of(call.get("id")),
            name=text_of(function.get("name")),
            arguments=arguments_of(function.get("arguments")),
            extra=mapping(call.get("extra_content")),
        )
        for call in objects(wire.get("tool_calls"))
        if (function := function_of(call))
    ]


def function_of(call: JsonObject) -> dict[str, Any]:
    """Return the name and arguments of a call; a custom tool's text is `input`."""
    if custom := mapping(call.get("custom")):
        arguments = json.dumps({"input": text_of(custom.get("input"))})
        return {"name": custom.get("name"), "arguments": arguments}
    return mapping(call.get("function"))


def arguments_of(value: object) -> dict[str, Any]:
    """Return a call's arguments; what is no JSON object becomes an empty one."""
    if isinstance(value, dict):
        return value
    try:
        return mapping(json.loads(text_of(value) or "{}"))
    except (ValueError, RecursionError):
        return {}


def call_id_of(message: ChatMessage) -> str:
    """Return which call a tool's message answers."""
    return text_of((message.wire or {}).get("tool_call_id"))


def call_names(messages: Sequence[ChatMessage]) -> dict[str, str]:
    """Return call id → the tool's name: Gemini and Ollama want it with a result."""
    return {call.id: call.name for message in messages for call in calls_of(message)}


def functions_of(tools: Sequence[JsonObject]) -> list[dict[str, Any]]:
    """Return {name, description, parameters} of each tool that the client runs."""
    found = [_described(tool) for tool in tools]
    return [function for function in found if text_of(function.get("name"))]


def _described(tool: JsonObject) -> dict[str, Any]:
    if custom := mapping(tool.get("custom")):
        grammar = mapping(mapping(custom.get("format")).get("grammar"))
        return custom_function(custom, text_of(grammar.get("definition")))
    return mapping(tool.get("function"))


def custom_function(tool: JsonObject, grammar: str) -> dict[str, Any]:
    """Describe a tool that takes text to who knows schemas alone."""
    description = text_of(tool.get("description"))
    if grammar:
        description += f"\n\nThe input follows this grammar:\n{grammar}"
    return {
        "name": text_of(tool.get("name")),
        "description": description,
        "parameters": _CUSTOM_SCHEMA,
    }


def chosen_tool(choice: object) -> str:
    """Return the name of the tool that `tool_choice` demands; "" for none."""
    wanted = mapping(choice)
    named = mapping(wanted.get("function")) or mapping(wanted.get("custom"))
    return text_of(named.get("name"))


def json_schema_of(extra: JsonObject) -> dict[str, Any] | None:
    """Return the schema that `response_format` demands; None without one."""
    wanted = mapping(extra.get("response_format"))
    if wanted.get("type") != "json_schema":
        return None
    return mapping(mapping(wanted.get("json_schema")).get("schema"))


def wants_json(extra: JsonObject) -> bool:
    """Tell whether any JSON object is wanted."""
    return mapping(extra.get("response_format")).get("type") == "json_object"
