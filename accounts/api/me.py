"""GET PATCH DELETE /me, its sessions and its export."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountAPIView
from accounts.api.serializers import (
    ExportOutput,
    MeInput,
    MeOutput,
    SignInListOutput,
    SignInOutput,
)
from accounts.own_data import exports
from accounts.own_data.erasure import delete_user
from accounts.profile import change_profile
from accounts.signing_in.sessions import end_sign_in, list_sign_ins
from aiassist.api.refusals import problem
from aiassist.lib.errors import NotFound

_ME = OpenApiExample(
    "me",
    value={
        "id": "user_4Bq1n0hXo2l3y9m7kZtWcE",
        "email": "ada@example.com",
        "full_name": "Ada Lovelace",
        "preferences": {"theme": "dark"},
        "requests_total": 1204,
        "tokens_total": 880123,
        "date_joined": "2026-11-01T08:00:00Z",
    },
    response_only=True,
)
_UNKNOWN = problem("not_found", "There is nothing here under this id.", status=404)


class MeView(AccountAPIView):
    safe_scope = ""

    @extend_schema(
        operation_id="me_retrieve",
        tags=["Account"],
        summary="Show your profile",
        description="Of the account that the credential belongs to.",
        responses=MeOutput,
        examples=[_ME],
    )
    def get(self, request: Request) -> Response:
        return Response(MeOutput(self.principal.user).data)

    @extend_schema(
        operation_id="me_update",
        tags=["Account"],
        summary="Change name or preferences",
        description="`preferences` is replaced as a whole; at most 16 KiB.",
        request=MeInput,
        responses=MeOutput,
        examples=[
            OpenApiExample(
                "name", value={"full_name": "Ada Lovelace"}, request_only=True
            ),
            _ME,
        ],
    )
    def patch(self, request: Request) -> Response:
        body = MeInput(data=request.data)
        body.is_valid(raise_exception=True)
        user = change_profile(user=self.principal.user, **body.validated_data)
        return Response(MeOutput(user).data)

    @extend_schema(
        operation_id="me_destroy",
        tags=["Account"],
        summary="Delete your account",
        description=(
            "Keys, tokens and sessions stop at once; workspaces, files, vectors and "
            "conversations are erased within a minute. This cannot be undone."
        ),
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        user = self.principal.user
        delete_user(user, user, request=request._request)
        return Response(status=204)


class SessionsView(AccountAPIView):
    @extend_schema(
        operation_id="me_sessions_list",
        tags=["Account"],
        summary="List where you are signed in",
        description="Browsers, tokens, and apps that you let in.",
        responses=SignInListOutput,
        examples=[
            OpenApiExample(
                "sessions",
                value={
                    "results": [
                        {
                            "id": "session_0f9a27c5d1e84b6a90b3f2",
                            "kind": "browser",
                            "app": "",
                            "ip": "203.0.113.7",
                            "user_agent": "Mozilla/5.0",
                            "created_at": "2026-11-20T08:00:00Z",
                            "last_seen_at": "2026-11-23T09:12:00Z",
                            "is_current": True,
                        }
                    ],
                    "next": None,
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        found = SignInOutput(list_sign_ins(self.principal), many=True).data
        return Response({"results": found, "next": None})


class SessionView(AccountAPIView):
    @extend_schema(
        operation_id="me_sessions_destroy",
        tags=["Account"],
        summary="End one of your sign-ins",
        description="Its tokens and open streams end at once.",
        responses={204: None, 404: _UNKNOWN},
    )
    def delete(self, request: Request, session_id: str) -> Response:
        end_sign_in(
            principal=self.principal, sign_in_id=session_id, request=request._request
        )
        return Response(status=204)


class ExportView(AccountAPIView):
    @extend_schema(
        operation_id="me_export_retrieve",
        tags=["Account"],
        summary="Fetch your newest data export",
        description="404 before the first; `contents` is null until it is ready.",
        responses={200: ExportOutput, 404: _UNKNOWN},
    )
    def get(self, request: Request) -> Response:
        export = exports.latest_export(self.principal.user)
        if export is None:
            raise NotFound("No export was asked for yet. POST here to get one.")
        return Response(ExportOutput(export).data)

    @extend_schema(
        operation_id="me_export_create",
        tags=["Account"],
        summary="Ask for a copy of your data",
        description="The export is built in the background and kept for seven days.",
        request=None,
        responses={202: ExportOutput},
    )
    def post(self, request: Request) -> Response:
        export = exports.ask_for_export(
            user=self.principal.user, request=request._request
        )
        return Response(ExportOutput(export).data, status=202)
