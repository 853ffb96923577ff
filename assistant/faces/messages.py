"""Anthropic's messages, spoken to our clients, whichever provider answers.

For Anthropic itself the body goes on as it came; for all others it is translated
into OpenAI's words. What only Anthropic knows (thinking's signatures, marks for its
cache) is left out of the translation.
Source: https://docs.anthropic.com/en/api/messages
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from assistant.errors import UnsupportedParameter
from assistant.faces import reading
from assistant.faces.anthropic_errors import AnthropicErrors
from assistant.faces.base import Wanted
from assistant.faces.messages_writer import MessagesWriter, whole_message
from assistant.gateway.plan import Options
from assistant.gateway.prompts import verbatim
from assistant.gateway.turn import Turn
from assistant.providers import sealed
from assistant.providers.base import ChatMessage, Delta, Native
from assistant.providers.wire import mapping, objects, text_of

MAX_MESSAGES = 4000
# Ours, or knobs that cost extra, reach third parties or keep data with the vendor.
_DROPPED = frozenset(
    "workspace_id fallback metadata service_tier container mcp_servers inference_geo"
    " speed diagnostics fallbacks fallback_credit_token billing_policy"
    " user_profile_id".split()
)
# Tools that the vendor runs itself, at a price of their own.
_HOSTED = ("web_search_", "web_fetch_", "code_execution_", "advisor_", "mcp_toolset")
_FORWARDED = ("anthropic-version", "anthropic-beta")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class MessagesFace(AnthropicErrors):
    """`/v1/messages`. `style`: whether thoughts are to be shown."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        if body.get("max_tokens") is None:
            raise reading.invalid("max_tokens", "'max_tokens' must be given.")
        return self.read_prompt(body, headers)

    def read_prompt(
        self, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Wanted:
        """Read a body that may lack `max_tokens`: its tokens are only counted."""
        if body.get("thread"):
            raise _stateful("thread")
        given = reading.list_of_objects(body, "tools")
        thinking = reading.mapping(body, "thinking")
        return Wanted(
            model=reading.text(body, "model", required=True),
            prompt=verbatim((*_system(body), *_messages(body))),
            stream=reading.flag(body, "stream"),
            style=thinking.get("type") not in (None, "disabled"),
            workspace_id=reading.workspace(body, headers),
            may_fall_back=reading.maybe_flag(body, "fallback"),
            options=Options(
                max_tokens=reading.count(body, "max_tokens"),
                temperature=reading.number(body, "temperature", most=1),
                top_p=reading.number(body, "top_p", most=1),
                stop=reading.stops(body, "stop_sequences"),
                tools=tuple(
                    _function(tool) for tool in given if "input_schema" in tool
                ),
                extra=_extra(body),
                effort=text_of(reading.mapping(body, "output_config").get("effort")),
                native=_native(body, headers),
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> MessagesWriter:
        return MessagesWriter(turn, shows_thoughts=bool(wanted.style))

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        return whole_message(turn, deltas, shows_thoughts=bool(wanted.style))


def _stateful(name: str) -> UnsupportedParameter:
    """One key of the operator's serves many users, whose states must not meet."""
    sentence = "Nothing is kept here: send the whole conversation."
    errors = [{"field": name, "code": "unsupported_parameter", "detail": sentence}]
    return UnsupportedParameter(sentence, errors=errors)


def _native(body: Mapping[str, Any], headers: Mapping[str, str]) -> Native:
    kept = {key: value for key, value in body.items() if key not in _DROPPED}
    if "tools" in kept:
        tools = objects(kept["tools"])
        kept["tools"] = [t for t in tools if not _is_hosted(text_of(t.get("type")))]
    forwarded = {name: headers[name] for name in _FORWARDED if headers.get(name)}
    return Native("anthropic", kept, forwarded)


def _is_hosted(kind: str) -> bool:
    return kind.startswith(_HOSTED)


def _system(body: Mapping[str, Any]) -> Iterator[ChatMessage]:
    system = body.get("system")
    if isinstance(system, str):
        yield ChatMessage("system", system)
    elif isinstance(system, list):
        texts = [text_of(block.get("text")) for block in objects(system)]
        yield ChatMessage("system", "\n\n".join(filter(None, texts)))
    elif system is not None:
        raise reading.invalid("system", "'system' is a text or a list of blocks.")


def _messages(body: Mapping[str, Any]) -> Iterator[ChatMessage]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_MESSAGES:
        raise reading.invalid("messages", f"Send 1 to {MAX_MESSAGES} messages.")
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant", "system"):
            raise reading.invalid(where, "A message has the role user or assistant.")
        content = message.get("content")
        if isinstance(content, str):
            yield ChatMessage(role, content)
        elif isinstance(content, list) and len(objects(content)) == len(content):
            yield from _translated(role, content)
        else:
            raise reading.invalid(
                f"{where}.content", "Content is a text or a list of blocks."
            )


def _translated(role: str, blocks: list[dict[str, Any]]) -> Iterator[ChatMessage]:
    """Yield the messages that one of Anthropic's is in OpenAI's words."""
    if role == "assistant":
        yield _assistant(blocks)
        return
    shown: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            result = list(_parts(_content_of(block)))
            text = _text_of(result) or ("error" if block.get("is_error") else "")
            wire = {
                "role": "tool",
                "tool_call_id": text_of(block.get("tool_use_id")),
                "content": text,
            }
            yield ChatMessage("tool", text, wire)
            # A tool's message holds text alone, so what it shows comes after it.
            shown += [part for part in result if part["type"] != "text"]
        else:
            shown += _parts([block])
    if shown:
        text = _text_of(shown)
        is_plain = all(part["type"] == "text" for part in shown)
        content: Any = text if is_plain else shown
        message = ChatMessage("user", text, {"role": "user", "content": content})
        yield replace(message, wire=None) if is_plain else message


def _assistant(blocks: list[dict[str, Any]]) -> ChatMessage:
    text = _text_of(list(_parts(blocks)))
    calls = [
        {
            "id": text_of(block.get("id")),
            "type": "function",
            "function": {
                "name": text_of(block.get("name")),
                "arguments": json.dumps(mapping(block.get("input"))),
            },
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    thoughts = [found for block in blocks if (found := sealed.of_block(block))]
    if not (calls or thoughts):
        return ChatMessage("assistant", text)
    wire: dict[str, Any] = {"role": "assistant", "content": text or None}
    wire |= {"tool_calls": calls} if calls else {}
    wire |= {"reasoning_details": thoughts} if thoughts else {}
    return ChatMessage("assistant", text, wire)


def _content_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    content = block.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects(content)


def _parts(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield OpenAI's parts for what blocks show."""
    for block in blocks:
        source = mapping(block.get("source"))
        match block.get("type"), source.get("type"):
            case "text", _:
                yield {"type": "text", "text": text_of(block.get("text"))}
            case "tool_reference", _:
                # What a client's own search for tools found; it sends them along.
                name = text_of(block.get("tool_name"))
                yield {"type": "text", "text": f"You can call {name} now."}
            case "document", "text":
                yield {"type": "text", "text": text_of(source.get("data"))}
            case "image", _:
                yield {"type": "image_url", "image_url": {"url": _url_of(source)}}
            case "document", _:
                file = {"filename": "document.pdf", "file_data": _url_of(source)}
                yield {"type": "file", "file": file}


def _url_of(source: dict[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return text_of(source.get("url"))


def _text_of(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function = {
        "name": text_of(tool.get("name")),
        "description": text_of(tool.get("description")),
        "parameters": mapping(tool.get("input_schema")),
    }
    return {"type": "function", "function": function}


def _extra(body: Mapping[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    choice = reading.mapping(body, "tool_choice")
    if choice.get("type") == "tool":
        function = {"name": text_of(choice.get("name"))}
        extra["tool_choice"] = {"type": "function", "function": function}
    elif word := _CHOICES.get(text_of(choice.get("type"))):
        extra["tool_choice"] = word
    if choice.get("disable_parallel_tool_use") is True:
        extra["parallel_tool_calls"] = False
    wanted = mapping(reading.mapping(body, "output_config").get("format"))
    if wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": mapping(wanted.get("schema"))}
        extra["response_format"] = {"type": "json_schema", "json_schema": schema}
    return extra
