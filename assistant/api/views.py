"""The assistant under /api/v1/assistant/."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import ScopedView
from accounts.scopes import ASSISTANT, SEARCH
from aiassist.api.pagination import newest_first
from aiassist.api.problems import problem_response
from aiassist.lib.db import in_db
from assistant.api import answers
from assistant.api.base import AsyncView
from assistant.api.faces import FaceView
from assistant.api.serializers import (
    AIModelsOutput,
    AnswerOutput,
    ChatInput,
    CompleteInput,
    ConversationDetailOutput,
    ConversationOutput,
    ConversationPageOutput,
    ExplainInput,
    GenerateInput,
    QueryInput,
    QueryOutput,
)
from assistant.catalogue import Offer, offers_for
from assistant.conversations import delete_conversation, get_conversation
from assistant.gateway.context import context_size
from assistant.models import Conversation
from billing.api.mixins import MeteredMixin
from billing.metering.ledger import Settlement
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.access import get_workspace
from workspaces.finding.search import search
from workspaces.models import Workspace

Door = TypeVar("Door", bound=Callable[..., Any])

_STREAM_EXAMPLE = OpenApiExample(
    "Events",
    value=(
        'event: context\ndata: {"citations":[{"n":1,"path":"src/app.py",'
        '"start_line":3,"end_line":9}],"conversation_id":"conv_…"}\n\n'
        'event: delta\ndata: {"text":"Timeouts are set in "}\n\n'
        'event: usage\ndata: {"tokens_in":812,"tokens_out":40,"cost_usd_micros":0,'
        '"estimated":false,"provider":"ollama","model":"ollama/qwen2.5-coder:7b"}\n\n'
        'event: done\ndata: {"conversation_id":"conv_…","message_id":"msg_…",'
        '"finish_reason":"stop"}\n\n'
    ),
    media_type="text/event-stream",
)


def _answer_schema(
    name: str, summary: str, body: type, example: dict[str, Any]
) -> Callable[[Door], Door]:
    return extend_schema(
        operation_id=f"assistant_{name}",
        tags=["Assistant"],
        summary=summary,
        description=(
            "Answers once as JSON, or with `stream` as server-sent events. With "
            "`workspace_id` the answer may cite code retrieved from that workspace."
        ),
        request=body,
        responses={
            (200, "application/json"): AnswerOutput,
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR,
                description="With `stream`: context, delta …, usage, done or error.",
            ),
        },
        examples=[
            OpenApiExample("Request", value=example, request_only=True),
            _STREAM_EXAMPLE,
        ],
    )


class AnswerView(FaceView):
    """One request, one answer; its errors are problems, its streams open at once."""

    head_start_seconds = 0.0

    def get_exception_handler(self) -> Any:
        return problem_response


class ChatView(AnswerView):
    face = answers.CHAT

    @_answer_schema(
        "chat",
        "Chat about your code",
        ChatInput,
        {
            "message": "Where are timeouts set?",
            "workspace_id": "workspace_6fQyN0dWJtC3kL8sVbX2Zp",
        },
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class ExplainView(AnswerView):
    face = answers.EXPLAIN

    @_answer_schema(
        "explain",
        "Explain code",
        ExplainInput,
        {"code": "def f(x):\n    return x * 2\n", "language": "python"},
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class GenerateView(AnswerView):
    face = answers.GENERATE

    @_answer_schema(
        "generate",
        "Generate code",
        GenerateInput,
        {"instruction": "A retry decorator with jitter", "language": "python"},
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class CompleteView(AnswerView):
    face = answers.COMPLETE

    @_answer_schema(
        "complete",
        "Complete code at the cursor",
        CompleteInput,
        {"prefix": "def add(a, b):\n    return ", "suffix": "", "language": "python"},
    )
    async def post(self, request: Request) -> Response | StreamingHttpResponse:
        return await self.answer(request)


class ModelsView(AsyncView):
    throttle_group = "models"

    @extend_schema(
        tags=["Assistant"],
        operation_id="assistant_models_list",
        summary="List the models that your tier allows",
        description=(
            "The first is the default. Prices are micro-dollars for a million tokens."
        ),
        responses=AIModelsOutput,
    )
    async def get(self, request: Request) -> Response:
        tier = await in_db(tier_of, self.principal.user)
        offers = await offers_for(tier, self.principal.user)
        rows = [_model_row(offer, tier) for offer in offers]
        for index, row in enumerate(rows):
            row["default"] = index == 0
        return Response(AIModelsOutput({"results": rows}).data)


class QueryView(MeteredMixin, ScopedView):
    """Search, metered; an answer of 400 or more costs nothing."""

    scope = SEARCH
    metered_feature = "search"
    workspace_id = ""  # the one searched; "": all

    def settlement_of(self, response: Response) -> Settlement:
        return Settlement(workspace_id=self.workspace_id)

    @extend_schema(
        operation_id="assistant_query",
        tags=["Assistant"],
        summary="Search one or all of your workspaces",
        description=(
            "As `POST /workspaces/{id}/search`, over the named workspace or all of "
            "them. Counts as one request of your quota."
        ),
        request=QueryInput,
        responses=QueryOutput,
        examples=[
            OpenApiExample(
                "Request",
                value={"query": "parse the retry-after header", "max_results": 5},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        form = QueryInput(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        user = self.principal.user
        if wanted := asked.pop("workspace_id", ""):
            workspaces = [get_workspace(user, wanted)]
            self.workspace_id = wanted
        else:
            workspaces = list(Workspace.objects.for_user(user))
        outcome = search(workspaces=workspaces, **asked)
        found = {
            "results": outcome.hits,
            "took_ms": outcome.took_ms,
            "indexes": outcome.indexes,
        }
        return Response(QueryOutput(found).data)


class ConversationsView(ScopedView):
    scope = ASSISTANT

    @extend_schema(
        tags=["Assistant"],
        operation_id="assistant_conversations_list",
        summary="List your conversations, newest first",
        description="Those that `POST /assistant/chat` kept.",
        parameters=[
            OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next`."),
            OpenApiParameter("page_size", OpenApiTypes.INT, description="Up to 200."),
        ],
        responses=ConversationPageOutput,
    )
    def get(self, request: Request) -> Response:
        rows = Conversation.objects.for_user(self.principal.user)
        return newest_first(self, request, rows, ConversationOutput)


class ConversationView(ScopedView):
    scope = ASSISTANT

    def _conversation(self, conversation_id: str) -> Conversation:
        return get_conversation(self.principal.user, conversation_id)

    @extend_schema(
        tags=["Assistant"],
        operation_id="assistant_conversations_retrieve",
        summary="Read a conversation with its messages",
        description="Messages in their order, answers with what they cited.",
        responses=ConversationDetailOutput,
    )
    def get(self, request: Request, conversation_id: str) -> Response:
        conversation = self._conversation(conversation_id)
        return Response(ConversationDetailOutput(conversation).data)

    @extend_schema(
        operation_id="assistant_conversations_destroy",
        tags=["Assistant"],
        summary="Delete a conversation and its messages",
        description="At once; usage records stay, without what was said.",
        responses={204: None},
    )
    def delete(self, request: Request, conversation_id: str) -> Response:
        delete_conversation(self._conversation(conversation_id))
        return Response(status=204)


def _model_row(offer: Offer, tier: Tier) -> dict[str, Any]:
    return {
        "id": offer.id,
        "provider": offer.provider,
        "name": offer.name,
        "context_window": context_size(tier, offer),
        "price_in_usd_micros": offer.price_in_usd_micros,
        "price_out_usd_micros": offer.price_out_usd_micros,
        "features": [f for f in tier.features if offer.serves(f)],
    }
