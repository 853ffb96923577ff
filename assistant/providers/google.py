"""Google's Gemini API.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from django.conf import settings

from aiassist.lib.egress import Destination
from aiassist.lib.ids import base62_random
from assistant.errors import ProviderMalformed, ProviderUnavailable
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
    only_texts,
    vector_of,
)
from assistant.providers.given import GivenDestination
from assistant.providers.listing import listed
from assistant.providers.parts import (
    Call,
    Image,
    Text,
    call_id_of,
    call_names,
    calls_of,
    chosen_tool,
    functions_of,
    json_schema_of,
    parts_of,
    wants_json,
)
from assistant.providers.wire import (
    count_of,
    mapping,
    objects,
    post,
    sse_data,
    text_of,
)

MAX_STOPS = 5  # stop sequences that it takes
MAX_BATCH = 100  # texts that it embeds at once
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}
_MODES = {"none": "NONE", "required": "ANY"}
# For Gemini 2.5, as Google's own OpenAI-compatible address translates efforts.
# Source: https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_THOUGHTLESS = re.compile(r"gemini-(?:1|2\.0)")
_BUDGETS |= {"xhigh": 24576, "max": 24576}
# Later Gemini models refuse a call of theirs that comes back without its signature;
# this stands in for one that the client has lost.
# Source: https://ai.google.dev/gemini-api/docs/thought-signatures
_NO_SIGNATURE = "skip_thought_signature_validator"


class GoogleProvider:
    name = "google"
    takes_tools = True
    takes_images = True
    takes_image_urls = False

    def is_configured(self) -> bool:
        return bool(settings.GOOGLE_API_KEY)

    def takes_raw(self, base_url: str = "") -> bool:
        return False

    async def models(self) -> Sequence[str]:
        """The catalogue's rows say which models are offered, and their prices."""
        return ()

    async def names(self, access: Access | None = None) -> Sequence[str]:
        path = "v1beta/models?pageSize=1000"
        names = await listed(_destination(access), path, member="models", name="name")
        return [name.removeprefix("models/") for name in names]

    async def embedders(self) -> Sequence[str]:
        return ()

    async def embed(self, request: EmbedRequest) -> Embedded:
        name, size = f"models/{request.model}", request.dimensions
        config = {} if size is None else {"outputDimensionality": size}
        wanted = [
            {"model": name, "content": {"parts": [{"text": text}]}, **config}
            for text in only_texts(request.inputs, self.name)
        ]
        path = f"v1beta/models/{quote(request.model, safe='')}:batchEmbedContents"
        vectors: list[Sequence[float]] = []
        for at in range(0, len(wanted), MAX_BATCH):
            body = {"requests": wanted[at : at + MAX_BATCH]}
            answer = await ask(_destination(request.access), path, body)
            found = objects(answer.get("embeddings"))
            vectors += (vector_of(item.get("values")) for item in found)
        return Embedded(checked(vectors, len(wanted)), None)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        model = quote(request.model, safe="")
        path = f"v1beta/models/{model}:streamGenerateContent?alt=sse"
        reader = _Reader()
        destination = _destination(request.access)
        async with post(destination, path, body_of(request)) as answer:
            async with aclosing(sse_data(answer)) as events:
                async for event in events:
                    if event is None:
                        break
                    yield reader.read(event)
        if not reader.finished:
            raise ProviderMalformed(provider=self.name)


def _destination(access: Access | None = None) -> Destination:
    # The key rides in a header: a query string ends up in access logs.
    if access is not None:
        headers = {"x-goog-api-key": access.key} if access.key else {}
        return GivenDestination("google", access.base_url, headers, access.trust)
    return Destination(
        "google",
        settings.GOOGLE_BASE_URL,
        {"x-goog-api-key": settings.GOOGLE_API_KEY},
    )


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Return the request in Gemini's wire format: the assistant is the `model`."""
    contents = _contents(request.messages)
    system = "\n\n".join(m.content for m in request.messages if m.role == "system")
    if system and not contents:  # which Gemini refuses
        system, contents = "", [{"role": "user", "parts": [{"text": system}]}]
    body: dict[str, Any] = {
        "contents": contents,
        "generationConfig": _config(request),
    }
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    if functions := functions_of(request.tools):
        body["tools"] = [{"functionDeclarations": list(map(_declaration, functions))}]
        if choice := _choice(request.extra.get("tool_choice")):
            body["toolConfig"] = {"functionCallingConfig": choice}
    return body


def _config(request: ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"maxOutputTokens": request.max_tokens}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    if request.stop:
        config["stopSequences"] = list(request.stop[:MAX_STOPS])
    schema = json_schema_of(request.extra)
    if schema is not None or wants_json(request.extra):
        config["responseMimeType"] = "application/json"
    if schema is not None:
        config["responseJsonSchema"] = schema
    if thinking := _thinking(request):
        config["thinkingConfig"] = thinking
    return config


def _thinking(request: ChatRequest) -> dict[str, Any]:
    effort = request.reasoning_effort
    if effort not in _BUDGETS or _THOUGHTLESS.match(request.model):
        return {}
    if request.model.startswith("gemini-2"):
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    level = "low" if effort in ("none", "minimal", "low") else "high"
    return {"thinkingLevel": level, "includeThoughts": True}


def _contents(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Translate; the results of one round of tools go into one content."""
    names = call_names(messages)
    found: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the round that is being read
    for message in messages:
        if message.role == "tool":
            if results is None:
                results = []
                found.append({"role": "user", "parts": results})
            results.append(_result(message, names))
        elif message.role != "system":
            role = "model" if message.role == "assistant" else "user"
            if parts := _parts(message):
                found.append({"role": role, "parts": parts})
                results = None
    return found


def _parts(message: ChatMessage) -> list[dict[str, Any]]:
    shown = [_part(part) for part in parts_of(message)]
    return shown + [_call(call, i) for i, call in enumerate(calls_of(message))]


def _part(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


def _call(call: Call, position: int) -> dict[str, Any]:
    function = {"id": call.id, "name": call.name, "args": call.arguments}
    part: dict[str, Any] = {"functionCall": function}
    signature = text_of(mapping(call.extra.get("google")).get("thought_signature"))
    if signature or position == 0:  # of calls made together, the first one carries it
        part["thoughtSignature"] = signature or _NO_SIGNATURE
    return part


def _result(message: ChatMessage, names: dict[str, str]) -> dict[str, Any]:
    call_id = call_id_of(message)
    response = {
        "id": call_id,
        # Without its call a result has no name, and Gemini takes none that is empty.
        "name": names.get(call_id)
        or text_of((message.wire or {}).get("name"))
        or "tool",
        "response": {"result": message.content},
    }
    return {"functionResponse": response}


def _declaration(function: JsonObject) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "name": function["name"],
        "description": text_of(function.get("description")),
    }
    if parameters := mapping(function.get("parameters")):
        declared["parametersJsonSchema"] = parameters
    return declared


def _choice(wanted: object) -> dict[str, Any]:
    if name := chosen_tool(wanted):
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    mode = _MODES.get(text_of(wanted))
    return {"mode": mode} if mode else {}


class _Reader:
    """Reads chunks; counts tool calls over all of them."""

    def __init__(self) -> None:
        self.n_calls = 0
        self.finished = False

    def read(self, event: dict[str, Any]) -> Delta:
        """Read one chunk. Thoughts are no part of the text but counted as output."""
        if event.get("error"):
            raise ProviderUnavailable(provider="google")
        if mapping(event.get("promptFeedback")).get("blockReason"):
            self.finished = True
            return Delta(finish_reason="content_filter", usage=_usage(event))
        candidate = next(iter(objects(event.get("candidates"))), {})
        parts = objects(mapping(candidate.get("content")).get("parts"))
        calls = tuple(self._tool_call(p) for p in parts if "functionCall" in p)
        thoughts = (text_of(p.get("text")) for p in parts if p.get("thought"))
        texts = (text_of(p.get("text")) for p in parts if not p.get("thought"))
        reason = text_of(candidate.get("finishReason"))
        finish_reason = _FINISH.get(reason, "content_filter" if reason else "")
        if finish_reason == "stop" and self.n_calls:
            finish_reason = "tool_calls"
        self.finished = self.finished or bool(finish_reason)
        return Delta(
            text="".join(texts),
            tool_calls=calls,
            reasoning="".join(thoughts),
            finish_reason=finish_reason,
            usage=_usage(event),
        )

    def _tool_call(self, part: dict[str, Any]) -> dict[str, Any]:
        function = mapping(part.get("functionCall"))
        call: dict[str, Any] = {
            "index": self.n_calls,
            "id": text_of(function.get("id")) or f"call_{base62_random(16)}",
            "type": "function",
            "function": {
                "name": text_of(function.get("name")),
                "arguments": json.dumps(mapping(function.get("args"))),
            },
        }
        if signature := text_of(part.get("thoughtSignature")):
            # Where Google's own OpenAI-compatible address puts it.
            call["extra_content"] = {"google": {"thought_signature": signature}}
        self.n_calls += 1
        return call


def _usage(event: dict[str, Any]) -> Usage | None:
    usage = mapping(event.get("usageMetadata"))
    if "promptTokenCount" not in usage:
        return None
    return Usage(
        tokens_in=count_of(usage["promptTokenCount"]),
        tokens_out=count_of(usage.get("candidatesTokenCount"))
        + count_of(usage.get("thoughtsTokenCount")),
        tokens_cached=count_of(usage.get("cachedContentTokenCount")),
    )
