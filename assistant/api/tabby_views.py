"""What Tabby's editor plugins need beside completions.

Source: https://tabby.tabbyml.com/api
"""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aiassist.lib.db import in_db
from assistant.api.faces import WireView
from assistant.catalogue import offers_for
from billing.tiers.selectors import tier_of

_TAGS = ["Tabby-compatible"]


class TabbyVersionOutput(serializers.Serializer[Any]):
    build_date = serializers.CharField()
    build_timestamp = serializers.CharField()
    git_sha = serializers.CharField()
    git_describe = serializers.CharField()


class TabbyHealthOutput(serializers.Serializer[Any]):
    model = serializers.CharField()
    chat_model = serializers.CharField()
    device = serializers.CharField()
    arch = serializers.CharField()
    cpu_info = serializers.CharField()
    cpu_count = serializers.IntegerField()
    cuda_devices = serializers.ListField(child=serializers.CharField())
    version = TabbyVersionOutput()


class TabbySettingOutput(serializers.Serializer[Any]):
    disable_client_side_telemetry = serializers.BooleanField()


class TabbyView(WireView):
    throttle_group = "models"


class TabbyHealthView(TabbyView):
    @extend_schema(
        tags=_TAGS,
        operation_id="v1_health_retrieve",
        summary="Say which models serve Tabby's plugins",
        description="Tabby's plugins ask for it first; of the machine nothing is told.",
        responses=TabbyHealthOutput,
    )
    async def get(self, request: Request) -> Response:
        """Say who would answer; of the machine nothing is told."""
        user = self.principal.user
        offers = await offers_for(await in_db(tier_of, user), user)
        codes = [o.id for o in offers if o.serves("inline_completion")]
        unknown = ("build_date", "build_timestamp", "git_sha")
        return Response(
            {
                "model": codes[0],
                "chat_model": offers[0].id,
                "device": "remote",
                "arch": "",
                "cpu_info": "",
                "cpu_count": 0,
                "cuda_devices": [],
                "version": dict.fromkeys(unknown, "")
                | {"git_describe": settings.VERSION},
            }
        )

    @extend_schema(exclude=True)
    async def post(self, request: Request) -> Response:
        """Older plugins ask so."""
        answered: Response = await self.get(request)
        return answered


class TabbyEventsView(TabbyView):
    """Telemetry of what was shown and taken. It holds code, so nothing is kept."""

    @extend_schema(
        tags=_TAGS,
        operation_id="v1_events_create",
        summary="Take an editor's event, and forget it",
        description=(
            "Tabby's plugins send what they showed. It holds code, so nothing is kept."
        ),
        request=OpenApiTypes.OBJECT,
        responses={200: None},
        examples=[OpenApiExample("Request", value={"type": "view"}, request_only=True)],
    )
    async def post(self, request: Request) -> Response:
        return Response()


class TabbySettingView(TabbyView):
    @extend_schema(
        tags=_TAGS,
        operation_id="v1beta_server_setting_retrieve",
        summary="Ask Tabby's plugins to send no telemetry",
        description="Tabby's plugins read it at their start.",
        responses=TabbySettingOutput,
    )
    async def get(self, request: Request) -> Response:
        return Response({"disable_client_side_telemetry": True})
