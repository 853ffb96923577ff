"""The words in which the scripted model is asked and answers.

OpenAI's chat, its responses, and Anthropic's messages.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tests.fakes import responses
from tests.fakes.providers import Script, anthropic_blocks, sse

NAME = "stand-in"
Arguments = Mapping[str, Any]
Offered = Mapping[str, Mapping[str, Any]]  # a tool's name -> what it is described as
Call = tuple[str, Arguments]
Body = Mapping[str, Any]


class Wire(Protocol):
    def offered(self, body: Body) -> Offered:
        """Return the tools that the client offers."""

    def results(self, body: Body) -> Sequence[str]:
        """Return what its tools have said so far."""

    def said(self, body: Body, text: str) -> Script: ...

    def called(self, body: Body, call: Call, *, number: int) -> Script: ...


class OpenAIChat:
    """Streamed and whole, as it is asked for."""

    def offered(self, body: Body) -> Offered:
        functions = (each["function"] for each in body.get("tools") or ())
        return {each["name"]: each for each in functions}

    def results(self, body: Body) -> Sequence[str]:
        messages = body.get("messages", ())
        return [_text(m.get("content")) for m in messages if m.get("role") == "tool"]

    def said(self, body: Body, text: str) -> Script:
        middle = len(text) // 2
        parts = (text[:middle], text[middle:])
        pieces = [{"content": part} for part in parts if part]
        return self._answer(body, {"content": text}, pieces, "stop")

    def called(self, body: Body, call: Call, *, number: int) -> Script:
        name, arguments = call
        function = {"name": name, "arguments": json.dumps(arguments)}
        called = {
            "id": f"call_scripted_{number}",
            "type": "function",
            "function": function,
        }
        message = {"content": None, "tool_calls": [called]}
        return self._answer(body, message, list(_pieces_of(called)), "tool_calls")

    def _answer(
        self,
        body: Body,
        message: dict[str, Any],
        pieces: list[dict[str, Any]],
        finish: str,
    ) -> Script:
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        message = {"role": "assistant", **message}
        if not body.get("stream"):
            whole = _body("chat.completion", {"message": message}, finish, usage=usage)
            return Script([json.dumps(whole).encode()], content_type="application/json")
        pieces = [{"role": "assistant", "content": ""}, *pieces]
        chunk = "chat.completion.chunk"
        steps = [sse(_body(chunk, {"delta": piece})) for piece in pieces]
        steps.append(sse(_body(chunk, {"delta": {}}, finish)))
        if (body.get("stream_options") or {}).get("include_usage"):
            last = _body(chunk, {"delta": {}}, usage=usage)
            steps.append(sse(last | {"choices": []}))
        return Script([*steps, b"data: [DONE]\n\n"])


class AnthropicMessages:
    """Streamed alone: nothing else is asked of Anthropic."""

    def offered(self, body: Body) -> Offered:
        return {each["name"]: each for each in body.get("tools") or ()}

    def results(self, body: Body) -> Sequence[str]:
        return [
            _text(block.get("content"))
            for message in body.get("messages", ())
            if isinstance(message.get("content"), list)
            for block in message["content"]
            if block.get("type") == "tool_result"
        ]

    def said(self, body: Body, text: str) -> Script:
        middle = len(text) // 2
        parts = (text[:middle], text[middle:])
        deltas = ({"type": "text_delta", "text": part} for part in parts if part)
        usage = {"input_tokens": 11}
        return anthropic_blocks(({"type": "text", "text": ""}, *deltas), usage=usage)

    def called(self, body: Body, call: Call, *, number: int) -> Script:
        name, arguments = call
        raw = json.dumps(arguments)
        middle = len(raw) // 2
        opening = {"type": "tool_use", "id": f"toolu_{number}", "name": name}
        deltas = (
            {"type": "input_json_delta", "partial_json": part}
            for part in (raw[:middle], raw[middle:])
        )
        return anthropic_blocks(
            (opening | {"input": {}}, *deltas),
            stop_reason="tool_use",
            usage={"input_tokens": 11},
        )


class OpenAIResponses:
    """A thought comes before each answer, as with the models that it is made for."""

    def offered(self, body: Body) -> Offered:
        return {name: tool for name, _, tool in _tools(body)}

    def results(self, body: Body) -> Sequence[str]:
        items = body["input"] if isinstance(body["input"], list) else []
        return [_text(item["output"]) for item in items if "output" in item]

    def said(self, body: Body, text: str) -> Script:
        middle = len(text) // 2
        parts = [part for part in (text[:middle], text[middle:]) if part]
        return self._answer(body, responses.message(*parts))

    def called(self, body: Body, call: Call, *, number: int) -> Script:
        wanted, arguments = call
        namespace, name = next(
            (namespace, tool["name"])
            for name, namespace, tool in _tools(body)
            if name == wanted
        )
        call_id = f"call_scripted_{number}"
        return self._answer(
            body, responses.call(name, json.dumps(arguments), call_id, namespace)
        )

    def _answer(self, body: Body, item: list[dict[str, Any]]) -> Script:
        answered = responses.streamed if body.get("stream") else responses.at_once
        return answered(responses.thought(), item)


def wire_of(path: str) -> Wire:
    if path.endswith("/messages"):
        return AnthropicMessages()
    return OpenAIResponses() if path.endswith("/responses") else OpenAIChat()


def _tools(body: Body) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the name of each tool, which a namespace's name precedes, and both."""
    for tool in body.get("tools") or ():
        if tool["type"] == "namespace":
            for inner in tool["tools"]:
                yield f"{tool['name']}__{inner['name']}", tool["name"], inner
        elif tool["type"] in ("function", "custom"):
            yield tool["name"], "", tool


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def _body(kind: str, choice: Body, finish: str | None = None, **more: Any) -> Any:
    return {
        "id": "chatcmpl-scripted",
        "object": kind,
        "created": 1_700_000_000,
        "model": NAME,
        "choices": [{"index": 0, "finish_reason": finish, **choice}],
        **more,
    }


def _pieces_of(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a call's opening, then its arguments in two pieces."""
    arguments = call["function"]["arguments"]
    opening = call | {"index": 0, "function": call["function"] | {"arguments": ""}}
    yield {"tool_calls": [opening]}
    middle = len(arguments) // 2
    for part in (arguments[:middle], arguments[middle:]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
