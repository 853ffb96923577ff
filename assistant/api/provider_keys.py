"""GET POST /provider-keys, GET PUT DELETE /provider-keys/{id}, POST …/{id}/test."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountAPIView
from aiassist.api.pagination import NewestFirst, newest_first
from aiassist.api.refusals import problem
from assistant import own_keys
from assistant.models import ProviderKey
from assistant.places import MAX_KEY_CHARS
from assistant.providers.vendors import VENDORS
from billing.tiers.selectors import tier_of

TAG = "Provider keys"
_KEY: dict[str, object] = {
    "id": "pkey_1Zb9vXk0PqLm3Rt5Yw7Ua2",
    "provider": "openai",
    "base_url": "https://api.openai.com/v1",
    "hint": "x4Tq",
    "listed": [],
    "created_at": "2026-11-23T09:00:00Z",
    "replaced_at": None,
    "tried_at": None,
}
_SHOWN = OpenApiExample("key", value=_KEY, response_only=True)
_UNKNOWN = problem("not_found", "There is nothing here under this id.", status=404)
_NOT_IN_TIER = problem(
    "feature_not_in_tier",
    "Your tier 'free' does not include provider keys of your own; the tier 'pro' does.",
    status=403,
)


class ProviderKeyInput(serializers.Serializer[Any]):
    provider = serializers.ChoiceField(choices=list(VENDORS))
    key = serializers.CharField(
        max_length=MAX_KEY_CHARS, write_only=True, help_text="Never shown again."
    )
    base_url = serializers.CharField(
        max_length=300,
        required=False,
        default="",
        allow_blank=True,
        help_text=(
            "A server that speaks the provider's protocol: public, https. The key goes "
            "there alone. Default: the provider's own address."
        ),
    )


class ProviderKeyChangeInput(serializers.Serializer[Any]):
    key = serializers.CharField(
        max_length=MAX_KEY_CHARS, write_only=True, help_text="Never shown again."
    )
    base_url = serializers.CharField(
        max_length=300,
        required=False,
        allow_blank=True,
        help_text="Another address for it; blank: the provider's own.",
    )


class ProviderKeyOutput(serializers.ModelSerializer[ProviderKey]):
    hint = serializers.CharField(help_text="The key's last four characters.")
    listed = serializers.ListField(
        child=serializers.CharField(),
        help_text="Models that the address listed when the key was tried last.",
    )

    class Meta:
        model = ProviderKey
        fields = (
            *("id", "provider", "base_url", "hint", "listed"),
            *("created_at", "replaced_at", "tried_at"),
        )


class TrialOutput(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    took_ms = serializers.IntegerField()
    models = serializers.ListField(child=serializers.CharField())
    code = serializers.CharField(allow_null=True, help_text="Why not; null: it works.")
    detail = serializers.CharField(allow_null=True)


class ProviderKeysView(AccountAPIView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="provider_keys_list",
        tags=[TAG],
        summary="List your own keys for providers",
        description=(
            "Where each goes and its last four characters; never the key itself."
        ),
        responses=ProviderKeyOutput(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = ProviderKey.objects.for_user(self.principal.user)
        return newest_first(self, request, rows, ProviderKeyOutput)

    @extend_schema(
        operation_id="provider_keys_create",
        tags=[TAG],
        summary="Have calls run on your own key for a provider",
        description=(
            "One key for each provider. Calls to its models are then paid by you: they "
            "count as requests here and cost nothing."
        ),
        request=ProviderKeyInput,
        responses={
            201: ProviderKeyOutput,
            403: _NOT_IN_TIER,
            409: problem("conflict", "There is a key for it already.", status=409),
        },
        examples=[
            OpenApiExample(
                "openai", value={"provider": "openai", "key": "sk-…"}, request_only=True
            ),
            _SHOWN,
        ],
    )
    def post(self, request: Request) -> Response:
        form = ProviderKeyInput(data=request.data)
        form.is_valid(raise_exception=True)
        user = self.principal.user
        row = own_keys.add_key(
            user=user,
            tier=tier_of(user),
            **form.validated_data,
            request=request._request,
        )
        return Response(ProviderKeyOutput(row).data, status=201)


class _OneKeyView(AccountAPIView):
    def get_key(self, provider_key_id: str) -> ProviderKey:
        return own_keys.get_key(self.principal.user, provider_key_id)


class ProviderKeyView(_OneKeyView):
    @extend_schema(
        operation_id="provider_keys_retrieve",
        tags=[TAG],
        summary="Show a provider key, without the key",
        description=(
            "`listed` are the models that its address told of when it was tried last."
        ),
        responses={200: ProviderKeyOutput, 404: _UNKNOWN},
        examples=[_SHOWN],
    )
    def get(self, request: Request, provider_key_id: str) -> Response:
        return Response(ProviderKeyOutput(self.get_key(provider_key_id)).data)

    @extend_schema(
        operation_id="provider_keys_replace",
        tags=[TAG],
        summary="Replace a provider key",
        description="The key is given each time: it is sealed for its address.",
        request=ProviderKeyChangeInput,
        responses={200: ProviderKeyOutput, 403: _NOT_IN_TIER, 404: _UNKNOWN},
        examples=[
            OpenApiExample("key", value={"key": "sk-…"}, request_only=True),
            _SHOWN,
        ],
    )
    def put(self, request: Request, provider_key_id: str) -> Response:
        row = self.get_key(provider_key_id)
        form = ProviderKeyChangeInput(data=request.data)
        form.is_valid(raise_exception=True)
        row = own_keys.replace_key(
            row=row,
            tier=tier_of(self.principal.user),
            **form.validated_data,
            request=request._request,
        )
        return Response(ProviderKeyOutput(row).data)

    @extend_schema(
        operation_id="provider_keys_destroy",
        tags=[TAG],
        summary="Remove a provider key",
        description=(
            "Calls run on the platform's key again, if your tier has the provider."
        ),
        responses={204: None, 404: _UNKNOWN},
    )
    def delete(self, request: Request, provider_key_id: str) -> Response:
        row = self.get_key(provider_key_id)
        own_keys.remove_key(row=row, request=request._request)
        return Response(status=204)


class ProviderKeyTestView(_OneKeyView):
    throttle_group = "provider-key-tests"
    throttle_per_user = "20/m"  # each calls somebody else's server

    @extend_schema(
        operation_id="provider_keys_test",
        tags=[TAG],
        summary="Ask the provider for its models with the key",
        description=(
            "Costs nothing with the known vendors. `ok` is false when the provider "
            "refuses it; `code` says why."
        ),
        request=None,
        responses={200: TrialOutput, 404: _UNKNOWN},
    )
    def post(self, request: Request, provider_key_id: str) -> Response:
        row = self.get_key(provider_key_id)
        trial = own_keys.try_key(row=row, request=request._request)
        error = trial.error
        return Response(
            {
                "ok": trial.ok,
                "took_ms": trial.took_ms,
                "models": list(trial.models),
                "code": error.code if error else None,
                "detail": error.sentence if error else None,
            }
        )
