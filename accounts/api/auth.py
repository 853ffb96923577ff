"""POST /auth/token, /auth/token/refresh, /auth/token/revoke."""

from dataclasses import asdict

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.serializers import (
    RefreshInput,
    RevokeInput,
    TokenInput,
    TokenOutput,
)
from accounts.signing_in import tokens
from accounts.signing_in.sign_in import answer_challenge, sign_in_with_password
from aiassist.api.refusals import problem

_TOKENS = OpenApiExample(
    "tokens",
    value={
        "access": "eyJhbGciOiJIUzI1NiIs…",
        "refresh": "eyJhbGciOiJIUzI1NiIs…",
        "token_type": "Bearer",
        "expires_in": 86400,
    },
    response_only=True,
)


class _OpenView(APIView):
    """For those who have no credential yet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class TokenView(_OpenView):
    @extend_schema(
        operation_id="auth_token_create",
        tags=["Authentication"],
        summary="Sign in with address and password",
        description=(
            "Returns an access token (24 hours) and a refresh token (30 days, for one "
            "use). Where the account has a second factor the answer is 401 "
            "`second_factor_required` with a `challenge`: send that with the `code` "
            "within five minutes. Five wrong tries in five minutes close an account's "
            "door, ten in a minute an address's."
        ),
        auth=[],
        request=TokenInput,
        responses={
            200: TokenOutput,
            401: problem(
                "second_factor_required",
                "Wrong address or password, or a second factor is needed.",
                status=401,
                challenge="eyJ1c2VyIjoi…",
                methods=["totp", "recovery_code"],
                expires_in=300,
            ),
            429: problem("too_many_attempts", "Too many wrong tries.", status=429),
        },
        examples=[
            OpenApiExample(
                "password",
                value={"email": "ada@example.com", "password": "…"},
                request_only=True,
            ),
            OpenApiExample(
                "second factor",
                value={"challenge": "eyJ1c2VyIjoi…", "code": "492039"},
                request_only=True,
            ),
            _TOKENS,
        ],
    )
    def post(self, request: Request) -> Response:
        body = TokenInput(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        if "challenge" in data:
            pair = answer_challenge(
                challenge=data["challenge"],
                code=data["code"],
                request=request._request,
            )
        else:
            pair = sign_in_with_password(
                email=data["email"],
                password=data["password"],
                code=data["code"],
                request=request._request,
            )
        return _answer(pair)


class TokenRefreshView(_OpenView):
    @extend_schema(
        operation_id="auth_token_refresh",
        tags=["Authentication"],
        summary="Exchange a refresh token for a new pair",
        description=(
            "A refresh token is good once. Sent again within ten seconds it gives the "
            "same successor, for a client whose answer got lost; later it ends the "
            "whole sign-in."
        ),
        auth=[],
        request=RefreshInput,
        responses={
            200: TokenOutput,
            401: problem("token_replayed", "Unknown, expired or used.", status=401),
        },
        examples=[_TOKENS],
    )
    def post(self, request: Request) -> Response:
        body = RefreshInput(data=request.data)
        body.is_valid(raise_exception=True)
        return _answer(tokens.refresh(body.validated_data["refresh"], request._request))


class TokenRevokeView(_OpenView):
    @extend_schema(
        operation_id="auth_token_revoke",
        tags=["Authentication"],
        summary="End a sign-in",
        description=(
            "Takes either token of a sign-in and ends both, at once. A token that is "
            "unknown or has ended already answers 204 too (RFC 7009)."
        ),
        auth=[],
        request=RevokeInput,
        responses={204: None},
        examples=[
            OpenApiExample(
                "token", value={"token": "eyJhbGciOiJIUzI1NiIs…"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        body = RevokeInput(data=request.data)
        body.is_valid(raise_exception=True)
        for token in body.validated_data.values():
            tokens.revoke(token, request._request)
        return Response(status=204)


def _answer(pair: tokens.TokenPair) -> Response:
    answer = Response({**asdict(pair), "token_type": "Bearer"})
    # RFC 6749, section 5.1: tokens are not for caches.
    answer["Cache-Control"] = "no-store"
    return answer
