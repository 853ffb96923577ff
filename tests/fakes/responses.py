"""OpenAI's responses as its own server streams them: each event in its order."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.providers import Script, Step, named_sse

SEALED = "gAAAAsealed"
USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 9,
}


def message(*pieces: str) -> list[dict[str, Any]]:
    """The events of an answer in words."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    at = {"item_id": "msg_1", "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    whole = "".join(pieces)
    done = {**item, "status": "completed", "content": [{**part, "text": whole}]}
    return [
        {"type": "response.output_item.added", "item": item},
        {"type": "response.content_part.added", **at, "part": part},
        *(
            {"type": "response.output_text.delta", **at, "delta": piece}
            for piece in pieces
        ),
        {"type": "response.output_text.done", **at, "text": whole},
        {"type": "response.output_item.done", "item": done},
    ]


def thought(text: str = "I must read.") -> list[dict[str, Any]]:
    """The events of a thought, told in short and sealed."""
    item = {"id": "rs_1", "type": "reasoning", "summary": []}
    at = {"item_id": "rs_1", "summary_index": 0}
    part = {"type": "summary_text", "text": text}
    done = {**item, "summary": [part], "encrypted_content": SEALED}
    return [
        {"type": "response.output_item.added", "item": item},
        {"type": "response.reasoning_summary_part.added", **at, "part": part},
        {"type": "response.reasoning_summary_text.delta", **at, "delta": text},
        {"type": "response.reasoning_summary_text.done", **at, "text": text},
        {"type": "response.output_item.done", "item": done},
    ]


def call(
    name: str, arguments: str, call_id: str = "call_1", namespace: str = ""
) -> list[dict[str, Any]]:
    """The events of a tool call, its arguments in two pieces."""
    item = {"id": "fc_1", "type": "function_call", "call_id": call_id, "name": name}
    item |= {"namespace": namespace} if namespace else {}
    half, kind = len(arguments) // 2, "response.function_call_arguments"
    return [
        {"type": "response.output_item.added", "item": {**item, "arguments": ""}},
        {"type": f"{kind}.delta", "item_id": "fc_1", "delta": arguments[:half]},
        {"type": f"{kind}.delta", "item_id": "fc_1", "delta": arguments[half:]},
        {"type": f"{kind}.done", "item_id": "fc_1", "arguments": arguments},
        {"type": "response.output_item.done", "item": {**item, "arguments": arguments}},
    ]


def events(
    *items: Sequence[dict[str, Any]],
    status: str = "completed",
    ending: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The whole sequence, numbered; `ending` is added to the last response."""
    response: dict[str, Any] = {
        "id": "resp_upstream",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": "gpt-6-sol-2026-09-01",
        "output": [],
        "tools": [{"type": "function", "name": "f", "parameters": {"model": "x"}}],
        "usage": None,
    }
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
    ]
    output = []
    for index, item in enumerate(items):
        found += [{**event, "output_index": index} for event in item]
        output.append(item[-1]["item"])
    last = {**response, "status": status, "output": output, "usage": USAGE}
    found.append({"type": f"response.{status}", "response": last | dict(ending or {})})
    return [{**event, "sequence_number": n} for n, event in enumerate(found)]


def streamed(*items: Sequence[dict[str, Any]], **more: Any) -> Script:
    steps: list[Step] = [named_sse(event) for event in events(*items, **more)]
    return Script(steps)


def at_once(*items: Sequence[dict[str, Any]], **more: Any) -> Script:
    """The same answer in one body."""
    body = json.dumps(events(*items, **more)[-1]["response"]).encode()
    return Script([body], content_type="application/json")


def responses_stream(*pieces: str, usage: tuple[int, int] = (7, 2)) -> Script:
    counts = {
        "input_tokens": usage[0],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage[1],
    }
    return streamed(message(*pieces), ending={"usage": USAGE | counts})


def responses_tool_call(name: str, arguments: str) -> Script:
    return streamed(thought(), call(name, arguments))
