"""GET POST /webhooks, GET PATCH DELETE /webhooks/{id}, its test, secret, deliveries."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountAPIView
from accounts.models import Webhook, WebhookDelivery
from accounts.webhooks import endpoints, sending
from accounts.webhooks.events import EVENT_TYPES
from aiassist.api.pagination import NewestFirst, newest_first
from aiassist.api.refusals import problem

TAG = "Webhooks"
_WEBHOOK: dict[str, object] = {
    "id": "webhook_1Zb9vXk0PqLm3Rt5Yw7Ua2",
    "url": "https://ci.example.com/hooks/aiassist",
    "description": "Tells the build that code can be searched",
    "event_types": ["job.failed", "job.succeeded"],
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "previous_secret_until": None,
    "last_success_at": "2026-11-23T09:12:04Z",
    "created_at": "2026-11-23T09:00:00Z",
}
_DELIVERY: dict[str, object] = {
    "id": "delivery_5Tc2bWm8Qx0Lr4Ny6Zv1Ka",
    "event_id": "msg_7Hd3cYp9Rs1Mt5Oz8Aw2Lb",
    "event_type": "webhook.test",
    "data": {"webhook_id": "webhook_1Zb9vXk0PqLm3Rt5Yw7Ua2"},
    "state": "delivered",
    "attempts": 1,
    "next_at": None,
    "sent_at": "2026-11-23T09:12:04Z",
    "response_status": 204,
    "took_ms": 87,
    "outcome": "delivered",
    "created_at": "2026-11-23T09:12:04Z",
    "finished_at": "2026-11-23T09:12:04Z",
}
_SHOWN = OpenApiExample("webhook", value=_WEBHOOK, response_only=True)
_SHOWN_ONCE = OpenApiExample(
    "new secret", value={**_WEBHOOK, "secret": "whsec_…"}, response_only=True
)
_UNKNOWN = problem("not_found", "There is nothing here under this id.", status=404)
_REFUSED = problem(
    "validation_failed",
    "This address is not a public http(s) URL; only such may be called.",
    status=400,
)
_EVENT_TYPES_HELP = "Which events are told; an empty list: all."


class WebhookInput(serializers.Serializer[Any]):
    url = serializers.CharField(
        max_length=500, help_text="Public and https; no redirect is followed."
    )
    description = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True
    )
    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=list(EVENT_TYPES)),
        required=False,
        default=list,
        help_text=_EVENT_TYPES_HELP,
    )


class WebhookChangeInput(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=500, required=False)
    description = serializers.CharField(
        max_length=200, required=False, allow_blank=True
    )
    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=list(EVENT_TYPES)),
        required=False,
        help_text=_EVENT_TYPES_HELP,
    )
    enabled = serializers.BooleanField(
        required=False,
        help_text="false gives up what waits; true sends what happens from then on.",
    )


class WebhookOutput(serializers.ModelSerializer[Webhook]):
    event_types = serializers.ListField(
        child=serializers.CharField(), help_text=_EVENT_TYPES_HELP
    )
    enabled = serializers.BooleanField(source="is_enabled")
    disabled_reason = serializers.SerializerMethodField(
        help_text="by_user, gone (it answered 410), failing or overflowing."
    )

    class Meta:
        model = Webhook
        fields = (
            *("id", "url", "description", "event_types", "enabled"),
            *("disabled_reason", "disabled_at", "previous_secret_until"),
            *("last_success_at", "created_at"),
        )

    def get_disabled_reason(self, webhook: Webhook) -> str | None:
        return webhook.disabled_reason or None


class NewWebhookOutput(WebhookOutput):
    secret = serializers.CharField(help_text="`whsec_…`; shown this one time.")

    class Meta(WebhookOutput.Meta):
        fields = (*WebhookOutput.Meta.fields, "secret")  # type: ignore[assignment]


class DeliveryOutput(serializers.ModelSerializer[WebhookDelivery]):
    data = serializers.DictField()  # type: ignore[assignment]  # a field of this name
    outcome = serializers.CharField(
        help_text="Of the last try; /guides/webhooks/ explains each."
    )
    next_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is tried next; null: no more."
    )

    class Meta:
        model = WebhookDelivery
        fields = (
            *("id", "event_id", "event_type", "data", "state", "attempts", "next_at"),
            *("sent_at", "response_status", "took_ms", "outcome", "created_at"),
            "finished_at",
        )


class WebhooksView(AccountAPIView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="webhooks_list",
        tags=[TAG],
        summary="List your webhooks",
        description="Newest first; never their secrets.",
        responses=WebhookOutput(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = Webhook.objects.for_user(self.principal.user)
        return newest_first(self, request, rows, WebhookOutput)

    @extend_schema(
        operation_id="webhooks_create",
        tags=[TAG],
        summary="Have a server of yours told of events",
        description=(
            "Messages follow Standard Webhooks. The answer holds the secret that they "
            "are signed with, this one time."
        ),
        request=WebhookInput,
        responses={
            201: NewWebhookOutput,
            400: _REFUSED,
            403: problem(
                "too_many_webhooks",
                "You have as many webhooks as one account may. Remove one first.",
                status=403,
            ),
        },
        examples=[
            OpenApiExample(
                "jobs",
                value={
                    "url": "https://ci.example.com/hooks/aiassist",
                    "event_types": ["job.succeeded", "job.failed"],
                },
                request_only=True,
            ),
            _SHOWN_ONCE,
        ],
    )
    def post(self, request: Request) -> Response:
        form = WebhookInput(data=request.data)
        form.is_valid(raise_exception=True)
        webhook, secret = endpoints.create_webhook(
            user=self.principal.user,
            **form.validated_data,
            request=request._request,
        )
        return _shown_once(webhook, secret, status=201)


class _OneWebhookView(AccountAPIView):
    def get_webhook(self, webhook_id: str) -> Webhook:
        return endpoints.get_webhook(self.principal.user, webhook_id)


class WebhookView(_OneWebhookView):
    @extend_schema(
        operation_id="webhooks_retrieve",
        tags=[TAG],
        summary="Show a webhook, without its secret",
        description="`disabled_reason` says why nothing is sent, if so.",
        responses={200: WebhookOutput, 404: _UNKNOWN},
        examples=[_SHOWN],
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        return Response(WebhookOutput(self.get_webhook(webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_update",
        tags=[TAG],
        summary="Change, disable or enable a webhook",
        description=(
            "Only what is sent changes. Enabling starts afresh: nothing was kept "
            "meanwhile."
        ),
        request=WebhookChangeInput,
        responses={200: WebhookOutput, 400: _REFUSED, 404: _UNKNOWN},
        examples=[
            OpenApiExample("enable", value={"enabled": True}, request_only=True),
            _SHOWN,
        ],
    )
    def patch(self, request: Request, webhook_id: str) -> Response:
        webhook = self.get_webhook(webhook_id)
        form = WebhookChangeInput(data=request.data)
        form.is_valid(raise_exception=True)
        changed = endpoints.change_webhook(
            webhook=webhook, **form.validated_data, request=request._request
        )
        return Response(WebhookOutput(changed).data)

    @extend_schema(
        operation_id="webhooks_destroy",
        tags=[TAG],
        summary="Remove a webhook, and what was to be sent there",
        description="What waits to be sent there is dropped.",
        responses={204: None, 404: _UNKNOWN},
    )
    def delete(self, request: Request, webhook_id: str) -> Response:
        webhook = self.get_webhook(webhook_id)
        endpoints.remove_webhook(webhook=webhook, request=request._request)
        return Response(status=204)


class WebhookRotateView(_OneWebhookView):
    @extend_schema(
        operation_id="webhooks_rotate",
        tags=[TAG],
        summary="Replace a webhook's secret",
        description=(
            "Returns the new secret. For 24 hours each message carries two signatures, "
            "by the new and by the old one, so that you can change it over."
        ),
        request=None,
        responses={200: NewWebhookOutput, 404: _UNKNOWN},
        examples=[_SHOWN_ONCE],
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        webhook = self.get_webhook(webhook_id)
        secret = endpoints.rotate_secret(webhook=webhook, request=request._request)
        return _shown_once(webhook, secret, status=200)


class WebhookTestView(_OneWebhookView):
    throttle_group = "webhook-tests"
    throttle_per_user = "20/m"  # each calls somebody else's server

    @extend_schema(
        operation_id="webhooks_test",
        tags=[TAG],
        summary="Send a test event at once, once",
        description="A disabled webhook may be tried, too.",
        request=None,
        responses={200: DeliveryOutput, 404: _UNKNOWN},
        examples=[OpenApiExample("delivery", value=_DELIVERY, response_only=True)],
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        webhook = self.get_webhook(webhook_id)
        return Response(DeliveryOutput(sending.send_test(webhook)).data)


class WebhookDeliveriesView(_OneWebhookView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="webhooks_deliveries_list",
        tags=[TAG],
        summary="List what was sent to a webhook, and what waits",
        description="Of the last 30 days, newest first.",
        responses={200: DeliveryOutput(many=True), 404: _UNKNOWN},
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        rows = self.get_webhook(webhook_id).deliveries.all()
        return newest_first(self, request, rows, DeliveryOutput)


def _shown_once(webhook: Webhook, secret: str, *, status: int) -> Response:
    answer = Response({**WebhookOutput(webhook).data, "secret": secret}, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
