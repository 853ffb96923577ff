"""OpenAI's wire format under /v1/: for any client that has a base URL and a key."""

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aiassist.lib.db import in_db
from assistant.api.faces import FaceView, WireView
from assistant.api.faces_schema import WORKSPACE_HEADER, whole_or_streamed
from assistant.catalogue import Offer, embedders_for, find_offer, offers_for
from assistant.faces import embeddings
from assistant.faces.base import Face
from assistant.faces.chat import ChatFace
from assistant.faces.completions import CompletionsFace, face_of
from assistant.faces.reading import body_of
from assistant.faces.responses import ResponsesFace
from assistant.gateway.context import context_size
from assistant.gateway.embedding import embed
from billing.models import Tier
from billing.tiers.selectors import tier_of


class OpenAIModelOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField(default="model")
    created = serializers.IntegerField()
    owned_by = serializers.CharField()
    context_length = serializers.IntegerField()
    max_model_len = serializers.IntegerField()
    pricing = serializers.DictField(
        child=serializers.CharField(), help_text="USD for one token."
    )
    supported_parameters = serializers.ListField(child=serializers.CharField())
    type = serializers.CharField(default="model")
    display_name = serializers.CharField()
    created_at = serializers.DateTimeField()


class OpenAIModelListOutput(serializers.Serializer[Any]):
    object = serializers.CharField(default="list")
    data = OpenAIModelOutput(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()
    first_id = serializers.CharField()
    last_id = serializers.CharField()


class V1ModelsView(WireView):
    throttle_group = "models"

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_models_list",
        summary="List models",
        description=(
            "Those that chat and complete, with context and prices; models that make "
            "vectors are read one by one."
        ),
        responses=OpenAIModelListOutput,
    )
    async def get(self, request: Request) -> Response:
        tier = await in_db(tier_of, self.principal.user)
        offers = await offers_for(tier, self.principal.user)
        data = [_model_body(offer, tier) for offer in offers]
        return Response(
            {
                "object": "list",
                "data": data,
                # Anthropic's clients read these.
                "has_more": False,
                "first_id": data[0]["id"],
                "last_id": data[-1]["id"],
            }
        )


class V1ModelView(WireView):
    throttle_group = "models"

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_models_retrieve",
        summary="Read a model",
        description="One that chats, or one that makes vectors.",
        responses=OpenAIModelOutput,
    )
    async def get(self, request: Request, model_id: str) -> Response:
        """Tell of those that make vectors, too; the list is of those that answer."""
        user = self.principal.user
        tier = await in_db(tier_of, user)
        offers = await offers_for(tier, user)
        if not any(offer.is_called(model_id) for offer in offers):
            offers += await embedders_for(tier, user)
        return Response(_model_body(find_offer(offers, model_id), tier))


class V1ChatCompletionsView(FaceView):
    face: ClassVar[Face] = ChatFace()

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_chat_completions_create",
        summary="Complete a chat",
        description=(
            "OpenAI's chat completions. `workspace_id` (or the header) adds retrieved "
            "code. `auto` as a model takes the first that is available."
        ),
        parameters=[WORKSPACE_HEADER],
        request=OpenApiTypes.OBJECT,
        responses=whole_or_streamed("chunks, then [DONE]"),
        examples=[
            OpenApiExample(
                "Request",
                value={
                    "model": "auto",
                    "messages": [{"role": "user", "content": "How are retries done?"}],
                    "workspace_id": "workspace_6fQyN0dWJtC3kL8sVbX2Zp",
                    "stream": True,
                },
                request_only=True,
            )
        ],
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class V1CompletionsView(FaceView):
    face: ClassVar[Face] = CompletionsFace()

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_completions_create",
        summary="Continue a text, or fill in code at a cursor",
        description=(
            "OpenAI's completions; with `suffix` the code between both is filled in. "
            "Models trained for that are shown the marks of their family. The body of "
            "Tabby's plugins (`language`, `segments`) is taken too."
        ),
        parameters=[WORKSPACE_HEADER],
        request=OpenApiTypes.OBJECT,
        responses=whole_or_streamed("chunks, then [DONE]"),
        examples=[
            OpenApiExample(
                "Request",
                value={
                    "model": "auto",
                    "prompt": "def add(a, b):\n    return ",
                    "suffix": "\n",
                    "max_tokens": 64,
                },
                request_only=True,
            )
        ],
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request, face_of(request.data))


class V1ResponsesView(FaceView):
    face: ClassVar[Face] = ResponsesFace()

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_responses_create",
        summary="Create a response",
        description=(
            "OpenAI's responses, stateless: nothing is kept, so each request brings "
            "the whole input. Tools are the client's own."
        ),
        parameters=[WORKSPACE_HEADER],
        request=OpenApiTypes.OBJECT,
        responses=whole_or_streamed("typed events"),
        examples=[
            OpenApiExample(
                "Request",
                value={"model": "auto", "input": "How are retries done?"},
                request_only=True,
            )
        ],
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class V1EmbeddingsView(WireView):
    asks_provider = True  # for the OpenAPI document

    @extend_schema(
        tags=["OpenAI-compatible"],
        operation_id="v1_embeddings_create",
        summary="Turn texts into vectors",
        description=(
            "OpenAI's embeddings. `all-MiniLM-L6-v2` (or `auto`) is computed here, "
            "with 384 dimensions, of at most 256 tokens of each text. A provider's "
            "model is had where chats are: in several places, and by your own key."
        ),
        request=OpenApiTypes.OBJECT,
        responses=OpenApiTypes.OBJECT,
        examples=[
            OpenApiExample(
                "Request",
                value={"model": "auto", "input": ["How are retries done?"]},
                request_only=True,
            )
        ],
    )
    async def post(self, request: Request) -> Response:
        wanted = embeddings.read(body_of(request.data))
        call = self.call()
        result = await embed(call.pop("principal"), wanted.ask, **call)
        return Response(
            embeddings.body_of(result, is_base64=wanted.is_base64),
            headers=result.headers,
        )


def _model_body(offer: Offer, tier: Tier) -> dict[str, Any]:
    size = context_size(tier, offer)
    return {
        "id": offer.id,
        "object": "model",
        "created": 0,
        "owned_by": offer.provider,
        "context_length": size,
        "max_model_len": size,
        "pricing": {
            "prompt": _usd(offer.price_in_usd_micros),
            "completion": _usd(offer.price_out_usd_micros),
        },
        "supported_parameters": list(offer.parameters),
        # What follows is Anthropic's.
        "type": "model",
        "display_name": offer.name,
        "created_at": "1970-01-01T00:00:00Z",
    }


def _usd(micros_per_million: int) -> str:
    """Return the price of one token in USD: micro-dollars a million are 1e-12 USD."""
    return f"{micros_per_million / 1e12:.12f}".rstrip("0").rstrip(".") or "0"
