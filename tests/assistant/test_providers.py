"""Each vendor's wire, against the stand-in: what is sent and what is understood."""

import json
from typing import Any

import pytest

from aiassist.lib.egress import Destination
from aiassist.lib.errors import ProviderError
from assistant.errors import ProviderTimeout, ProviderUnavailable
from assistant.providers import PROVIDERS, listing, ollama
from assistant.providers.base import ChatMessage, Delta, Usage
from assistant.providers.listing import Listing
from tests.assistant.vendors import CANARY, STREAMS, VENDORS, ask, configure, line
from tests.fakes.providers import (
    FakeProvider,
    Script,
    anthropic_stream,
    google_stream,
    ollama_stream,
    openai_stream,
    openai_tool_call,
    sse,
)


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    configure(settings)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def last_usage(deltas: list[Delta]) -> Usage | None:
    return next((d.usage for d in reversed(deltas) if d.usage is not None), None)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_it_understands_a_stream(vendor: str, provider: FakeProvider) -> None:
    provider.will(STREAMS[vendor]("Hé", "llo", usage=(7, 2)))

    deltas = await ask(vendor)

    assert text_of(deltas) == "Héllo"
    assert last_usage(deltas) == Usage(7, 2)
    assert [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]


async def test_openai_is_sent_its_wire(provider: FakeProvider) -> None:
    await ask(
        "openai",
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        extra={"seed": 1},
        tools=({"type": "function"},),
    )

    seen = provider.chats[0]
    assert seen.path == "/openai/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    assert seen.body == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "tools": [{"type": "function"}],
        "seed": 1,
    }


async def test_anthropic_is_sent_its_wire(provider: FakeProvider) -> None:
    provider.will(anthropic_stream("x"))

    await ask("anthropic", temperature=1.5, stop=("END",))

    seen = provider.chats[0]
    assert seen.path == "/anthropic/v1/messages"
    assert seen.headers["x-api-key"] == CANARY
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.body == {
        "model": "some-model",
        "max_tokens": 99,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
        ],
        "stream": True,
        "temperature": 1.0,
        "stop_sequences": ["END"],
    }


async def test_google_is_sent_its_wire(provider: FakeProvider) -> None:
    provider.will(google_stream("x"))

    await ask("google", temperature=0.5)

    seen = provider.chats[0]
    assert seen.path == "/google/v1beta/models/some-model:streamGenerateContent?alt=sse"
    assert CANARY not in seen.path
    assert seen.headers["x-goog-api-key"] == CANARY
    assert seen.body == {
        "contents": [
            {"role": "user", "parts": [{"text": "One?"}]},
            {"role": "model", "parts": [{"text": "Two."}]},
            {"role": "user", "parts": [{"text": "Three?"}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 99, "temperature": 0.5},
    }


async def test_ollama_is_sent_its_wire(provider: FakeProvider) -> None:
    provider.will(ollama_stream("x"))

    await ask("ollama", temperature=0.5)

    seen = provider.chats[0]
    assert seen.path == "/ollama/api/chat"
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
        ],
        "stream": True,
        "options": {"num_predict": 99, "num_ctx": 4096, "temperature": 0.5},
    }


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
            {"type": "object"},
        ),
        ({"type": "text"}, None),
    ],
)
async def test_ollama_is_asked_for_json_in_its_own_words(
    wanted: dict[str, Any], sent: object, provider: FakeProvider
) -> None:
    provider.will(ollama_stream("{}"))

    await ask("ollama", extra={"response_format": wanted})

    assert provider.chats[0].body.get("format") == sent


async def test_ollama_is_given_a_window_that_holds_the_prompt(
    provider: FakeProvider,
) -> None:
    """It cuts a longer prompt silently."""
    provider.will(ollama_stream("x"))

    schema = {"type": "object", "description": "word " * 9000}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    function = {"name": "f", "arguments": json.dumps({"a": "word " * 20_000})}
    wire = {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}

    await ask("ollama", messages=(ChatMessage("user", "word " * 6000),))
    await ask("ollama", tools=(tool, {"type": "web_search"}))
    await ask("ollama", messages=(ChatMessage("assistant", "", wire),))

    windows = [seen.body["options"]["num_ctx"] for seen in provider.chats]
    assert windows == [8192, 16_384, 32_768]  # few, as each other one is loaded anew
    assert provider.chats[1].body["tools"] == [tool]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_w6_a_key_stays_with_its_vendor(
    vendor: str, provider: FakeProvider, settings: Any
) -> None:
    keys = {"openai": "k-openai", "anthropic": "k-anthropic", "google": "k-google"}
    settings.OPENAI_API_KEY = keys["openai"]
    settings.ANTHROPIC_API_KEY = keys["anthropic"]
    settings.GOOGLE_API_KEY = keys["google"]
    provider.will(STREAMS[vendor]("x"))

    await ask(vendor)

    sent = repr(provider.chats[0])
    assert {name for name, key in keys.items() if key in sent} == {vendor} & set(keys)


async def test_openai_tool_calls_come_in_pieces(provider: FakeProvider) -> None:
    provider.will(openai_tool_call("read_file", '{"path": "a.py"}'))

    calls = [call for d in await ask("openai") for call in d.tool_calls]

    assert [c["index"] for c in calls] == [0, 0]
    assert "".join(c["function"]["arguments"] for c in calls) == '{"path": "a.py"}'


async def test_ollama_tool_calls_become_openais(provider: FakeProvider) -> None:
    call = {"function": {"name": "read_file", "arguments": {"path": "a.py"}}}
    last = {"message": {"role": "assistant", "content": "", "tool_calls": [call]}}
    provider.will(
        Script(
            [line(last | {"done": True, "done_reason": "stop"})],
            content_type="application/x-ndjson",
        )
    )

    (delta,) = await ask("ollama")

    assert delta.finish_reason == "tool_calls"
    assert delta.tool_calls == (
        {
            "index": 0,
            "id": "call_0",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "a.py"}'},
        },
    )


async def test_a_tools_result_goes_back_to_ollama(provider: FakeProvider) -> None:
    provider.will(ollama_stream("x"))
    function = {"name": "read_file", "arguments": '{"path": "a.py"}'}
    call = {"role": "assistant", "tool_calls": [{"id": "c1", "function": function}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "text"}

    await ask(
        "ollama",
        messages=(
            ChatMessage("assistant", "", call),
            ChatMessage("tool", "text", result),
        ),
    )

    assert provider.chats[0].body["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"function": {"name": "read_file", "arguments": {"path": "a.py"}}}
            ],
        },
        {"role": "tool", "content": "text", "tool_name": "read_file"},
    ]


async def test_google_thoughts_are_counted_and_kept_apart(
    provider: FakeProvider,
) -> None:
    parts = [{"text": "hmm", "thought": True}, {"text": "Yes."}]
    body = {
        "candidates": [{"content": {"parts": parts}, "finishReason": "MAX_TOKENS"}],
        "usageMetadata": {
            "promptTokenCount": 5,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 30,
            "cachedContentTokenCount": 4,
        },
    }
    provider.will(Script([sse(body)]))

    (delta,) = await ask("google")

    assert delta == Delta(
        "Yes.", reasoning="hmm", finish_reason="length", usage=Usage(5, 32, 4)
    )


async def test_google_says_when_it_blocks(provider: FakeProvider) -> None:
    provider.will(Script([sse({"promptFeedback": {"blockReason": "SAFETY"}})]))

    (delta,) = await ask("google")

    assert delta.finish_reason == "content_filter"


async def test_anthropic_counts_what_its_cache_gave(provider: FakeProvider) -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 100,
    }
    end = {"delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 5}}
    provider.will(
        Script(
            [
                sse({"type": "message_start", "message": {"usage": usage}}),
                sse({"type": "message_delta"} | end),
            ]
        )
    )

    deltas = await ask("anthropic")

    assert deltas == [
        Delta(usage=Usage(113, None, 100)),
        Delta(finish_reason="length", usage=Usage(113, 5, 100)),
    ]


async def test_comments_names_and_carriage_returns_are_understood(
    provider: FakeProvider,
) -> None:
    steps = [b": hello\r\n\r\n", b"event: message\r\nid: 1\r\n"]
    for step in openai_stream("Hi").steps:
        assert isinstance(step, bytes)
        steps.append(step.replace(b"\n", b"\r\n"))
    whole = b"".join(steps)
    provider.will(Script([whole[i : i + 7] for i in range(0, len(whole), 7)]))

    assert text_of(await ask("openai")) == "Hi"


async def test_ollamas_models_are_asked_for_at_most_every_few_seconds(
    provider: FakeProvider,
) -> None:
    provider.models = ["qwen2.5-coder:7b", "nomic-embed-text:latest"]

    for _ in range(3):
        assert await PROVIDERS["ollama"].models() == ("qwen2.5-coder:7b",)
    assert len(provider.requests) == 1


async def test_an_ollama_that_is_away_offers_nothing(
    provider: FakeProvider, settings: Any
) -> None:
    settings.OLLAMA_URL = "http://127.0.0.1:9"
    ollama.listing.forget()

    assert await PROVIDERS["ollama"].models() == ()


async def test_a_server_too_busy_to_list_its_models_keeps_them(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.models = ["llama"]
    kept = Listing("api/tags", "models", "name", kept_seconds=0.0)
    server = Destination("ollama", f"{provider.url}/ollama")
    assert await kept.names(server) == ("llama",)

    async def fails(*args: object, **kwargs: object) -> None:
        raise failure

    monkeypatch.setattr(listing, "listed", fails)
    failure: ProviderError = ProviderTimeout()
    assert await kept.names(server) == ("llama",)
    kept.forget()
    assert await kept.names(server) == ()


async def test_a_server_that_has_gone_offers_nothing_at_once(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.models = ["llama"]
    kept = Listing("api/tags", "models", "name", kept_seconds=0.0)
    assert await kept.names(Destination("ollama", f"{provider.url}/ollama"))

    async def fails(*args: object, **kwargs: object) -> None:
        raise ProviderUnavailable

    monkeypatch.setattr(listing, "listed", fails)
    assert await kept.names(Destination("ollama", f"{provider.url}/ollama")) == ()
