"""OpenAI, and every server that speaks its chat completions.

Where OpenAI's own models think while they have tools, they are asked over
`assistant.providers.responses`.
Source: https://platform.openai.com/docs/api-reference/chat/streaming
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from aiassist.lib.egress import Answer, Destination, EgressError
from aiassist.lib.of_settings import of_settings
from assistant.errors import (
    ProviderMalformed,
    ProviderMisconfigured,
    ProviderRejected,
    ProviderUnavailable,
)
from assistant.providers import responses, responses_wire
from assistant.providers.base import (
    Access,
    ChatMessage,
    ChatRequest,
    Delta,
    JsonObject,
    Usage,
)
from assistant.providers.embedding import (
    Embedded,
    EmbedRequest,
    ask,
    checked,
    vector_of,
)
from assistant.providers.given import GivenDestination
from assistant.providers.listing import Listing, listed
from assistant.providers.openai_wire import Relay, data_of
from assistant.providers.wire import (
    MAX_STREAM_BYTES,
    as_provider_error,
    caps,
    count_of,
    is_stream,
    mapping,
    objects,
    parse_object,
    post,
    require_type,
    sse_data,
    text_of,
)

listing = Listing("models", "data", "id", kept_seconds=60.0)
_OPENAI = "api.openai.com"
# OpenAI's own models that think unless told otherwise (o3, gpt-5, gpt-5.6-luna,
# gpt-6-sol), when asked to, never.
_THINKING = re.compile(r"(?:o\d|gpt-(?:5(?:\.[6-9])?|[6-9](?:\.\d+)?))(?:-(?!chat)|$)")
_THINKING_IF_ASKED = re.compile(r"gpt-5\.[1-5](?:-(?!chat)|$)")
_THINKING_HARDEST = re.compile(r"gpt-(?:5\.[2-9]|[6-9])")
_THOUGHTLESS = re.compile(r"gpt-[34]|chatgpt-|gpt-5(?:\.\d)?-chat")
_READ = ("role", "content", "tool_calls")
_FINISH = ("stop", "length", "tool_calls", "content_filter", "function_call")


class OpenAIProvider:
    name = "openai"
    takes_tools = True
    takes_images = True
    takes_image_urls = True

    def is_configured(self) -> bool:
        return bool(settings.OPENAI_API_KEY)

    def takes_raw(self, base_url: str = "") -> bool:
        return not _is_openai(Access(base_url) if base_url else None)

    async def models(self) -> Sequence[str]:
        """What a compatible server says that it serves.

        OpenAI itself lists far more than chat models, so there the catalogue's rows
        say what is offered.
        """
        return () if _is_openai(None) else await listing.chatting(_destination())

    async def names(self, access: Access | None = None) -> Sequence[str]:
        return await listed(_destination(access), "models", member="data", name="id")

    async def embedders(self) -> Sequence[str]:
        return () if _is_openai(None) else await listing.embedding(_destination())

    async def embed(self, request: EmbedRequest) -> Embedded:
        body: dict[str, Any] = {
            "model": request.model,
            "input": list(request.inputs),
            # Half the bytes; a server that does not know it answers with numbers.
            "encoding_format": "base64",
        }
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        answer = await ask(_destination(request.access), "embeddings", body)
        usage = mapping(answer.get("usage"))
        found = sorted(objects(answer.get("data")), key=_index)
        vectors = [vector_of(item.get("embedding")) for item in found]
        told = "prompt_tokens" in usage
        return Embedded(
            checked(vectors, len(request.inputs)),
            count_of(usage["prompt_tokens"]) if told else None,
        )

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        if request.raw:
            return self._continued_or_asked(request)
        return self._asked(request)

    async def _continued_or_asked(
        self, request: ChatRequest
    ) -> AsyncGenerator[Delta, None]:
        """Have a text continued; where that is refused, many servers only chat."""
        try:
            async with aclosing(self._continued(request)) as deltas:
                async for delta in deltas:
                    yield delta
        except (ProviderMisconfigured, ProviderRejected):  # before a token
            async with aclosing(self._asked(request)) as deltas:
                async for delta in deltas:
                    yield delta

    def _asked(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        if _wants_responses(request):
            destination = _destination(request.access)
            return responses.answered(
                request, destination, thinks=_thinks(request), effort=_effort(request)
            )
        if request.wire == "stream":
            return self._relayed(request)
        if request.wire == "whole":
            return self._whole(request)
        body = body_of(request)
        return self._read("chat/completions", body, delta_of, request.access)

    async def _relayed(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Pass the frames on as they are; read those that end the answer."""
        destination, body = _destination(request.access), body_of(request)
        relay = Relay(delta_of)
        async with post(destination, "chat/completions", body) as answer:
            require_type(answer, "text/event-stream")
            while (chunk := await answer.piece()) is not None:
                for delta in relay.feed(chunk):
                    yield delta
                if relay.is_over:
                    answer.has_said_all = True
                    break
            else:
                for delta in relay.end():
                    yield delta
        if not relay.has_finished:
            raise ProviderMalformed(provider=self.name)

    async def _whole(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Have the answer in one body. It may take as long as a whole stream."""
        destination, body = _destination(request.access), body_of(request)
        body["stream"] = False
        del body["stream_options"]
        limits = caps()
        patient = replace(limits, first_byte_seconds=limits.total_seconds)
        path = "chat/completions"
        async with post(destination, path, body, patient) as answer:
            if is_stream(answer):  # some servers know nothing else
                async with aclosing(self._streamed(answer, delta_of)) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            try:
                given = parse_object(await answer.read(MAX_STREAM_BYTES))
            except EgressError as error:
                raise as_provider_error(self.name, error) from None
        yield whole_delta_of(given)

    def _continued(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Have a text continued as it stands."""
        body = body_of(request) | {"prompt": request.raw}
        for name in ("messages", "tools"):
            body.pop(name, None)
        return self._read("completions", body, completion_delta_of, request.access)

    async def _read(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], Delta],
        access: Access | None,
    ) -> AsyncGenerator[Delta, None]:
        async with post(_destination(access), path, body) as answer:
            async with aclosing(self._streamed(answer, read)) as deltas:
                async for delta in deltas:
                    yield delta

    async def _streamed(
        self, answer: Answer, read: Callable[[dict[str, Any]], Delta]
    ) -> AsyncGenerator[Delta, None]:
        finished = False
        async with aclosing(sse_data(answer)) as events:
            async for event in events:
                if event is None:
                    break
                delta = read(event)
                finished = finished or bool(delta.finish_reason)
                yield delta
        if not finished:
            raise ProviderMalformed(provider=self.name)


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Return the request in OpenAI's wire format."""
    body: dict[str, Any] = {
        **request.extra,
        "model": request.model,
        "messages": [message_of(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        _max_tokens_field(request.access): request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = list(request.tools)
    if _is_openai(request.access):
        _suit_openai(body, request)
    return body


def _suit_openai(body: dict[str, Any], request: ChatRequest) -> None:
    """Leave out what OpenAI's own models refuse, which editors and agents always send.

    None takes a temperature while it thinks, and those that cannot think take no
    effort. Thoughts that were given out sealed are for its other wire.
    Source: https://developers.openai.com/api/docs/guides/latest-model
    """
    if _thinks(request):
        body.pop("temperature", None)
        body.pop("top_p", None)
    body.pop("reasoning_effort", None)
    if effort := _effort(request):
        body["reasoning_effort"] = effort
    for message in body["messages"]:
        message.pop("reasoning_details", None)


def _wants_responses(request: ChatRequest) -> bool:
    """Tell whether the request goes over the responses API.

    At chat completions OpenAI's newest models refuse tools unless they do not think.
    """
    if request.speaks == "responses":
        return True
    if not _is_openai(request.access):
        return False
    return request.native is not None or bool(request.tools and _thinks(request))


def _thinks(request: ChatRequest) -> bool:
    """Tell whether one of OpenAI's own models thinks before it answers this."""
    effort = request.reasoning_effort
    if effort == "none":
        return False
    asked = effort and _THINKING_IF_ASKED.match(request.model)
    return bool(asked or _THINKING.match(request.model))


def _effort(request: ChatRequest) -> str:
    """Return how hard to think; "" for models that cannot, or are not known to."""
    model = request.model
    if request.extra.get("reasoning_effort") is not None:  # in OpenAI's own words
        return "" if _THOUGHTLESS.match(model) else request.reasoning_effort
    if not _thinks(request):
        return ""
    if request.effort in ("xhigh", "max"):
        return "xhigh" if _THINKING_HARDEST.match(model) else "high"
    return request.effort


def message_of(message: ChatMessage) -> dict[str, Any]:
    """Return a message as sent by the client where it held more than text."""
    if message.wire is not None:
        return dict(message.wire)
    return {"role": message.role, "content": message.content}


def delta_of(event: dict[str, Any]) -> Delta:
    """Read one chunk; raises ProviderUnavailable for an error in mid-stream."""
    if event.get("error"):
        raise ProviderUnavailable(provider="openai")
    usage = mapping(event.get("usage"))
    choice = next(iter(objects(event.get("choices"))), {})
    delta = mapping(choice.get("delta"))
    extra = {k: v for k, v in delta.items() if k not in _READ and v is not None}
    if choice.get("logprobs") is not None:
        extra["logprobs"] = choice["logprobs"]
    return Delta(
        text=text_of(delta.get("content")),
        tool_calls=tuple(objects(delta.get("tool_calls"))),
        reasoning=text_of(extra.get("reasoning_content") or extra.get("reasoning")),
        extra=extra,
        finish_reason=_finish_reason(text_of(choice.get("finish_reason"))),
        usage=_usage(usage) if usage else None,
    )


def whole_delta_of(given: dict[str, Any]) -> Delta:
    """Read an answer that came in one body."""
    if given.get("error"):
        raise ProviderUnavailable(provider="openai")
    choice = next(iter(objects(given.get("choices"))), {})
    finish_reason = _finish_reason(text_of(choice.get("finish_reason")))
    if not finish_reason:
        raise ProviderMalformed(provider="openai")
    usage = mapping(given.get("usage"))
    return Delta(
        whole=given,
        finish_reason=finish_reason,
        usage=_usage(usage) if usage else None,
    )


def completion_delta_of(event: dict[str, Any]) -> Delta:
    """Read one chunk of a continued text."""
    if event.get("error"):
        raise ProviderUnavailable(provider="openai")
    usage = mapping(event.get("usage"))
    choice = next(iter(objects(event.get("choices"))), {})
    return Delta(
        text=text_of(choice.get("text")),
        finish_reason=_finish_reason(text_of(choice.get("finish_reason"))),
        usage=_usage(usage) if usage else None,
    )


def wire_text(wire: bytes) -> str:
    """Return what frames say, calls included, to count its tokens."""
    said = []
    for frame in wire.replace(b"\r\n", b"\n").split(b"\n\n"):
        if data := data_of(frame):
            event = parse_object(data)
            said.append(responses_wire.said_by(event))
            delta = delta_of(event)
            said += [delta.text, delta.reasoning]
            said += [str(call.get("function", "")) for call in delta.tool_calls]
    return "".join(said)


def whole_text(whole: JsonObject) -> str:
    """Return what a whole answer says, calls included, to count its tokens."""
    if whole.get("object") == "response":
        return responses_wire.said_in(whole)
    choice = next(iter(objects(whole.get("choices"))), {})
    message = mapping(choice.get("message"))
    calls = objects(message.get("tool_calls"))
    said = [text_of(message.get("content")), text_of(message.get("reasoning_content"))]
    return "".join([*said, *(str(call.get("function", "")) for call in calls)])


def _index(item: dict[str, Any]) -> int:
    return count_of(item.get("index"))


def _finish_reason(reason: str) -> str:
    """Compatible servers have words of their own ("eos"), which clients do not know."""
    return reason if not reason or reason in _FINISH else "stop"


def _usage(usage: dict[str, Any]) -> Usage:
    details = mapping(usage.get("prompt_tokens_details"))
    return Usage(
        tokens_in=count_of(usage.get("prompt_tokens")),
        tokens_out=count_of(usage.get("completion_tokens")),
        tokens_cached=count_of(details.get("cached_tokens")),
    )


def _max_tokens_field(access: Access | None) -> str:
    """OpenAI's own models want the new name; compatible servers know the old one."""
    return "max_completion_tokens" if _is_openai(access) else "max_tokens"


def _is_openai(access: Access | None) -> bool:
    return _host_of((access or _configured()).base_url) == _OPENAI


@lru_cache(maxsize=256)
def _host_of(base_url: str) -> str | None:
    return urlsplit(base_url).hostname


def _destination(access: Access | None = None) -> Destination:
    if access is not None:
        headers = {"Authorization": f"Bearer {access.key}"} if access.key else {}
        return GivenDestination("openai", access.base_url, headers, access.trust)
    return _configured()


@of_settings
def _configured() -> Destination:
    return Destination(
        "openai",
        settings.OPENAI_BASE_URL,
        {"Authorization": f"Bearer {settings.OPENAI_API_KEY}"},
    )
