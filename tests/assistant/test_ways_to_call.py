"""Chat's custom tools and its functions of old, whoever answers."""

import json
from typing import Any

import pytest

from tests.assistant.asking import streaming
from tests.assistant.conftest import CANARY_KEY
from tests.fakes.providers import (
    FakeProvider,
    anthropic_stream,
    anthropic_tool_call,
    openai_stream,
    openai_tool_call,
)
from tests.support.people import Person

COMPLETIONS = "/v1/chat/completions"
MODEL = {"openai": "gpt-6-luna", "anthropic": "claude-sonnet-5-5"}
CALLS = {"openai": openai_tool_call, "anthropic": anthropic_tool_call}
WORDS = {"openai": openai_stream, "anthropic": anthropic_stream}
FUNCTION = {"name": "read_file", "parameters": {"type": "object"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}
PATCH = {
    "type": "custom",
    "custom": {"name": "patch", "description": "Patches.", "format": GRAMMAR},
}


@pytest.fixture
def keys(settings: Any) -> None:
    settings.OPENAI_API_KEY = settings.ANTHROPIC_API_KEY = CANARY_KEY


def post(person: Person, **body: Any) -> Any:
    given = {"messages": [{"role": "user", "content": "Go."}], **body}
    answered = person.api.post(COMPLETIONS, given, format="json")
    assert answered.status_code == 200, answered.content
    return answered.json()["choices"][0]


def deltas(site: str, person: Person, **body: Any) -> list[Any]:
    """Return the choices of a stream's chunks."""
    given = {"messages": [{"role": "user", "content": "Go."}], **body}
    with streaming(site, person, COMPLETIONS, **given) as response:
        lines = [line for line in response.iter_lines() if line]
    return [json.loads(line[6:])["choices"][0] for line in lines[:-1]]


@pytest.mark.parametrize("vendor", MODEL)
def test_functions_of_old_are_told_as_tools_and_their_calls_as_function_calls(
    vendor: str, asgi_server: str, pro: Person, provider: FakeProvider, keys: None
) -> None:
    calling = CALLS[vendor]("read_file", '{"path": "a.py"}')
    provider.will(calling, calling, WORDS[vendor]("Ok"))
    asked: dict[str, Any] = {"model": MODEL[vendor], "functions": [FUNCTION]}

    at_once = post(pro, **asked, function_call={"name": "read_file"})
    pieces = deltas(asgi_server, pro, **asked, stream=True)
    told = [
        {"role": "user", "content": "Go."},
        at_once["message"],
        {"role": "function", "name": "read_file", "content": "x = 1"},
    ]
    done = post(pro, model=asked["model"], messages=told)

    call = {"name": "read_file", "arguments": '{"path": "a.py"}'}
    assert at_once["message"]["function_call"] == call
    assert "tool_calls" not in at_once["message"]
    assert at_once["finish_reason"] == "function_call"
    streamed = [c["delta"].get("function_call", {}) for c in pieces]
    assert (
        "".join(piece.get("arguments", "") for piece in streamed) == (call["arguments"])
    )
    assert next(p["name"] for p in streamed if p) == "read_file"
    assert pieces[-1]["finish_reason"] == "function_call"
    assert done["message"]["content"] == "Ok"
    sent = [seen.body for seen in provider.chats]
    assert "functions" not in sent[0]
    assert "read_file" in json.dumps(sent[0]["tools"])
    assert "read_file" in json.dumps(sent[0]["tool_choice"])
    assert "x = 1" in json.dumps(sent[2]["messages"][-1])
    assert "call_1" in json.dumps(sent[2]["messages"][-2:])


def test_a_custom_tool_goes_untouched_to_who_knows_it(
    pro: Person, provider: FakeProvider, keys: None
) -> None:
    provider.will(openai_stream("Ok"))

    post(pro, model="gpt-6-luna", tools=[PATCH])

    assert provider.chats[0].body["tools"] == [PATCH]


def test_a_custom_tool_is_described_to_others_and_its_call_told_as_one(
    asgi_server: str, pro: Person, provider: FakeProvider, keys: None
) -> None:
    calling = anthropic_tool_call("patch", '{"input": "@@ -1 +1"}')
    provider.will(calling, calling, anthropic_stream("Ok"))
    asked: dict[str, Any] = {"model": MODEL["anthropic"], "tools": [PATCH]}
    choice = {"type": "custom", "custom": {"name": "patch"}}

    at_once = post(pro, **asked, tool_choice=choice)
    pieces = deltas(asgi_server, pro, **asked, stream=True)
    (call,) = at_once["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "patched"}
    said = [{"role": "user", "content": "Go."}, at_once["message"], result]
    post(pro, **asked, messages=said)

    assert (call["type"], call["custom"]) == (
        "custom",
        {"name": "patch", "input": "@@ -1 +1"},
    )
    (streamed,) = [c for p in pieces for c in p["delta"].get("tool_calls", [])]
    assert streamed == call | {"index": 0}
    assert pieces[-1]["finish_reason"] == "tool_calls"
    first, *_, last = (seen.body for seen in provider.chats)
    (tool,) = first["tools"]
    assert tool["input_schema"]["required"] == ["input"]
    assert "start: A" in tool["description"]
    assert first["tool_choice"] == {"type": "tool", "name": "patch"}
    (use,) = last["messages"][1]["content"]
    assert (use["name"], use["input"]) == ("patch", {"input": "@@ -1 +1"})
