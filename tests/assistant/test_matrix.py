"""Six wires behind three faces: the same words and numbers, streamed or whole.

Five providers, of which OpenAI has two wires. With tools, and with what fails before
the first word and after it.
"""

import json
from itertools import product
from typing import Any

import httpx2
import pytest

from aiassist.lib.shared_breaker import breakers
from assistant.gateway import routing
from assistant.models import AIModel
from tests.assistant import test_translation, vendors
from tests.assistant.asking import open_holds, records_of, streaming
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.fakes.providers import CUT, FakeProvider, Script, failure
from tests.fakes.responses import responses_stream, responses_tool_call
from tests.support.people import Person
from tests.support.ports import wait_for

MODELS = {
    "openai": "gpt-6-sol",
    "anthropic": "claude-sonnet-5-5",
    "google": "gemini-2.5-pro",
    "ollama": "llama3.2:3b",
    "extractive": "extractive",
    "responses": "openai/over-responses",
}
STREAMS = {**vendors.STREAMS, "responses": responses_stream}
TOOL_CALLS = {**test_translation.TOOL_CALLS, "responses": responses_tool_call}
ASKED = [{"role": "user", "content": "Hi"}]
FACES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": ASKED,
        "stream_options": {"include_usage": True},
    },
    "/v1/messages": {"messages": ASKED, "max_tokens": 99},
    "/v1/responses": {"input": "Hi"},
}


SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
DESCRIBED = {"name": "read_file", "description": "Reads."}
# The same tool, offered in each face's words; and its call with its result.
TOOLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "type": "function",
        "function": {**DESCRIBED, "parameters": SCHEMA},
    },
    "/v1/messages": {**DESCRIBED, "input_schema": SCHEMA},
    "/v1/responses": {"type": "function", **DESCRIBED, "parameters": SCHEMA},
}
ARGUMENTS = {"path": "a.py"}


def answered_with(path: str, call_id: str) -> dict[str, Any]:
    """Return the second turn: what was called, and what the tool said."""
    raw = json.dumps(ARGUMENTS)
    if path == "/v1/chat/completions":
        function = {"name": "read_file", "arguments": raw}
        calls = [{"id": call_id, "type": "function", "function": function}]
        said = {"role": "assistant", "content": None, "tool_calls": calls}
        result = {"role": "tool", "tool_call_id": call_id, "content": "x = 1"}
        return {"messages": [*ASKED, said, result]}
    if path == "/v1/messages":
        use = {"type": "tool_use", "id": call_id, "name": "read_file"}
        done = {"type": "tool_result", "tool_use_id": call_id, "content": "x = 1"}
        return {
            "messages": [
                *ASKED,
                {"role": "assistant", "content": [{**use, "input": ARGUMENTS}]},
                {"role": "user", "content": [done]},
            ]
        }
    call = {"type": "function_call", "call_id": call_id, "name": "read_file"}
    done = {"type": "function_call_output", "call_id": call_id, "output": "x = 1"}
    return {"input": [*ASKED, {**call, "arguments": raw}, done]}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def site(asgi_server: str, provider: FakeProvider, pro: Person, settings: Any) -> str:
    for name in ("OPENAI", "ANTHROPIC", "GOOGLE"):
        setattr(settings, f"{name}_API_KEY", CANARY_KEY)
    provider.models = [MODELS["ollama"]]
    on_tier(pro, "enterprise")
    model = AIModel.objects.get(name="gpt-6-sol")
    model.pk, model.name = None, "over-responses"
    model.save()
    model.upstreams.create(
        name="own", provider="openai-responses", upstream_name="gpt-6-sol"
    )
    return asgi_server


def send(site: str, person: Person, path: str, **body: Any) -> httpx2.Response:
    given = {"stream": False} | FACES[path] | body
    with streaming(site, person, path, **given) as response:
        response.read()
    return response


def bodies_of(response: httpx2.Response) -> list[Any]:
    lines = [x[6:] for x in response.text.splitlines() if x.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def whole(path: str, body: Any) -> tuple[str, int, int]:
    """Return text, tokens in and tokens out of a whole answer."""
    usage = body["usage"]
    if path == "/v1/chat/completions":
        text = body["choices"][0]["message"]["content"]
        return text, usage["prompt_tokens"], usage["completion_tokens"]
    if path == "/v1/messages":
        parts = body["content"]
    else:
        parts = body["output"][0]["content"]
    return parts[0]["text"], usage["input_tokens"], usage["output_tokens"]


def streamed(path: str, bodies: list[Any]) -> tuple[str, int, int]:
    """Return the same of a streamed answer."""
    if path == "/v1/chat/completions":
        choices = [c for body in bodies for c in body["choices"]]
        text = "".join(c["delta"].get("content") or "" for c in choices)
        usage = bodies[-1]["usage"]
        return text, usage["prompt_tokens"], usage["completion_tokens"]
    if path == "/v1/responses":
        return whole(path, bodies[-1]["response"])
    text = "".join(b.get("delta", {}).get("text", "") for b in bodies)
    first, last = bodies[0]["message"]["usage"], bodies[-2]["usage"]
    return text, last.get("input_tokens", first["input_tokens"]), last["output_tokens"]


@pytest.mark.parametrize("vendor", MODELS)
def test_each_provider_says_the_same_through_each_face(
    vendor: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    if vendor in STREAMS:
        provider.will(STREAMS[vendor]("Hel", "lo", usage=(7, 2)))

    for path in FACES:
        at_once = send(site, pro, path, model=MODELS[vendor])
        in_pieces = send(site, pro, path, model=MODELS[vendor], stream=True)

        assert (at_once.status_code, in_pieces.status_code) == (200, 200), path
        said = whole(path, at_once.json())
        assert streamed(path, bodies_of(in_pieces)) == said
        if vendor in STREAMS:
            assert said == ("Hello", 7, 2), path
    wait_for(lambda: len(records_of(pro)) == 6, what="the records")
    whose = "openai" if vendor == "responses" else vendor
    assert {record.provider for record in records_of(pro)} == {whose}


@pytest.mark.parametrize("vendor", STREAMS)
def test_s4_each_providers_failure_is_told_by_each_face_and_costs_nothing(
    vendor: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    """The failing provider echoes the credential that it was sent."""
    for status, told in ((400, 400), (401, 400), (403, 400)):
        provider.will(failure(status))
        for path in FACES:
            answered = send(site, pro, path, model=MODELS[vendor], stream=True)

            assert answered.status_code == told, path
            assert answered.json()["error"]["type"] == "invalid_request_error"
            assert CANARY_KEY not in answered.text
    assert records_of(pro) == []


def whole_call(path: str, body: Any) -> tuple[str, str, Any, str]:
    """Return a call's id, name and arguments, and why the answer ended."""
    if path == "/v1/chat/completions":
        (choice,) = body["choices"]
        (call,) = choice["message"]["tool_calls"]
        function = call["function"]
        told = json.loads(function["arguments"])
        return call["id"], function["name"], told, choice["finish_reason"]
    if path == "/v1/messages":
        call = body["content"][-1]
        return call["id"], call["name"], call["input"], body["stop_reason"]
    call = body["output"][-1]
    told = json.loads(call["arguments"])
    return call["call_id"], call["name"], told, body["status"]


def streamed_call(path: str, bodies: list[Any]) -> tuple[str, str, Any, str]:
    """Return the same of a streamed answer."""
    if path == "/v1/responses":
        return whole_call(path, bodies[-1]["response"])
    if path == "/v1/messages":
        started = [b for b in bodies if b["type"] == "content_block_start"]
        block = started[-1]["content_block"]
        deltas = [b["delta"] for b in bodies if b["type"] == "content_block_delta"]
        raw = "".join(delta.get("partial_json", "") for delta in deltas)
        ended = bodies[-2]["delta"]["stop_reason"]
        return block["id"], block["name"], json.loads(raw), ended
    choices = [c for body in bodies for c in body["choices"]]
    pieces = [c for choice in choices for c in choice["delta"].get("tool_calls") or ()]
    raw = "".join(piece["function"].get("arguments") or "" for piece in pieces)
    first, ended = pieces[0], choices[-1]["finish_reason"]
    return first["id"], first["function"]["name"], json.loads(raw), ended


ENDED = {
    "/v1/chat/completions": "tool_calls",
    "/v1/messages": "tool_use",
    "/v1/responses": "completed",
}


@pytest.mark.parametrize("vendor", MODELS)
def test_each_provider_calls_a_tool_through_each_face_and_reads_its_result(
    vendor: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    for path in FACES:
        asked: dict[str, Any] = {"model": MODELS[vendor], "tools": [TOOLS[path]]}
        if vendor not in STREAMS:  # it has no tools, and says so
            refused = send(site, pro, path, **asked)
            assert refused.status_code == 400
            assert refused.json()["error"]["code"] == "unsupported_parameter"
            continue
        calling = TOOL_CALLS[vendor]("read_file", json.dumps(ARGUMENTS))
        provider.will(calling, calling, STREAMS[vendor]("So."))

        at_once = whole_call(path, send(site, pro, path, **asked).json())
        in_pieces = send(site, pro, path, **asked, stream=True)
        streamed = streamed_call(path, bodies_of(in_pieces))
        later = answered_with(path, at_once[0])
        ended = send(site, pro, path, **asked, **later)

        assert at_once[1:] == streamed[1:] == ("read_file", ARGUMENTS, ENDED[path])
        assert at_once[0] and streamed[0]
        assert whole(path, ended.json())[0] == "So.", path
        assert "x = 1" in json.dumps(provider.chats[-1].body)


# What passes has a status that clients try again after; none has a 500.
PASSING = {429: 503, 500: 502, 503: 503, 529: 503}


@pytest.mark.parametrize("vendor", STREAMS)
def test_s4_q12_what_passes_at_each_provider_may_be_tried_again_through_each_face(
    vendor: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    for (status, told), path in product(PASSING.items(), FACES):
        provider.will(failure(status, retry_after=30))
        breakers.forget()

        answered = send(site, pro, path, model=MODELS[vendor], stream=True)

        overloaded = path == "/v1/messages" and told == 503
        assert answered.status_code == (529 if overloaded else told), (path, status)
        assert ("Retry-After" in answered.headers) == (told == 503)
        kind = answered.json()["error"]["type"]
        assert kind in ("server_error", "overloaded_error", "api_error")
        assert CANARY_KEY not in answered.text
    assert records_of(pro) == []


@pytest.mark.parametrize("vendor", STREAMS)
def test_s3_each_providers_stream_that_breaks_never_ends_cleanly(
    vendor: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    said = STREAMS[vendor]("Hel", "lo")
    at = {"anthropic": 4, "openai": 2, "responses": 5}.get(vendor, 1)
    cut = Script([*said.steps[:at], CUT], content_type=said.content_type)
    provider.will(cut)
    for path in FACES:
        breakers.forget()
        in_pieces = send(site, pro, path, model=MODELS[vendor], stream=True)
        bodies = bodies_of(in_pieces)
        at_once = send(site, pro, path, model=MODELS[vendor])

        assert "Hel" in in_pieces.text
        last = bodies[-1]
        error = last.get("error") or last["response"]["error"]
        assert error["message"], path
        assert last.get("type") in (None, "error", "response.failed")
        for clean in ("[DONE]", "message_stop", "response.completed"):
            assert clean not in in_pieces.text
        assert '"finish_reason":"stop"' not in in_pieces.text.replace(" ", "")
        assert at_once.status_code in (502, 503, 504)
    wait_for(lambda: open_holds(pro) == 0, what="the holds")
    assert {record.status for record in records_of(pro)} == {"error"}


@pytest.mark.parametrize("path", FACES)
def test_a_prompt_too_long_for_the_model_is_told_in_each_faces_words(
    path: str, site: str, pro: Person, provider: FakeProvider
) -> None:
    refused = b'{"error": {"code": "context_length_exceeded"}}'
    provider.will(Script([refused], 400, "application/json"))

    answered = send(site, pro, path, model=MODELS["openai"], stream=True)

    error = answered.json()["error"]
    assert (answered.status_code, error["type"]) == (400, "invalid_request_error")
    if path == "/v1/messages":
        assert error["message"].startswith("prompt is too long")
    else:
        assert error["code"] == "context_length_exceeded"
    assert records_of(pro) == []
