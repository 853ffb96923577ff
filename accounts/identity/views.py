"""What people see of the provider: `authorize` and `device`, in the site's design."""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from allauth.core.internal.httpkit import authenticated_user
from allauth.idp.oidc import views
from allauth.idp.oidc.forms import AuthorizationForm, ConfirmCodeForm
from allauth.idp.oidc.internal.clientkit import lookup_client
from allauth.idp.oidc.internal.oauthlib.utils import (
    get_validator_context,
    respond_html_error,
)
from allauth.idp.oidc.models import Client
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.identity import grants, newcomers
from accounts.identity.clients import is_loopback, is_registered
from accounts.scopes import WORDS
from accounts.web import login_required, signed_in
from aiassist.api.throttles import throttle
from aiassist.lib.errors import TooManyAttempts

_DOCUMENTS_PER_USER = "20/m"  # that one person has us look at
_UNKNOWN = ValidationError("This app is not registered here.")


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
        try:
            client = _app_of(request)
        except ValidationError as fault:
            return _faulty(request, fault)
        _free_port(client, request.GET["redirect_uri"])
        answer: HttpResponse = super().get(request, *args, **kwargs)
        return answer

    def form_valid(self, form: AuthorizationForm) -> HttpResponse:
        asked = self._request_info
        client = lookup_client(asked["client_id"])
        if client is None:  # removed while the person thought about it
            return _faulty(self.request, _UNKNOWN)
        _free_port(client, asked["redirect_uri"])
        answer: HttpResponse = super().form_valid(form)
        sent = parse_qs(urlsplit(answer.get("Location", "")).query)
        if "code" in sent:
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
            "is_loopback": is_loopback(redirect_uri),
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
            fault = ValidationError("This code was used already. Start anew.")
            return _faulty(request, fault)
        name = f"device_authorization_{'confirmed' if allow else 'denied'}"
    return render(request, f"idp/oidc/{name}.html", context)


def _app_of(request: HttpRequest) -> Client:
    """Return the app that asks, if it asks as it should: allauth would let more pass.

    Raises ValidationError, told to the person rather than to the app: its address is
    what is in doubt.
    """
    if "none" in request.GET.get("prompt", "").split():
        raise ValidationError("prompt=none is not offered: the app has to ask.")
    client_id = request.GET.get("client_id", "")
    _learn(client_id, request)
    client = lookup_client(client_id)
    if client is None:
        raise _UNKNOWN
    redirect_uri = request.GET.get("redirect_uri", "")
    if not is_registered(redirect_uri, client.get_redirect_uris()):
        raise ValidationError(
            "The app's address (redirect_uri) is not the one it registered."
        )
    pkce = request.GET.get("code_challenge"), request.GET.get("code_challenge_method")
    if not pkce[0] or pkce[1] != "S256":
        raise ValidationError("The app must use PKCE with S256.")
    return client


def _learn(client_id: str, request: HttpRequest) -> None:
    """Read the document that describes the app, if its id is the address of one."""
    if not client_id.startswith("https:"):
        return
    try:
        throttle(
            request,
            group="app documents",
            per_user=_DOCUMENTS_PER_USER,
            user_id=str(request.user.pk),
        )
    except TooManyAttempts as error:
        raise ValidationError(error.sentence) from error
    newcomers.learn(client_id)


def _faulty(request: HttpRequest, fault: ValidationError) -> HttpResponse:
    answer: HttpResponse = respond_html_error(request, error=fault)
    answer.status_code = HTTPStatus.BAD_REQUEST
    return answer


def _free_port(client: Client, redirect_uri: str) -> None:
    """Have allauth take `localhost` at any port, as it takes 127.0.0.1 and [::1].

    The address was judged by `is_registered`; allauth finds it among those of the app
    that this request sees.
    """
    client.set_redirect_uris([*client.get_redirect_uris(), redirect_uri])
    get_validator_context().clients[client.pk] = client


def _form_target(redirect_uri: str) -> str:
    """Return a redirect as a source that CSP can name."""
    parts = urlsplit(redirect_uri)
    # A policy can name neither an app's own scheme with a host nor an IPv6 address.
    if parts.scheme not in ("http", "https") or ":" in (parts.hostname or ""):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"
