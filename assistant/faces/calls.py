"""Chat's other ways to call: custom tools, and functions from before there were tools.

Whoever answers may know tools with a schema alone (`assistant.providers.parts` tells
them of custom ones so). What comes back is told in the way that the client asked in.
Sources: https://platform.openai.com/docs/guides/function-calling#custom-tools
https://platform.openai.com/docs/api-reference/chat/create#chat-create-functions
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.faces import reading
from assistant.providers.base import JsonObject
from assistant.providers.parts import arguments_of
from assistant.providers.wire import mapping, objects, text_of


@dataclass(frozen=True, slots=True)
class Asked:
    """How the client wants to be told of calls."""

    customs: frozenset[str] = frozenset()  # names of tools that take text
    by_function: bool = False  # by `function_call`, one at a time

    @property
    def plainly(self) -> bool:
        """Whether calls are told as they come."""
        return not (self.customs or self.by_function)


def asked_by(body: Mapping[str, Any]) -> Asked:
    tools = reading.list_of_objects(body, "tools")
    return Asked(
        customs=frozenset(
            text_of(mapping(tool.get("custom")).get("name"))
            for tool in tools
            if tool.get("type") == "custom"
        ),
        by_function=not tools and _speaks_of_functions(body),
    )


def _speaks_of_functions(body: Mapping[str, Any]) -> bool:
    return body.get("functions") is not None or any(
        message.get("role") == "function" or message.get("function_call")
        for message in objects(body.get("messages"))
    )


def with_tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body whose functions, and what was said of them, are told as tools."""
    functions = reading.list_of_objects(body, "functions")
    found = dict(body)
    found.pop("functions", None)
    choice = found.pop("function_call", None)
    if functions:
        found["tools"] = [{"type": "function", "function": each} for each in functions]
        found["parallel_tool_calls"] = False
        if isinstance(choice, str):
            found["tool_choice"] = choice
        elif name := text_of(mapping(choice).get("name")):
            found["tool_choice"] = {"type": "function", "function": {"name": name}}
    if isinstance(body.get("messages"), list):
        found["messages"] = _said(body["messages"])
    return found


def _said(messages: Sequence[Any]) -> list[Any]:
    """Give each call an id, and its result the same one."""
    found: list[Any] = []
    call_id = ""
    for index, message in enumerate(messages):
        given = dict(message) if isinstance(message, dict) else message
        if isinstance(given, dict) and (call := mapping(given.get("function_call"))):
            del given["function_call"]
            call_id = f"call_{index}"
            told = {"id": call_id, "type": "function", "function": call}
            given["tool_calls"] = [told]
        elif isinstance(given, dict) and given.get("role") == "function":
            given.pop("name", None)
            given |= {"role": "tool", "tool_call_id": call_id}
        found.append(given)
    return found


@dataclass(slots=True)
class Telling:
    """Tells of calls, piece by piece or whole, as they were asked for."""

    asked: Asked
    _customs: dict[object, dict[str, Any]] = field(default_factory=dict)  # by index

    def piece(self, calls: Sequence[JsonObject]) -> dict[str, Any]:
        """Return what a piece of a stream says of these pieces of calls."""
        if self.asked.by_function:
            first = [mapping(c.get("function")) for c in calls if not c.get("index")]
            return {"function_call": first[0]} if first else {}
        plain = [dict(call) for call in calls if not self._waits(call)]
        return {"tool_calls": plain} if plain else {}

    def _waits(self, call: JsonObject) -> bool:
        """Keep a custom tool's input, which is JSON until it is whole."""
        function, index = mapping(call.get("function")), call.get("index")
        if function.get("name") in self.asked.customs:
            self._customs[index] = {**call, "function": {**function, "arguments": ""}}
        kept = self._customs.get(index)
        if kept is None:
            return False
        kept["function"]["arguments"] += text_of(function.get("arguments"))
        return True

    def rest(self) -> dict[str, Any]:
        """Return the calls that waited for their end."""
        if not self._customs:
            return {}
        return {
            "tool_calls": [
                {**_custom(call), "index": index}
                for index, call in self._customs.items()
            ]
        }

    def whole(self, calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return what a whole message says of its calls."""
        if not calls:
            return {}
        if self.asked.by_function:
            return {"function_call": calls[0]["function"]}
        customs = self.asked.customs
        return {
            "tool_calls": [
                _custom(call) if _name_of(call) in customs else call for call in calls
            ]
        }

    def finish(self, reason: str) -> str:
        asks_once = self.asked.by_function and reason == "tool_calls"
        return "function_call" if asks_once else reason


def _name_of(call: JsonObject) -> object:
    return mapping(call.get("function")).get("name")


def _custom(call: JsonObject) -> dict[str, Any]:
    function = mapping(call.get("function"))
    told = text_of(arguments_of(function.get("arguments")).get("input"))
    custom = {"name": function.get("name"), "input": told}
    return {"id": call.get("id"), "type": "custom", "custom": custom}
