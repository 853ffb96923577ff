"""Five providers behind three faces: the same words and numbers, streamed or whole."""

import json
from typing import Any

import httpx2
import pytest

from tests.assistant.asking import records_of
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.assistant.vendors import STREAMS
from tests.fakes.providers import FakeProvider, failure
from tests.support.people import Person
from tests.support.ports import wait_for

MODELS = {
    "openai": "gpt-6-sol",
    "anthropic": "claude-sonnet-5-5",
    "google": "gemini-2.5-pro",
    "ollama": "llama3.2:3b",
    "extractive": "extractive",
}
ASKED = [{"role": "user", "content": "Hi"}]
FACES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": ASKED,
        "stream_options": {"include_usage": True},
    },
    "/v1/messages": {"messages": ASKED, "max_tokens": 99},
    "/v1/responses": {"input": "Hi"},
}


@pytest.fixture
def site(asgi_server: str, provider: FakeProvider, pro: Person, settings: Any) -> str:
    for name in ("OPENAI", "ANTHROPIC", "GOOGLE"):
        setattr(settings, f"{name}_API_KEY", CANARY_KEY)
    provider.models = [MODELS["ollama"]]
    on_tier(pro, "enterprise")
    return asgi_server


def send(site: str, person: Person, path: str, **body: Any) -> httpx2.Response:
    headers = {"X-API-Key": person.key}
    given = FACES[path] | body
    return httpx2.post(site + path, json=given, headers=headers, timeout=30)


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
    assert {record.provider for record in records_of(pro)} == {vendor}


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
