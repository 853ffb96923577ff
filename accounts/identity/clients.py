"""The apps that may ask: two come with the site, staff register others.

Those that come by themselves: `newcomers`.
"""

import re
from collections.abc import Iterable

from django.apps.registry import Apps
from django.core.exceptions import ValidationError

from accounts.scopes import DEFAULT_KEY_SCOPES

AUTHORIZATION_CODE = "authorization_code"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_TOKEN = "refresh_token"
GRANTS = {
    AUTHORIZATION_CODE: "Code with PKCE: the app opens a browser",
    DEVICE_CODE: "Device code: a person types what it shows",
    REFRESH_TOKEN: "Refresh token: the app stays signed in",
}
# The port of a loopback address is free: an app takes whichever is. `localhost` is not
# advised, as it may lead elsewhere, but it is what MCP's clients use.
# Source: https://www.rfc-editor.org/rfc/rfc8252#section-7.3
_LOOPBACK = re.compile(r"^(http://(?:127\.0\.0\.1|\[::1\]|localhost)):\d{1,5}(?=/|$)")
_LOCAL = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(:\d{1,5})?(/|$)")
_ALLOWED = re.compile(
    r"https://[^\s/@#*?]+(/[^\s#*]*)?"
    r"|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d{1,5})?(/[^\s#*]*)?"
    # An editor's own scheme, such as vscode://publisher.extension
    r"|(?!(?:https?|javascript|data|vbscript|file|blob|about):)"
    r"[a-z][a-z0-9+.-]+:/[^\s#*]+"
)
# What an app may ask for unless staff say otherwise: who somebody is, and what a new
# key may do.
OFFERED = ("openid", "profile", "email", *sorted(DEFAULT_KEY_SCOPES))
_LOOPBACK_URIS = tuple(
    f"http://{host}{path}"
    for host in ("127.0.0.1", "[::1]")
    for path in ("", "/", "/callback")
)
SEEDED = {"aiassist-cli": "aiassist CLI", "aiassist-editor": "Editor"}


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Whether an address is one of those, to the letter but for a loopback's port."""
    asked = _LOOPBACK.sub(r"\1", uri)
    return any(asked == _LOOPBACK.sub(r"\1", known) for known in registered)


def is_loopback(uri: str) -> bool:
    """Whether an address is of the person's own computer."""
    return _LOCAL.match(uri) is not None


def require_safe_redirect(uri: str) -> None:
    """Raise ValidationError for an address that no code should be sent to."""
    if not _ALLOWED.fullmatch(uri):
        raise ValidationError(
            "“%(uri)s” is neither https, nor http on 127.0.0.1, [::1] or localhost, "
            "nor an app's own scheme; or it holds a fragment, a user name or a "
            "wildcard.",
            params={"uri": uri},
        )


def seed_clients(apps: Apps) -> None:
    """Register the editors' and the CLIs' app where no app is registered at all."""
    client_model = apps.get_model("allauth_idp_oidc", "Client")
    if client_model._base_manager.exists():
        return
    client_model._base_manager.bulk_create(
        client_model(
            id=client_id,
            name=name,
            type="public",
            scopes="\n".join(OFFERED),
            default_scopes="\n".join(sorted(DEFAULT_KEY_SCOPES)),
            grant_types="\n".join(GRANTS),
            redirect_uris="\n".join(_LOOPBACK_URIS),
        )
        for client_id, name in SEEDED.items()
    )
