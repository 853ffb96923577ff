"""S2, S3, S4: what providers do wrong is one typed error that tells nothing."""

from typing import Any

import pytest

from aiassist.lib.errors import ProviderError
from assistant.errors import (
    PromptTooLong,
    ProviderBusy,
    ProviderMalformed,
    ProviderMisconfigured,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from tests.assistant.vendors import CANARY, STREAMS, VENDORS, ask, configure, line
from tests.fakes.providers import (
    CUT,
    HOLD,
    FakeProvider,
    Script,
    failure,
    html_page,
    sse,
)


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    configure(settings)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderRejected),
        (401, ProviderMisconfigured),
        (403, ProviderMisconfigured),
        (404, ProviderMisconfigured),
        (429, ProviderBusy),
        (500, ProviderUnavailable),
        (302, ProviderUnavailable),
    ],
)
async def test_s4_a_refusal_is_typed_and_tells_nothing(
    vendor: str, status: int, error: type[ProviderError], provider: FakeProvider
) -> None:
    """The stand-in echoes prompt and credential in its refusals."""
    provider.will(failure(status))

    with pytest.raises(error) as caught:
        await ask(vendor)

    told = f"{caught.value!r} {caught.value.details} {caught.value.__context__!r}"
    assert CANARY not in told
    assert "Three?" not in told


TOO_LONG = (
    '{"error": {"code": "context_length_exceeded"}}',
    '{"message": "This model\'s maximum context length is 8192 tokens."}',
    '{"error": {"type": "exceed_context_size_error"}}',
    '{"error": {"message": "prompt is too long: 208310 tokens > 200000 maximum"}}',
    '{"error": {"message": "The input token count (9) exceeds the maximum of 8."}}',
)


@pytest.mark.parametrize("said", TOO_LONG)
async def test_s4_a_prompt_that_is_too_long_for_the_model_is_told_as_that(
    said: str, provider: FakeProvider
) -> None:
    """Agents sum up then, and give up at any other refusal."""
    provider.will(Script([said.encode()], 400, "application/json"))

    with pytest.raises(PromptTooLong) as caught:
        await ask("openai")
    assert "208310" not in f"{caught.value!r} {caught.value.details}"


@pytest.mark.parametrize(
    "steps", [[b"x" * 100_000], [CUT], [b"maximum context len", HOLD]]
)
async def test_s2_a_refusal_that_cannot_be_read_is_one_all_the_same(
    steps: list[Any], provider: FakeProvider, settings: Any
) -> None:
    settings.PROVIDER_IDLE_TIMEOUT_SECONDS = 0.2
    provider.will(Script(steps, 400, "application/json"))

    with pytest.raises(ProviderRejected) as caught:
        await ask("openai")
    assert caught.value.code == "provider_rejected"


async def test_retry_after_is_kept(provider: FakeProvider) -> None:
    provider.will(failure(429, retry_after=2))

    with pytest.raises(ProviderBusy) as caught:
        await ask("openai")
    assert caught.value.details == {"provider": "openai", "retry_after_seconds": 2}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_s3_a_stream_cut_short_is_an_error(
    vendor: str, provider: FakeProvider
) -> None:
    steps = list(STREAMS[vendor]("Hel", "lo").steps)
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    provider.will(Script([*steps[:2], CUT], content_type=kind))

    with pytest.raises(ProviderUnavailable):
        await ask(vendor)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_s3_a_stream_without_a_finish_is_no_whole_answer(
    vendor: str, provider: FakeProvider
) -> None:
    """The connection ends in order, the answer does not."""
    steps = list(STREAMS[vendor]("Hel", "lo").steps)
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    provider.will(Script(steps[:1], content_type=kind))

    with pytest.raises(ProviderMalformed):
        await ask(vendor)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: "text"\n\n',
        b"data: \xff\xfe\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: {}",
        b'data: {"choices": 3, "candidates": {}, "type": []}\n\n',
    ],
)
async def test_s3_garbage_is_one_typed_error(
    vendor: str, garbage: bytes, provider: FakeProvider
) -> None:
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    line = garbage.removeprefix(b"data: ") if vendor == "ollama" else garbage
    provider.will(Script([line], content_type=kind))

    with pytest.raises(ProviderMalformed):
        await ask(vendor)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_s3_an_html_page_is_one_typed_error(
    vendor: str, provider: FakeProvider
) -> None:
    provider.will(html_page())

    with pytest.raises(ProviderMalformed):
        await ask(vendor)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_s3_a_line_of_50_mb_is_not_read_to_its_end(
    vendor: str, provider: FakeProvider
) -> None:
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    megabyte = b"x" * 1024 * 1024
    provider.will(Script([b'data: {"a": "', *[megabyte] * 50], content_type=kind))

    with pytest.raises(ProviderMalformed):
        await ask(vendor)
    assert provider.chats[0].n_bytes_sent < 10 * 1024 * 1024


async def test_s3_many_data_lines_of_one_event_are_bounded_too(
    provider: FakeProvider,
) -> None:
    provider.will(Script([b"data: " + b"x" * 60_000 + b"\n"] * 200))

    with pytest.raises(ProviderMalformed):
        await ask("openai")
    assert provider.chats[0].n_bytes_sent < 10 * 1024 * 1024


@pytest.mark.parametrize(
    ("vendor", "event"),
    [
        ("openai", {"error": {"message": CANARY}}),
        ("anthropic", {"type": "error", "error": {"type": "api_error"}}),
        ("google", {"error": {"code": 500, "message": CANARY}}),
        ("ollama", {"error": CANARY}),
    ],
)
async def test_s3_an_error_in_mid_stream_is_typed(
    vendor: str, event: dict[str, Any], provider: FakeProvider
) -> None:
    steps = list(STREAMS[vendor]("Hel").steps)[:1]
    last = line(event) if vendor == "ollama" else sse(event)
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    provider.will(Script([*steps, last], content_type=kind))

    with pytest.raises(ProviderUnavailable) as caught:
        await ask(vendor)
    assert CANARY not in str(caught.value)


async def test_anthropic_overload_is_told_as_busy(provider: FakeProvider) -> None:
    event = {"type": "error", "error": {"type": "overloaded_error"}}
    provider.will(Script([sse(event)]))

    with pytest.raises(ProviderBusy):
        await ask("anthropic")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_s2_a_stalled_stream_is_a_timeout(
    vendor: str, provider: FakeProvider, settings: Any
) -> None:
    settings.PROVIDER_IDLE_TIMEOUT_SECONDS = 0.2
    steps = list(STREAMS[vendor]("Hel").steps)[:1]
    kind = "application/x-ndjson" if vendor == "ollama" else "text/event-stream"
    provider.will(Script([*steps, HOLD], content_type=kind))

    with pytest.raises(ProviderTimeout) as caught:
        await ask(vendor)
    assert caught.value.details["phase"] == "idle"
