"""What machines ask of the provider: `token`, `device/code`, `revoke`, `register`, …

Calls are counted by address, bad input is answered as OAuth does, and what allauth
makes is bound to a sign-in.
"""

import json
from http import HTTPStatus
from typing import Any

from allauth.core.internal.httpkit import extract_basic_auth
from allauth.idp.oidc import views
from allauth.idp.oidc.internal.clientkit import lookup_client
from allauth.idp.oidc.internal.oauthlib.utils import extract_headers
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from accounts.identity import grants, newcomers
from accounts.identity.clients import AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN
from accounts.models import TokenFamily
from accounts.principals import resolve
from accounts.signing_in import families
from aiassist.api.throttles import throttle
from aiassist.lib.errors import AppError, TooManyAttempts

_FORM = "application/x-www-form-urlencoded"
# An office behind one address, whose devices each ask every five seconds.
_PER_ADDRESS = "300/m"
_REGISTRATIONS_PER_ADDRESS = "30/h"


@method_decorator(csrf_exempt, name="dispatch")
class _ForMachines(View):
    """Counts calls by address and answers bad input as OAuth does."""

    http_method_names = ["post", "options"]
    takes_form = True

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            throttle(request, group="identity", per_address=_PER_ADDRESS)
        except TooManyAttempts as error:
            refusal = _refusal("temporarily_unavailable", HTTPStatus.TOO_MANY_REQUESTS)
            refusal["Retry-After"] = str(error.details["retry_after_seconds"])
            return refusal
        if self.takes_form and not _is_plain_form(request):
            return _refusal("invalid_request")
        try:
            answer = super().dispatch(request, *args, **kwargs)
        except ValidationError:  # a resource that is not ours
            return _refusal("invalid_target")
        except ValueError:  # oauthlib's, for what no form can hold
            return _refusal("invalid_request")
        answer["Cache-Control"] = "no-store"
        return answer


class TokenView(_ForMachines, views.TokenView):
    """Gives tokens for a code or a refresh token, once each."""

    def post(self, request: HttpRequest) -> HttpResponse:
        spent = _asked(request, REFRESH_TOKEN, "refresh_token")
        # Ending a family must be kept, so a refusal is no exception in here.
        with transaction.atomic():
            family = families.locked(_family_id(request))
            if spent and grants.is_replay(spent):
                if family is not None:
                    families.end(family, "token.replayed", request)
                return _refusal("invalid_grant")
            if family is not None and not spent and family.current_jti:
                # Two came with one code.
                families.end(family, "token.replayed", request)
                return _refusal("invalid_grant")
            if request.POST.get("grant_type") == DEVICE_CODE:
                # What the person saw is what the token holds, whatever is asked now.
                _ask_for(request, None)
            return self._give(request, family, spent)

    def _give(
        self, request: HttpRequest, family: TokenFamily | None, spent: str | None
    ) -> HttpResponse:
        answer: HttpResponse = super().post(request)
        if answer.status_code != HTTPStatus.OK:
            return answer
        if family is None:  # whom it was for is signed out, or never approved
            transaction.set_rollback(True)
            return _refusal("invalid_grant")
        made = json.loads(answer.content)
        grants.bind(
            family,
            access=made["access_token"],
            refresh=made.get("refresh_token"),
            spent=spent,
        )
        return answer


class DeviceCodeView(_ForMachines, views.DeviceCodeView):
    """Gives a device its code, and a person the one to type."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        client = lookup_client(request.POST.get("client_id", ""))
        if client is not None:
            if DEVICE_CODE not in client.get_grant_types():
                return _refusal("unauthorized_client")
            if not request.POST.get("scope", "").split():
                # Fixed now: what the person sees is what the token will hold.
                _ask_for(request, " ".join(client.get_default_scopes()))
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer


class RevokeView(_ForMachines, views.RevokeView):
    """Ends the whole sign-in that a token is of (RFC 7009)."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic():
            family = families.locked(grants.of_token(request.POST.get("token", "")))
            answer: HttpResponse = super().post(request, *args, **kwargs)
            asks = _client_id(request)
            if (
                answer.status_code == HTTPStatus.OK
                and family is not None
                and family.client_id == asks
            ):
                families.end(family, "token.revoked", request)
            return answer


class UserInfoView(_ForMachines, views.UserInfoView):
    """Tells an app who somebody is, as far as they allowed it."""

    http_method_names = ["get", "head", "post", "options"]
    takes_form = False

    def _respond(self, request: HttpRequest) -> HttpResponse:
        try:
            principal = resolve(request)
        except AppError:
            principal = None
        if principal is None or principal.kind != "app":
            answer: HttpResponse = _refusal("invalid_token", HTTPStatus.UNAUTHORIZED)
            answer["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            return answer
        answer = super()._respond(request)
        return answer


class RegisterView(_ForMachines):
    """Lets an app register itself (RFC 7591): without a secret, and unchecked."""

    takes_form = False

    def post(self, request: HttpRequest) -> HttpResponse:
        if not newcomers.is_open("registration"):
            return _refusal("access_denied", HTTPStatus.FORBIDDEN)
        try:
            throttle(
                request,
                group="app registrations",
                per_address=_REGISTRATIONS_PER_ADDRESS,
            )
            client = newcomers.register(request.body)
        except ValidationError as error:
            is_redirect = isinstance(error, newcomers.BadRedirect)
            about = "redirect_uri" if is_redirect else "client_metadata"
            return _refusal(f"invalid_{about}", description=error.messages[0])
        registered = {
            "client_id": client.pk,
            "client_id_issued_at": int(client.created_at.timestamp()),
            "client_name": client.name,
            "redirect_uris": client.get_redirect_uris(),
            "grant_types": client.get_grant_types(),
            "response_types": client.get_response_types(),
            "scope": " ".join(client.get_scopes()),
            "token_endpoint_auth_method": "none",
        }
        return JsonResponse(registered, status=HTTPStatus.CREATED)


def _family_id(request: HttpRequest) -> str | None:
    """Return the family that the request's code or token is of."""
    if code := _asked(request, AUTHORIZATION_CODE, "code"):
        return grants.of_code(_client_id(request), code)
    if code := _asked(request, DEVICE_CODE, "device_code"):
        return grants.of_device(code)
    if token := _asked(request, REFRESH_TOKEN, "refresh_token"):
        return grants.of_token(token)
    return None


def _asked(request: HttpRequest, grant_type: str, name: str) -> str | None:
    if request.POST.get("grant_type") != grant_type:
        return None
    return request.POST.get(name) or None


def _ask_for(request: HttpRequest, scopes: str | None) -> None:
    """Put scopes in the place of those that the request names; None: name none."""
    asked = request.POST.copy()
    asked.pop("scope", None)
    if scopes is not None:
        asked["scope"] = scopes
    request.POST = asked  # type: ignore[assignment]


def _client_id(request: HttpRequest) -> str:
    """Return who says to ask; allauth checks it."""
    by_header, _ = extract_basic_auth(extract_headers(request))
    return str(by_header or request.POST.get("client_id", ""))


def _is_plain_form(request: HttpRequest) -> bool:
    if request.method != "POST":
        return True
    return request.content_type == _FORM and not any(
        "\0" in value for _, value in request.POST.items()
    )


def _refusal(
    error: str, status: int = HTTPStatus.BAD_REQUEST, *, description: str = ""
) -> JsonResponse:
    told = {"error": error}
    if description:
        told["error_description"] = description
    return JsonResponse(told, status=status)
