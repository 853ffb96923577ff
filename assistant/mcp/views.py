"""The door at /mcp, and where clients learn how to knock.

A session's cookie opens nothing here: other sites could send it along. Nor may their
pages call it with anything else.
Sources: https://www.rfc-editor.org/rfc/rfc9728
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning
"""

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from accounts.principals import Principal, resolve
from accounts.scopes import ASSISTANT, SEARCH, WORKSPACES
from aiassist.api.problems import CONTENT_TYPE, headers_of, problem_body, request_id_of
from aiassist.lib.db import in_db
from aiassist.lib.errors import AppError, NotAuthenticated, PermissionDenied
from assistant.mcp.tools import Call

SCOPES = (ASSISTANT, SEARCH, WORKSPACES)
METADATA = "/.well-known/oauth-protected-resource"


@method_decorator(csrf_exempt, name="dispatch")
class McpView(View):
    """Streamable HTTP without streams: each request is answered at once."""

    http_method_names = ["post", "options"]

    async def post(self, request: HttpRequest) -> HttpResponse:
        # Reading the SDK's code takes a second, which start-up should not.
        from assistant.mcp.server import serve  # noqa: PLC0415

        try:
            _require_known_origin(request)
            principal = await in_db(_principal, request)
        except AppError as error:
            return _refusal(request, error)
        call = Call(request, principal)
        status, headers, body = await serve(call, request.body)
        response = HttpResponse(body, status=status)
        for name, value in headers:
            if name.lower() != b"content-length":
                response[name.decode("latin-1")] = value.decode("latin-1")
        for key, text in call.headers.items():
            response[key] = text
        response["Cache-Control"] = "no-store"
        return response


class ProtectedResourceView(View):
    """Says who gives credentials for /mcp."""

    http_method_names = ["get", "head", "options"]

    async def get(self, request: HttpRequest) -> HttpResponse:
        origin = request.build_absolute_uri("/").rstrip("/")
        body: dict[str, object] = {
            "resource": f"{origin}/mcp",
            "resource_name": "aiassist",
            "bearer_methods_supported": ["header"],
            "scopes_supported": list(SCOPES),
            "resource_documentation": f"{origin}/guides/mcp/",
        }
        if apps.is_installed("allauth.idp.oidc"):
            body["authorization_servers"] = [origin]
        return JsonResponse(body)


def _require_known_origin(request: HttpRequest) -> None:
    """Refuse pages of other sites, whose name may lead to this address by now.

    Programs send no Origin. The host was compared with ALLOWED_HOSTS before.
    """
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    if origin not in (None, own, *settings.CORS_ALLOWED_ORIGINS):
        raise PermissionDenied("Pages of this origin may not call this address.")


def _principal(request: HttpRequest) -> Principal:
    if not request.headers.keys() & {"Authorization", "X-Api-Key"}:
        raise NotAuthenticated
    principal = resolve(request)
    assert principal is not None  # a header is judged, whatever it holds
    return principal


def _refusal(request: HttpRequest, error: AppError) -> HttpResponse:
    body = problem_body(
        status=error.status,
        code=error.code,
        detail=error.sentence,
        request_id=request_id_of(request),
    )
    response = JsonResponse(
        body, status=error.status, headers=headers_of(error), content_type=CONTENT_TYPE
    )
    if error.status == 401:
        metadata = request.build_absolute_uri(f"{METADATA}/mcp")
        response["WWW-Authenticate"] = (
            f'Bearer realm="aiassist", resource_metadata="{metadata}", '
            f'scope="{" ".join(SCOPES)}"'
        )
    return response
