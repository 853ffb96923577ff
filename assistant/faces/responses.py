"""OpenAI's responses, stateless: each request brings all that was said before.

Source: https://platform.openai.com/docs/api-reference/responses
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from assistant.errors import UnsupportedParameter
from assistant.faces import reading
from assistant.faces.base import Wanted
from assistant.faces.openai_errors import OpenAIErrors
from assistant.faces.responses_writer import ResponseWriter, Tool, own_answer
from assistant.gateway.plan import Options
from assistant.gateway.prompts import is_role, verbatim
from assistant.gateway.turn import Turn
from assistant.providers.base import ChatMessage, Delta, Native
from assistant.providers.parts import custom_function
from assistant.providers.sealed import sealed_of
from assistant.providers.wire import mapping, objects, text_of

MAX_ITEMS = 4000
# Ours, or knobs that cost extra, reach third parties or keep data with the vendor.
_DROPPED = frozenset(
    "workspace_id fallback service_tier store background background_options metadata"
    " prompt_cache_retention prompt_cache_options moderation access_programs"
    " previous_response_id conversation prompt".split()
)
# What is read below of an input, so that all of a prompt is counted and judged.
_READABLE = (
    *("message", "reasoning", "function_call", "function_call_output"),
    *("custom_tool_call", "custom_tool_call_output"),
)
# These would need us to keep what was said, or to work on after the answer.
_STATEFUL = ("previous_response_id", "conversation", "prompt")
_OWN_TOOLS = ("function", "custom", "namespace")  # others are run, and cost, elsewhere
_TEXTS = ("input_text", "output_text", "text")
_SAME_IN_CHAT = ("prompt_cache_key", "safety_identifier", "user")


@dataclass(frozen=True, slots=True)
class Style:
    """What the answer repeats of the request, and whose tools are whose."""

    echoed: Mapping[str, Any]
    tools: Mapping[str, Tool] = field(default_factory=dict)  # by the name upstream


class ResponsesFace(OpenAIErrors):
    """`/v1/responses`. `style`: a Style."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        for name in _STATEFUL:
            if body.get(name):
                raise _unsupported(name, "Nothing is kept here: send the whole input.")
        if body.get("background"):
            raise _unsupported("background", "Answers are given at once or streamed.")
        tools = _tools(reading.list_of_objects(body, "tools"))
        return Wanted(
            model=reading.text(body, "model", required=True),
            prompt=verbatim((*_instructions(body), *_messages(body, tools))),
            stream=reading.flag(body, "stream"),
            style=Style(_echoed(body), tools),
            workspace_id=reading.workspace(body, headers),
            may_fall_back=reading.maybe_flag(body, "fallback"),
            options=Options(
                max_tokens=reading.count(body, "max_output_tokens"),
                temperature=reading.number(body, "temperature", most=2),
                top_p=reading.number(body, "top_p", most=1),
                tools=tuple(_function(name, tool) for name, tool in tools.items()),
                extra=_extra(body, tools),
                native=_native(body),
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> ResponseWriter:
        return ResponseWriter(turn, wanted.style.echoed, wanted.style.tools)

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        assert turn.result is not None
        if deltas and deltas[0].whole is not None:
            return own_answer(deltas[0].whole, turn.result)
        writer = self.writer(turn, wanted)
        for delta in deltas:
            writer.delta(delta)
        writer.ending(turn.result)
        return writer.response


def _native(body: Mapping[str, Any]) -> Native | None:
    """Return the body for OpenAI itself; None where it holds what we cannot judge."""
    kinds = [item.get("type", "message") for item in objects(body.get("input"))]
    if not all(kind in _READABLE for kind in kinds):
        return None
    kept = {key: value for key, value in body.items() if key not in _DROPPED}
    kept["tools"] = [
        tool for tool in objects(kept.get("tools")) if tool.get("type") in _OWN_TOOLS
    ]
    if not kept["tools"]:
        del kept["tools"]
        kept.pop("tool_choice", None)
    return Native("openai", kept)


def _tools(given: tuple[dict[str, Any], ...]) -> dict[str, Tool]:
    """Return the client's own tools by a name that is theirs alone.

    A namespace's tools carry its name before their own. Tools that the vendor runs
    itself (a web search, a sandbox) are left out: nobody runs them here.
    """
    tools: dict[str, Tool] = {}
    for tool in given:
        if tool.get("type") == "namespace":
            namespace = text_of(tool.get("name"))
            for inner in objects(tool.get("tools")):
                _add(tools, inner, namespace)
        else:
            _add(tools, tool, "")
    return tools


def _add(tools: dict[str, Tool], tool: dict[str, Any], namespace: str) -> None:
    name = text_of(tool.get("name"))
    if tool.get("type") in ("function", "custom") and name:
        found = Tool(name, namespace, tool["type"] == "custom", tool)
        tools[upstream_name(name, namespace)] = found


def upstream_name(name: str, namespace: str) -> str:
    return f"{namespace}__{name}" if namespace else name


def _function(name: str, tool: Tool) -> dict[str, Any]:
    """Describe a tool in chat's words; a custom one takes its text as `input`."""
    given = tool.given
    if tool.is_custom:
        grammar = text_of(mapping(given.get("format")).get("definition"))
        function = {**custom_function(given, grammar), "name": name}
    else:
        function = {
            "name": name,
            "description": text_of(given.get("description")),
            "parameters": given.get("parameters"),
        }
        if isinstance(given.get("strict"), bool):
            function["strict"] = given["strict"]
    return {"type": "function", "function": function}


def _instructions(body: Mapping[str, Any]) -> Iterator[ChatMessage]:
    if instructions := reading.prose(body, "instructions"):
        yield ChatMessage("system", instructions)


def _messages(
    body: Mapping[str, Any], tools: Mapping[str, Tool]
) -> Iterator[ChatMessage]:
    given = body.get("input")
    if isinstance(given, str) and given.strip():
        yield ChatMessage("user", given)
        return
    if not isinstance(given, list) or not 0 < len(given) <= MAX_ITEMS:
        raise reading.invalid("input", f"Send a text, or 1 to {MAX_ITEMS} items.")
    said = ""  # by the assistant, right before its calls
    calls: list[dict[str, Any]] = []
    thoughts: list[dict[str, Any]] = []  # before both
    shown: list[dict[str, Any]] = []  # by tools; their messages hold text alone
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise reading.invalid(f"input.{index}", "An item is an object.")
        kind = item.get("type", "message")
        if kind == "reasoning":
            if found := sealed_of(item):  # unreadable to others
                thoughts.append(found)
            continue
        is_call = kind in ("function_call", "custom_tool_call")
        if (calls or said) and not is_call:
            yield _assistant(said, calls, thoughts)
            said, calls, thoughts = "", [], []
        if kind in ("function_call_output", "custom_tool_call_output"):
            message, pictures = _output(item)
            yield message
            shown += pictures
            continue
        if shown:  # after all results of a round, between which nothing may stand
            yield _showing(shown)
            shown = []
        if is_call:
            calls.append(_call(item))
            continue
        if kind == "message" and item.get("role") == "assistant":
            said = _message(item, index).content
        elif kind == "message":
            yield _message(item, index)
        elif kind == "item_reference":
            raise _unsupported("input", "Nothing is kept here: send the item itself.")
    if calls or said:
        yield _assistant(said, calls, thoughts)
    if shown:
        yield _showing(shown)


def _showing(parts: list[dict[str, Any]]) -> ChatMessage:
    return ChatMessage("user", "", {"role": "user", "content": parts})


def _call(item: dict[str, Any]) -> dict[str, Any]:
    arguments = text_of(item.get("arguments"))
    if item["type"] == "custom_tool_call":
        arguments = json.dumps({"input": text_of(item.get("input"))})
    name = upstream_name(text_of(item.get("name")), text_of(item.get("namespace")))
    function = {"name": name, "arguments": arguments or "{}"}
    call_id = text_of(item.get("call_id"))
    return {"id": call_id, "type": "function", "function": function}


def _assistant(
    said: str, calls: list[dict[str, Any]], thoughts: list[dict[str, Any]]
) -> ChatMessage:
    if not (calls or thoughts):
        return ChatMessage("assistant", said)
    wire: dict[str, Any] = {"role": "assistant", "content": said or None}
    wire |= {"tool_calls": calls} if calls else {}
    wire |= {"reasoning_details": thoughts} if thoughts else {}
    return ChatMessage("assistant", said, wire)


def _output(item: dict[str, Any]) -> tuple[ChatMessage, list[dict[str, Any]]]:
    """Return what a tool said, and what it showed."""
    output = item.get("output")
    parts = list(_parts(output)) if isinstance(output, list) else []
    text = text_of(output) if isinstance(output, str) else _text(parts)
    call_id = text_of(item.get("call_id"))
    wire = {"role": "tool", "tool_call_id": call_id, "content": text}
    message = ChatMessage("tool", text, wire)
    return message, [part for part in parts if part["type"] != "text"]


def _message(item: dict[str, Any], index: int) -> ChatMessage:
    role = item.get("role")
    content = item.get("content")
    if not isinstance(role, str) or not isinstance(content, str | list):
        raise reading.invalid(f"input.{index}", "A message has a role and content.")
    if isinstance(content, str):
        return ChatMessage(is_role(role), content)
    parts = list(_parts(content))
    text = _text(parts)
    if all(part["type"] == "text" for part in parts):
        return ChatMessage(is_role(role), text)
    role = is_role(role)
    return ChatMessage(role, text, {"role": role, "content": parts})


def _parts(content: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield chat's parts for those of an item."""
    for part in objects(content):
        match part.get("type"):
            case kind if kind in _TEXTS:
                yield {"type": "text", "text": text_of(part.get("text"))}
            case "refusal":
                yield {"type": "text", "text": text_of(part.get("refusal"))}
            case "input_image":
                url = text_of(part.get("image_url"))
                yield {"type": "image_url", "image_url": {"url": url}}
            case "input_file":
                file = {k: part[k] for k in ("filename", "file_data") if k in part}
                yield {"type": "file", "file": file}


def _text(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _extra(body: Mapping[str, Any], tools: Mapping[str, Tool]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    choice = body.get("tool_choice")
    if isinstance(choice, str) and tools:
        extra["tool_choice"] = choice
    elif name := text_of(mapping(choice).get("name")):
        name = upstream_name(name, text_of(mapping(choice).get("namespace")))
        extra["tool_choice"] = {"type": "function", "function": {"name": name}}
    if tools and isinstance(body.get("parallel_tool_calls"), bool):
        extra["parallel_tool_calls"] = body["parallel_tool_calls"]
    if effort := text_of(reading.mapping(body, "reasoning").get("effort")):
        extra["reasoning_effort"] = effort
    for name in _SAME_IN_CHAT:
        if body.get(name) is not None:
            extra[name] = body[name]
    text = reading.mapping(body, "text")
    if verbosity := text_of(text.get("verbosity")):
        extra["verbosity"] = verbosity
    wanted = dict(mapping(text.get("format")))
    match wanted.pop("type", "text"):
        case "json_schema":
            extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
        case "json_object":
            extra["response_format"] = {"type": "json_object"}
    return extra


def _echoed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the answer repeats."""
    return {
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": mapping(body.get("metadata")),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": mapping(body.get("reasoning")),
        "store": False,
        "temperature": body.get("temperature"),
        "text": mapping(body.get("text")) or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
    }


def _unsupported(name: str, sentence: str) -> UnsupportedParameter:
    errors = [{"field": name, "code": "unsupported_parameter", "detail": sentence}]
    return UnsupportedParameter(sentence, errors=errors)
