"""Vendors and clients at the edges of their wire: understood, or one typed error."""

import json
from typing import Any

import pytest

from assistant.errors import ProviderMalformed, ProviderUnavailable
from assistant.providers import EMBEDDERS
from assistant.providers.base import ChatMessage
from assistant.providers.embedding import EmbedRequest
from assistant.providers.wire import MAX_LINE_BYTES
from tests.assistant.code import passage
from tests.assistant.test_translation import sent
from tests.assistant.vendors import ask, configure, line
from tests.fakes.providers import (
    CUT,
    FakeProvider,
    Script,
    anthropic_blocks,
    google_tool_call,
    named_sse,
    ollama_stream,
    openai_stream,
    sse,
)

TOO_LONG = b"x" * (MAX_LINE_BYTES + 10)
WORD = openai_stream("Hello", finish="", usage=None, done=False).steps[1]


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    configure(settings)


def wired(deltas: list[Any]) -> str:
    return b"".join(delta.wire for delta in deltas).decode()


@pytest.mark.parametrize(
    "steps",
    [
        [WORD, b'data: {"choices": [{"delta": {}}]}\n\n'],  # ends without a reason
        [WORD, b"data: " + TOO_LONG],  # a frame that never ends
        [b": " + TOO_LONG[:-20] + b"\n\n"] * 2,  # says nothing, at length
    ],
)
async def test_s3_a_stream_to_be_passed_on_ends_in_one_error(
    steps: list[Any], provider: FakeProvider
) -> None:
    provider.will(Script(steps))

    with pytest.raises(ProviderMalformed):
        await ask("openai", wire="stream")


async def test_a_last_frame_without_its_blank_line_counts(
    provider: FakeProvider,
) -> None:
    last = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}'
    provider.will(Script([WORD, last]))

    deltas = await ask("openai", wire="stream")

    assert "Hello" in wired(deltas)
    assert [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]


async def test_frames_of_nothing_but_comments_are_no_end(
    provider: FakeProvider,
) -> None:
    steps = openai_stream("Hello", "").steps
    provider.will(Script([b": hello\n\n", b'data: \n\ndata: "usage": {\n\n', *steps]))

    with pytest.raises(ProviderMalformed):
        await ask("openai", wire="stream")


async def test_s3_a_whole_answer_cut_short_is_an_error(provider: FakeProvider) -> None:
    script = Script([b'{"choices": [', CUT], content_type="application/json")
    provider.will(script)

    with pytest.raises((ProviderUnavailable, ProviderMalformed)):
        await ask("openai", wire="whole")


async def test_an_error_in_a_continued_text_is_one(
    provider: FakeProvider, settings: Any
) -> None:
    provider.will(Script([sse({"error": {"message": "out of memory"}})]))

    with pytest.raises(ProviderUnavailable):
        await ask("openai", raw="def f(")


async def test_s3_one_line_beyond_the_cap_is_an_error(provider: FakeProvider) -> None:
    """It comes whole, end and all, in as many pieces as the line gives."""
    steps = ollama_stream("x").steps
    long = line({"message": {"role": "assistant", "content": TOO_LONG.decode()}})
    provider.will(Script([long, *steps], content_type="application/x-ndjson"))

    with pytest.raises(ProviderMalformed):
        await ask("ollama")


async def test_google_behind_a_proxy_that_ends_as_openai_does(
    provider: FakeProvider,
) -> None:
    steps = google_tool_call("read_file", "{}").steps
    provider.will(Script([*steps, b"data: [DONE]\n\n", b"data: {}\n\n"]))

    deltas = await ask("google")

    assert [d.finish_reason for d in deltas if d.finish_reason] == ["tool_calls"]


async def test_a_call_of_googles_without_a_signature_is_one(
    provider: FakeProvider,
) -> None:
    call = {"functionCall": {"name": "read_file", "args": {}}}
    candidate = {"content": {"parts": [call]}, "finishReason": "STOP"}
    provider.will(Script([sse({"candidates": [candidate]})]))

    deltas = await ask("google")

    (found,) = (call for delta in deltas for call in delta.tool_calls)
    assert "extra_content" not in found


async def test_a_tool_without_parameters_is_declared_without(
    provider: FakeProvider,
) -> None:
    tool = {"type": "function", "function": {"name": "now", "description": "Time."}}

    body = await sent("google", provider, tools=(tool,))

    assert body["tools"][0]["functionDeclarations"] == [
        {"name": "now", "description": "Time."}
    ]


@pytest.mark.parametrize(
    ("vendor", "member"), [("anthropic", "messages"), ("google", "contents")]
)
async def test_a_message_of_nothing_is_left_out(
    vendor: str, member: str, provider: FakeProvider
) -> None:
    """Both refuse an empty one."""
    empty = {"role": "assistant", "content": [{"type": "something_new"}]}
    messages = (
        ChatMessage("user", "One?"),
        ChatMessage("assistant", "", empty),
        ChatMessage("user", "Two?"),
    )

    body = await sent(vendor, provider, messages=messages)

    assert [message["role"] for message in body[member]] == ["user", "user"]


@pytest.mark.parametrize(
    ("arguments", "told"), [({"path": "a"}, {"path": "a"}), ("{oops", {}), ("7", {})]
)
async def test_arguments_that_are_no_json_object_become_an_empty_one(
    arguments: Any, told: Any, provider: FakeProvider
) -> None:
    function = {"name": "read_file", "arguments": arguments}
    call = {"id": "c1", "type": "function", "function": function}
    wire = {"role": "assistant", "content": None, "tool_calls": [call]}
    messages = (ChatMessage("user", "Read."), ChatMessage("assistant", "", wire))

    body = await sent("anthropic", provider, messages=messages)

    assert body["messages"][1]["content"][0]["input"] == told


async def test_anthropic_fetches_a_pictures_address_itself(
    provider: FakeProvider,
) -> None:
    url = "https://example.com/a.png"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    message = ChatMessage("user", "", {"role": "user", "content": content})

    body = await sent("anthropic", provider, messages=(message,))

    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": url}}
    ]


async def test_anthropic_may_end_without_counting(provider: FakeProvider) -> None:
    steps = anthropic_blocks(({"type": "text", "text": "Hi"},)).steps[:-2]
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    provider.will(
        Script([*steps, named_sse(ending), named_sse({"type": "message_stop"})])
    )

    deltas = await ask("anthropic")

    assert [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("high", None), ("", None)]
)
async def test_ollama_is_told_not_to_think(
    effort: str, think: bool | None, provider: FakeProvider
) -> None:
    body = await sent("ollama", provider, extra={"reasoning_effort": effort})

    assert body.get("think") == think


async def test_ollama_is_told_how_long_vectors_shall_be(
    provider: FakeProvider,
) -> None:
    answer = json.dumps({"embeddings": [[0.5, 0.5]]}).encode()
    provider.at("api/embed", Script([answer], content_type="application/json"))

    request = EmbedRequest(model="nomic-embed-text", inputs=("x",), dimensions=2)
    await EMBEDDERS["ollama"].embed(request)

    assert provider.chats[-1].body["dimensions"] == 2


def test_a_quote_ends_with_its_last_line_of_code() -> None:
    from assistant.providers.quoting import best_quote  # noqa: PLC0415 - set up first

    quote = best_quote(passage(text="\n\ndef f():\n    return 1\n\n  \n"), "What is f?")

    assert quote.text == "def f():\n    return 1"
    assert (quote.start_line, quote.end_line) == (3, 4)
