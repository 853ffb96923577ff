"""allauth's provider at our door: limited, bound to sign-ins, in the site's design.

Machines ask `token`, `device/code`, `revoke`, `register` and `userinfo`; people see
`authorize` and `device`.
"""

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from allauth.core.internal.httpkit import authenticated_user, extract_basic_auth
from allauth.idp.oidc import views
from allauth.idp.oidc.forms import AuthorizationForm, ConfirmCodeForm
from allauth.idp.oidc.internal.clientkit import lookup_client
from allauth.idp.oidc.internal.oauthlib.utils import (
    extract_headers,
    get_validator_context,
    respond_html_error,
)
from allauth.idp.oidc.models import Client
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.identity import grants, newcomers
from accounts.identity.clients import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    REFRESH_TOKEN,
    is_registered,
)
from accounts.models import TokenFamily
from accounts.principals import resolve
from accounts.scopes import WORDS
from accounts.web import login_required, signed_in
from aiassist.api.throttles import throttle
from aiassist.lib.errors import AppError, TooManyAttempts

_FORM = "application/x-www-form-urlencoded"
# An office behind one address, whose devices each ask every five seconds.
_PER_ADDRESS = "300/m"
_REGISTRATIONS_PER_ADDRESS = "30/h"
_DOCUMENTS_PER_USER = "20/m"  # that one person has us look at


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
            family = grants.locked(_family_id(request))
            if spent and grants.is_replay(spent):
                if family is not None:
                    grants.end(family, "token.replayed", request)
                return _refusal("invalid_grant")
            if family is not None and not spent and family.current_jti:
                # Two came with one code.
                grants.end(family, "token.replayed", request)
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
            family = grants.locked(grants.of_token(request.POST.get("token", "")))
            answer: HttpResponse = super().post(request, *args, **kwargs)
            asks = _client_id(request)
            if (
                answer.status_code == HTTPStatus.OK
                and family is not None
                and family.client_id == asks
            ):
                grants.end(family, "token.revoked", request)
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


class AuthorizationView(views.AuthorizationView):
    """Asks a person whether an app may, and sends the app its code."""

    http_method_names = ["get", "head", "post", "options"]

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Tell the app in each answer that it is we who answer (RFC 9207)."""
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        place = answer.get("Location", "/")
        if not place.startswith("/"):
            issuer = urlencode({"iss": request.build_absolute_uri("/").rstrip("/")})
            answer["Location"] = f"{place}{'&' if '?' in place else '?'}{issuer}"
        return answer

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if fault := _fault_of(request):
            return _faulty(request, fault)
        _free_port(request.GET["client_id"], request.GET["redirect_uri"])
        answer: HttpResponse = super().get(request, *args, **kwargs)
        return answer

    def form_valid(self, form: AuthorizationForm) -> HttpResponse:
        asked = self._request_info
        _free_port(asked["client_id"], asked["redirect_uri"])
        answer: HttpResponse = super().form_valid(form)
        sent = parse_qs(urlsplit(answer.get("Location", "")).query)
        client = lookup_client(asked["client_id"])
        if client is not None and "code" in sent:
            grants.approve_code(
                user=authenticated_user(self.request),
                client=client,
                code=sent["code"][0],
                request=self.request,
            )
        return answer

    def render_to_response(
        self, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Let the form lead to the app: browsers hold redirects to form-action."""
        redirect_uri = self._request_info["redirect_uri"]
        context |= {
            "redirect_uri": redirect_uri,
            "redirect_host": urlsplit(redirect_uri).netloc,
            "way": newcomers.way_of(context["client"]),
        }
        answer: HttpResponse = super().render_to_response(context, **kwargs)
        target = _form_target(redirect_uri)
        answer._csp_update = {"form-action": [target]}  # type: ignore[attr-defined]
        return answer


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def device(request: HttpRequest) -> HttpResponse:
    """Ask for a device's code, show what it wants, and let it in or not."""
    form = ConfirmCodeForm(request.GET if "code" in request.GET else None)
    if not form.is_bound or not form.is_valid():
        context = {"form": form}
        return render(request, "idp/oidc/device_authorization_code_form.html", context)
    context = {
        "client": form.client,
        "user_code": form.cleaned_data["code"].upper(),
        "scopes": [
            WORDS.get(scope, scope)
            for scope in grants.scopes_of_device(form.device_code, form.client)
        ],
    }
    name = "device_authorization_confirm_form"
    if request.method == "POST":
        allow = request.POST.get("action") == "confirm"
        decided = grants.decide_device(
            user=signed_in(request),
            client=form.client,
            device_code=form.device_code,
            allow=allow,
            request=request,
        )
        if not decided:
            return _faulty(request, "This code was used already. Start anew.")
        name = f"device_authorization_{'confirmed' if allow else 'denied'}"
    return render(request, f"idp/oidc/{name}.html", context)


def _fault_of(request: HttpRequest) -> str:
    """Return what is wrong with a request that allauth would let through; "": nothing.

    Told here rather than to the app: its address is what is in doubt.
    """
    if "none" in request.GET.get("prompt", "").split():
        return "prompt=none is not offered: the app has to ask."
    client_id = request.GET.get("client_id", "")
    try:
        if client_id.startswith("https:"):
            throttle(
                request,
                group="app documents",
                per_user=_DOCUMENTS_PER_USER,
                user_id=str(request.user.pk),
            )
        newcomers.learn(client_id)
    except ValidationError as error:
        return error.messages[0]
    except TooManyAttempts as error:
        return error.sentence
    client = lookup_client(client_id)
    if client is None:
        return "This app is not registered here."
    if not is_registered(
        request.GET.get("redirect_uri", ""), client.get_redirect_uris()
    ):
        return "The app's address (redirect_uri) is not the one it registered."
    pkce = request.GET.get("code_challenge"), request.GET.get("code_challenge_method")
    if not pkce[0] or pkce[1] != "S256":
        return "The app must use PKCE with S256."
    return ""


def _faulty(request: HttpRequest, fault: str) -> HttpResponse:
    answer: HttpResponse = respond_html_error(request, error=ValidationError(fault))
    answer.status_code = HTTPStatus.BAD_REQUEST
    return answer


def _free_port(client_id: str, redirect_uri: str) -> None:
    """Have allauth take `localhost` at any port, as it takes 127.0.0.1 and [::1].

    Whether the address is one of the app's is judged here, as everywhere; then
    allauth finds it among those of the app that this request sees.
    """
    client = Client.objects.get(pk=client_id)
    known = client.get_redirect_uris()
    if is_registered(redirect_uri, known):
        client.set_redirect_uris([*known, redirect_uri])
        get_validator_context().clients[client_id] = client


def _form_target(redirect_uri: str) -> str:
    """Return a redirect as a source that CSP can name."""
    parts = urlsplit(redirect_uri)
    # A policy can name neither an app's own scheme with a host nor an IPv6 address.
    if parts.scheme not in ("http", "https") or ":" in (parts.hostname or ""):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


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
