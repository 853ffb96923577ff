"""Anthropic's wire format under /v1/messages."""

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
from assistant.catalogue import find_offer, offers_for
from assistant.faces.base import Face
from assistant.faces.messages import MessagesFace
from assistant.faces.reading import body_of
from assistant.gateway.context import fixed_tokens
from billing.tiers.selectors import tier_of

_TAGS = ["Anthropic-compatible"]
_EXAMPLE = {
    "model": "auto",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "How are retries done?"}],
}


class TokenCountOutput(serializers.Serializer[Any]):
    input_tokens = serializers.IntegerField()


class V1MessagesView(FaceView):
    face: ClassVar[Face] = MessagesFace()

    @extend_schema(
        tags=_TAGS,
        operation_id="v1_messages_create",
        summary="Create a message",
        description=(
            "Anthropic's messages, over any provider. `workspace_id` (or the header) "
            "adds retrieved code."
        ),
        parameters=[WORKSPACE_HEADER],
        request=OpenApiTypes.OBJECT,
        responses=whole_or_streamed("Anthropic's events"),
        examples=[
            OpenApiExample(
                "Request", value={**_EXAMPLE, "stream": True}, request_only=True
            )
        ],
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class V1CountTokensView(WireView):
    """Costs nothing, as with Anthropic."""

    throttle_group = "models"
    errors: ClassVar[Any] = MessagesFace()

    @extend_schema(
        tags=_TAGS,
        operation_id="v1_messages_count_tokens",
        summary="Count a message's tokens",
        description="Counted by us, which may differ a little from the provider.",
        request=OpenApiTypes.OBJECT,
        responses=TokenCountOutput,
        examples=[OpenApiExample("Request", value=_EXAMPLE, request_only=True)],
    )
    async def post(self, request: Request) -> Response:
        wanted = MessagesFace().read_prompt(body_of(request.data), {})
        user = self.principal.user
        offers = await offers_for(await in_db(tier_of, user), user)
        find_offer(offers, wanted.model)
        n_tokens = fixed_tokens(wanted.prompt, wanted.options.tools)
        return Response({"input_tokens": n_tokens})
