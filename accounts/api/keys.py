"""GET POST /keys, GET PATCH DELETE /keys/{id}, POST /keys/{id}/rotate."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.api.base import AccountAPIView
from accounts.api.serializers import (
    KeyChangeInput,
    KeyInput,
    KeyOutput,
    NewKeyOutput,
)
from accounts.models import ApiKey
from aiassist.api.pagination import NewestFirst, newest_first
from aiassist.api.refusals import problem

_KEY = {
    "id": "key_1Zb9vXk0PqLm3Rt5Yw7Ua2",
    "name": "laptop",
    "prefix": "aia_0kPzR4mQ",
    "scopes": ["assistant", "search", "usage", "workspaces"],
    "status": "active",
    "created_at": "2026-11-23T09:00:00Z",
    "expires_at": "2027-11-23T09:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
    "replaced_by": None,
}
_SHOWN = OpenApiExample("key", value=_KEY, response_only=True)
_SHOWN_ONCE = OpenApiExample(
    "new key",
    value={**_KEY, "key": "aia_0kPzR4mQ…"},
    response_only=True,
)
_UNKNOWN = problem("not_found", "There is nothing here under this id.", status=404)
_NOT_YOURS = problem(
    "scope_not_yours",
    "A key cannot hand out scopes that it does not have itself.",
    status=403,
)


class KeysView(AccountAPIView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="keys_list",
        tags=["API keys"],
        summary="List your API keys",
        description=(
            "Newest first, revoked and expired ones included; never the keys "
            "themselves."
        ),
        responses=KeyOutput(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = ApiKey.objects.for_user(self.principal.user)
        return newest_first(self, request, rows, KeyOutput)

    @extend_schema(
        operation_id="keys_create",
        tags=["API keys"],
        summary="Create an API key",
        description="The answer holds the key itself, this one time.",
        request=KeyInput,
        responses={201: NewKeyOutput, 403: _NOT_YOURS},
        examples=[
            OpenApiExample("name", value={"name": "laptop"}, request_only=True),
            _SHOWN_ONCE,
        ],
    )
    def post(self, request: Request) -> Response:
        body = KeyInput(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        key, secret = keys.create_key(
            self.principal.user,
            data["name"],
            data.get("scopes"),
            data.get("expires_at"),
            grantor_scopes=self.principal.scopes,
            request=request._request,
        )
        return _shown_once(key, secret)


class _KeyAPIView(AccountAPIView):
    def get_key(self, key_id: str) -> ApiKey:
        return keys.get_key(self.principal.user, key_id)


class KeyView(_KeyAPIView):
    @extend_schema(
        operation_id="keys_retrieve",
        tags=["API keys"],
        summary="Show an API key",
        description="`last_used_at` is told to the minute.",
        responses={200: KeyOutput, 404: _UNKNOWN},
        examples=[_SHOWN],
    )
    def get(self, request: Request, key_id: str) -> Response:
        return Response(KeyOutput(self.get_key(key_id)).data)

    @extend_schema(
        operation_id="keys_update",
        tags=["API keys"],
        summary="Change an API key's name, scopes or expiry",
        description="Fewer scopes and an earlier end hold at once.",
        request=KeyChangeInput,
        responses={200: KeyOutput, 403: _NOT_YOURS, 404: _UNKNOWN},
        examples=[
            OpenApiExample("name", value={"name": "old laptop"}, request_only=True),
            _SHOWN,
        ],
    )
    def patch(self, request: Request, key_id: str) -> Response:
        key = self.get_key(key_id)
        body = KeyChangeInput(data=request.data)
        body.is_valid(raise_exception=True)
        keys.change_key(
            key,
            **body.validated_data,
            grantor_scopes=self.principal.scopes,
            request=request._request,
        )
        return Response(KeyOutput(key).data)

    @extend_schema(
        operation_id="keys_destroy",
        tags=["API keys"],
        summary="Revoke an API key",
        description="It stops everywhere at once and stays in the list as revoked.",
        responses={204: None, 404: _UNKNOWN},
    )
    def delete(self, request: Request, key_id: str) -> Response:
        keys.revoke_key(self.get_key(key_id), request=request._request)
        return Response(status=204)


class KeyRotateView(_KeyAPIView):
    @extend_schema(
        operation_id="keys_rotate",
        tags=["API keys"],
        summary="Replace an API key",
        description=(
            "Returns a new key with the same name and scopes. The old one works on "
            "for 24 hours, so that you can change it everywhere."
        ),
        request=None,
        responses={
            201: NewKeyOutput,
            404: _UNKNOWN,
            409: problem(
                "conflict", "Revoked, expired or rotated already.", status=409
            ),
        },
        examples=[_SHOWN_ONCE],
    )
    def post(self, request: Request, key_id: str) -> Response:
        key, secret = keys.rotate_key(
            self.get_key(key_id),
            grantor_scopes=self.principal.scopes,
            request=request._request,
        )
        return _shown_once(key, secret)


def _shown_once(key: ApiKey, secret: str) -> Response:
    answer = Response({**KeyOutput(key).data, "key": secret}, status=201)
    answer["Cache-Control"] = "no-store"
    return answer
