"""A local Ollama.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from django.conf import settings

from aiassist.lib.egress import Destination
from aiassist.lib.tokens import count_tokens
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
from assistant.providers.listing import Listing, listed
from assistant.providers.parts import (
    Image,
    call_names,
    calls_of,
    functions_of,
    n_images,
    parts_of,
)
from assistant.providers.wire import (
    count_of,
    mapping,
    ndjson,
    objects,
    post,
    text_of,
)

IMAGE_TOKENS = 1000  # about what its models make of one
listing = Listing("api/tags", "models", "name", kept_seconds=5.0)


class OllamaProvider:
    name = "ollama"
    takes_tools = True
    takes_images = True
    takes_image_urls = False

    def is_configured(self) -> bool:
        return bool(settings.OLLAMA_URL)

    def takes_raw(self, base_url: str = "") -> bool:
        return True

    async def models(self) -> Sequence[str]:
        """What the server has pulled; [] when it is away."""
        return await listing.chatting(_destination())

    async def names(self, access: Access | None = None) -> Sequence[str]:
        return await listed(
            _destination(access), "api/tags", member="models", name="name"
        )

    async def embedders(self) -> Sequence[str]:
        return await listing.embedding(_destination())

    async def embed(self, request: EmbedRequest) -> Embedded:
        body: dict[str, Any] = {
            "model": request.model,
            "input": only_texts(request.inputs, self.name),
        }
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        answer = await ask(_destination(request.access), "api/embed", body)
        given = answer.get("embeddings")
        vectors = list(map(vector_of, given)) if isinstance(given, list) else []
        told = "prompt_eval_count" in answer
        return Embedded(
            checked(vectors, len(request.inputs)),
            count_of(answer["prompt_eval_count"]) if told else None,
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        reader = _Reader()
        path, body = "api/chat", body_of(request)
        if request.raw:
            path, body = "api/generate", _raw_body(request, body["options"])
        async with post(_destination(request.access), path, body) as answer:
            async with aclosing(ndjson(answer)) as events:
                async for event in events:
                    yield reader.read(event)
                    if reader.finished:
                        break
        if not reader.finished:
            raise ProviderMalformed(provider=self.name)


def _destination(access: Access | None = None) -> Destination:
    if access is not None:
        # Ollama itself knows no keys; what stands before it may.
        headers = {"Authorization": f"Bearer {access.key}"} if access.key else {}
        return GivenDestination("ollama", access.base_url, headers, access.trust)
    return Destination("ollama", settings.OLLAMA_URL)


def body_of(request: ChatRequest) -> dict[str, Any]:
    """Return the request in Ollama's wire format.

    `num_ctx` must hold prompt and answer: Ollama cuts the prompt silently beyond it.
    It is a power of two, as Ollama loads the model anew for each other window.
    """
    needed = _prompt_tokens(request) * 5 // 4 + request.max_tokens
    options: dict[str, Any] = {
        "num_predict": request.max_tokens,
        "num_ctx": max(4096, 1 << (needed - 1).bit_length()),
    }
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.top_p is not None:
        options["top_p"] = request.top_p
    if request.stop:
        options["stop"] = list(request.stop)
    names = call_names(request.messages)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message, names) for message in request.messages],
        "stream": True,
        "options": options,
    }
    if tools := _tools(request):
        body["tools"] = tools
    if (wanted := _format(mapping(request.extra.get("response_format")))) is not None:
        body["format"] = wanted
    effort = request.reasoning_effort
    if effort == "none":
        body["think"] = False
    elif effort in ("low", "medium", "high") and "gpt-oss" in request.model:
        body["think"] = effort  # other models know no levels, and some no thinking
    return body


def _tools(request: ChatRequest) -> list[JsonObject]:
    """Return the functions: Ollama knows no other tools, and no tool_choice."""
    if request.extra.get("tool_choice") == "none":
        return []
    functions = functions_of(request.tools)
    return [{"type": "function", "function": function} for function in functions]


def _prompt_tokens(request: ChatRequest) -> int:
    if request.raw:
        return count_tokens(request.raw)
    texts = [message.content for message in request.messages]
    for message in request.messages:
        texts += (
            f"{call.name} {json.dumps(call.arguments)}" for call in calls_of(message)
        )
    if tools := _tools(request):
        texts.append(json.dumps(tools))
    n_shown = sum(map(n_images, request.messages))
    return sum(map(count_tokens, texts)) + IMAGE_TOKENS * n_shown


def _raw_body(request: ChatRequest, options: dict[str, Any]) -> dict[str, Any]:
    """Ask to continue a text: without Ollama's own template around it."""
    return {
        "model": request.model,
        "prompt": request.raw,
        "raw": True,
        "stream": True,
        "options": options,
    }


def _format(response_format: dict[str, Any]) -> object:
    """Translate OpenAI's response_format; None where plain text is wanted."""
    match response_format.get("type"):
        case "json_object":
            return "json"
        case "json_schema":
            return mapping(response_format.get("json_schema")).get("schema")
    return None


class _Reader:
    """Reads lines; counts tool calls over all of them."""

    def __init__(self) -> None:
        self.n_calls = 0
        self.finished = False

    def read(self, event: dict[str, Any]) -> Delta:
        """Read one line; the last one says `done` and counts tokens."""
        if event.get("error"):
            raise ProviderUnavailable(provider="ollama")
        message = mapping(event.get("message"))
        calls = objects(message.get("tool_calls"))
        first, self.n_calls = self.n_calls, self.n_calls + len(calls)
        self.finished = event.get("done") is True
        return Delta(
            text=text_of(message.get("content")) or text_of(event.get("response")),
            tool_calls=tuple(_tool_call(first + i, c) for i, c in enumerate(calls)),
            reasoning=text_of(message.get("thinking")),
            finish_reason=self._reason(event) if self.finished else "",
            usage=_usage(event) if self.finished else None,
        )

    def _reason(self, event: dict[str, Any]) -> str:
        if self.n_calls:
            return "tool_calls"
        return "length" if event.get("done_reason") == "length" else "stop"


def _usage(event: dict[str, Any]) -> Usage | None:
    # A prompt served whole from Ollama's cache leaves prompt_eval_count out.
    if "eval_count" not in event or "prompt_eval_count" not in event:
        return None
    return Usage(count_of(event["prompt_eval_count"]), count_of(event["eval_count"]))


def _tool_call(index: int, call: dict[str, Any]) -> dict[str, Any]:
    """Ollama's arguments are an object; OpenAI's a string of JSON."""
    function = mapping(call.get("function"))
    return {
        "index": index,
        "id": text_of(call.get("id")) or f"call_{index}",
        "type": "function",
        "function": {
            "name": text_of(function.get("name")),
            "arguments": json.dumps(function.get("arguments") or {}),
        },
    }


def _message(message: ChatMessage, names: dict[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    wire = message.wire or {}
    if images := [p.data for p in parts_of(message) if isinstance(p, Image)]:
        plain["images"] = images
    if calls := calls_of(message):
        plain["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    if message.role == "tool":
        plain["tool_name"] = names.get(text_of(wire.get("tool_call_id"))) or text_of(
            wire.get("name")
        )
    return plain
