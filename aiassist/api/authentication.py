"""Every API door asks the one resolver who is calling."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.principals import Principal, resolve


class PrincipalAuth(BaseAuthentication):
    """API key, JWT or session; `request.auth` is the principal.

    A session is the browser's own, so it is held to CSRF; a header credential
    cannot be sent by a foreign page.
    """

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        principal = resolve(request._request)
        if principal is None:
            return None
        if principal.kind == "session":
            SessionAuthentication().enforce_csrf(request)
        return principal.user, principal

    def authenticate_header(self, request: Request) -> str:
        """Make DRF answer 401 rather than 403 (RFC 9110, section 11.6.1)."""
        return 'Bearer realm="aiassist"'


class PrincipalAuthScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells the OpenAPI document how to send a credential, and how to get one."""

    target_class = PrincipalAuth
    name = ["BearerAuth", "ApiKeyAuth", "SignIn"]

    def get_security_definition(self, auto_schema: object) -> list[dict[str, str]]:
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, a JWT or an app's access token.",
            },
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            {
                "type": "openIdConnect",
                "openIdConnectUrl": "/.well-known/openid-configuration",
                "description": "How an editor or a CLI gets an access token: a device "
                "code, or a code with PKCE. /guides/sign-in/ shows both.",
            },
        ]
