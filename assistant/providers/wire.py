"""Reading providers' streams: bounded lines, SSE and NDJSON, typed errors.

Nothing a provider sends back on a failure is kept or shown: it may echo our
credential or the prompt. Whether a prompt was too long is all that is read of it.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any

from django.conf import settings

from aiassist.lib import jsons
from aiassist.lib.egress import (
    MIB,
    Answer,
    Caps,
    Destination,
    EgressError,
    EgressTimeout,
)
from aiassist.lib.errors import ProviderError
from aiassist.lib.of_settings import of_settings
from assistant.errors import (
    PromptTooLong,
    ProviderBusy,
    ProviderMalformed,
    ProviderMisconfigured,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from assistant.providers.given import opened

MAX_LINE_BYTES = MIB
MAX_REFUSAL_BYTES = 65_536
# As OpenAI, vLLM, llama.cpp, Anthropic and Google say it.
_TOO_LONG = re.compile(
    rb"context_length_exceeded|maximum context length|exceed_context_size"
    rb"|prompt is too long|exceed context limit|input token count[^.]{0,40} exceeds",
    re.IGNORECASE,
)
MAX_STREAM_BYTES = 16 * MIB  # an answer of 100,000 tokens has about half of it


@of_settings
def caps() -> Caps:
    """Return the limits for one call to a provider, from the settings."""
    return Caps(
        connect_seconds=settings.PROVIDER_CONNECT_TIMEOUT_SECONDS,
        first_byte_seconds=settings.PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS,
        idle_seconds=settings.PROVIDER_IDLE_TIMEOUT_SECONDS,
        total_seconds=settings.PROVIDER_TOTAL_TIMEOUT_SECONDS,
        max_bytes=MAX_STREAM_BYTES,
    )


class post:
    """Send a prompt; the block reads the stream. Raises ProviderError only."""

    def __init__(
        self,
        destination: Destination,
        path: str,
        body: Mapping[str, Any],
        limits: Caps | None = None,
    ) -> None:
        self._name = destination.name
        self._call = opened(destination, "POST", path, json=body, caps=limits or caps())

    async def __aenter__(self) -> Answer:
        try:
            answer = await self._call.__aenter__()
        except EgressError as error:
            raise as_provider_error(self._name, error) from None
        if answer.status != 200:
            try:
                refused = await _refused(self._name, answer)
            finally:
                await self._call.__aexit__(None, None, None)
            raise refused
        return answer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._call.__aexit__(kind, error, trace)
        if isinstance(error, EgressError):
            raise as_provider_error(self._name, error) from None


async def _refused(provider: str, answer: Answer) -> ProviderError:
    """Return the error for a refusal; of its body one thing alone is looked for.

    Agents sum up and go on when they are told that a prompt is too long, and give up
    at any other refusal.
    """
    if answer.status in (400, 413):
        try:
            said = await answer.read(MAX_REFUSAL_BYTES)
        except EgressError:
            said = b""
        if _TOO_LONG.search(said):
            return PromptTooLong(provider=provider)
    return refusal(provider, answer)


def refusal(provider: str, answer: Answer) -> ProviderError:
    """Return the error for a status; the body stays unread."""
    match answer.status:
        case 401 | 403 | 404:
            return ProviderMisconfigured(provider=provider)
        case 400 | 413 | 422:
            return ProviderRejected(provider=provider)
        case 429 | 503 | 529:
            seconds = _retry_after(answer.headers.get("retry-after", ""))
            if seconds is None:
                return ProviderBusy(provider=provider)
            return ProviderBusy(provider=provider, retry_after_seconds=seconds)
    return ProviderUnavailable(provider=provider)


def as_provider_error(provider: str, error: EgressError) -> ProviderError:
    """Translate a failure of the line."""
    if isinstance(error, EgressTimeout):
        return ProviderTimeout(provider=provider, phase=error.details.get("phase", ""))
    if error.code == "address_refused":  # its name led to a private address
        return ProviderMisconfigured(provider=provider)
    if error.code in ("answer_too_large", "answer_malformed"):
        return ProviderMalformed(provider=provider)
    return ProviderUnavailable(provider=provider)


async def lines(
    chunks: AsyncGenerator[bytes, None], max_bytes: int = MAX_LINE_BYTES
) -> AsyncGenerator[bytes, None]:
    """Yield lines without their ends, each at most `max_bytes`.

    Raises ProviderMalformed for a longer one, and for a last one cut short.
    """
    rest = bytearray()
    async with aclosing(chunks):
        async for chunk in chunks:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                line = bytes(rest) + chunk[start:end]
                rest.clear()
                start = end + 1
                if len(line) > max_bytes:
                    raise ProviderMalformed
                yield line.removesuffix(b"\r")
            rest += chunk[start:]
            if len(rest) > max_bytes:
                raise ProviderMalformed
    if rest.strip():
        yield bytes(rest)


async def sse_data(
    answer: Answer, max_bytes: int = MAX_LINE_BYTES
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the JSON body of each server-sent event; None for `[DONE]`.

    Event names are repeated inside the bodies by every vendor, so they are dropped.
    """
    require_type(answer, "text/event-stream")
    parts: list[bytes] = []
    n_bytes = 0
    async with aclosing(lines(answer.chunks(), max_bytes)) as stream:
        async for line in stream:
            if line.startswith(b"data:"):
                parts.append(line[5:].removeprefix(b" "))
                n_bytes += len(parts[-1])
                if n_bytes > max_bytes:
                    raise ProviderMalformed
            elif not line and parts:
                body = _body(b"\n".join(parts))
                answer.has_said_all = body is None
                yield body
                parts, n_bytes = [], 0
    if parts:  # some servers leave out the blank line after the last event
        yield _body(b"\n".join(parts))


async def ndjson(answer: Answer) -> AsyncGenerator[dict[str, Any], None]:
    """Yield one object a line."""
    require_type(answer, "application/x-ndjson", "application/json")
    async with aclosing(lines(answer.chunks())) as stream:
        async for line in stream:
            if line.strip():
                yield parse_object(line)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return a JSON object; raises ProviderMalformed for anything else."""
    try:
        parsed = jsons.loads(raw)
    except (ValueError, RecursionError):
        raise ProviderMalformed from None
    if not isinstance(parsed, dict):
        raise ProviderMalformed
    return parsed


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of what should be a list of them."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def mapping(value: object) -> dict[str, Any]:
    """Return an object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """Return a string that UTF-8 can carry, or "" in place of anything else.

    JSON can hold half a character (a lone surrogate), which would break our own
    stream; it becomes U+FFFD.
    """
    if not isinstance(value, str):
        return ""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def count_of(value: object) -> int:
    """Return a count of tokens; 0 in place of what is none, or cannot be true."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _body(data: bytes) -> dict[str, Any] | None:
    return None if data.strip() == b"[DONE]" else parse_object(data)


def is_stream(answer: Answer) -> bool:
    """Tell whether the answer comes as server-sent events."""
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def require_type(answer: Answer, *wanted: str) -> None:
    """Refuse an HTML page or the like; a missing type is let through."""
    given = answer.headers.get("content-type", wanted[0]).split(";")[0].strip().lower()
    if given not in wanted:
        raise ProviderMalformed


def _retry_after(header: str) -> int | None:
    return int(header) if header.isdigit() and len(header) < 6 else None
