"""Sign-ins by token: a row for each, whoever made its tokens, and one way to end it.

A password's JWTs (`accounts.signing_in.tokens`) and an app's opaque tokens
(`accounts.identity.grants`) both hang on such a row.
"""

from datetime import timedelta

from allauth.idp.oidc.models import Client
from django.http import HttpRequest

from accounts import audit
from accounts.models import TokenFamily, User
from aiassist.lib.client_ip import client_ip
from aiassist.lib.clock import now

_AGENT_CHARS = 200


def start(
    user: User,
    request: HttpRequest | None,
    *,
    lasts: timedelta,
    jti: str = "",
    client: Client | None = None,
) -> TokenFamily:
    """Save a family for a user whose credentials, or whose word, were checked.

    `jti` names its first good refresh token, "" while none is made; `client` is the
    app that gets in, None for the user's own.
    """
    agent = request.headers.get("User-Agent", "") if request is not None else ""
    return TokenFamily.objects.create(
        user=user,
        client=client,
        current_jti=jti,
        expires_at=now() + lasts,
        ip=client_ip(request) if request is not None else None,
        user_agent=agent.replace("\x00", "")[:_AGENT_CHARS],
    )


def locked(family_id: str | None) -> TokenFamily | None:
    """Lock and return a living family of an active user, within a transaction."""
    return (
        TokenFamily.objects.living()
        .select_for_update(of=("self",))
        .select_related("user")
        .filter(pk=family_id, user__is_active=True)
        .first()
    )


def end(family: TokenFamily, action: str, request: HttpRequest | None) -> None:
    """End a family and say so; its tokens are good for nothing from here on."""
    family.revoked_at = now()
    family.save(update_fields=["revoked_at"])  # which ends what Redis has cached
    audit.record(
        action,
        actor=family.user,
        subject=family,
        request=request,
        app=family.client_id,
    )
