"""Apps that nobody registered: MCP's clients tell who they are as they come.

Two ways, the same rules. An app *registers* itself, or its client id is the https
address of a *document* that describes it, which proves at least whose it is. Either
is public (no secret, PKCE always), asks for no more than the apps that come with the
site, and is told to people as unchecked. `NEW_APPS` says which ways are open.

Source: https://www.rfc-editor.org/rfc/rfc7591
Source: https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/
Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Literal

from allauth.idp.oidc.internal.cimd import validate_client_id
from allauth.idp.oidc.models import Client
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.identity.clients import (
    AUTHORIZATION_CODE,
    OFFERED,
    REFRESH_TOKEN,
    require_safe_redirect,
)
from accounts.models import TokenFamily
from accounts.scopes import DEFAULT_KEY_SCOPES
from aiassist.lib.clock import now
from aiassist.lib.egress import Caps, EgressError
from aiassist.lib.public_egress import open_url

logger = logging.getLogger(__name__)

Way = Literal["registration", "document"]
MAX_BYTES = 8 * 1024  # of what describes an app
MAX_REDIRECTS, MAX_REDIRECT_LENGTH = 10, 500
DOCUMENT_LASTS = timedelta(hours=1)
UNUSED_LASTS = timedelta(days=1)
_CAPS = Caps(
    connect_seconds=3, first_byte_seconds=3, total_seconds=5, max_bytes=MAX_BYTES
)
_GRANTS = (AUTHORIZATION_CODE, REFRESH_TOKEN)


class BadRedirect(ValidationError):
    """An address that no code should be sent to; RFC 7591 has a code for it."""


def way_of(client: Client) -> Way | None:
    """Return how an app came by itself; None: staff, or we, registered it."""
    way: Way | None = (client.data or {}).get("way")
    return way


def is_open(way: Way) -> bool:
    """Whether the operator lets apps come this way."""
    return settings.NEW_APPS in ("any", way)


def register(body: bytes) -> Client:
    """Register an app by what it says of itself. Raises ValidationError."""
    client = Client(data={"way": "registration"})
    _describe(client, _read(body))
    client.save(force_insert=True)
    return client


def learn(client_id: str) -> None:
    """See to it that the app behind an address is known as its document says today.

    Raises ValidationError when the document cannot be had or is not one. Does nothing
    where the way is closed, and apps that staff registered so stay as they are.
    """
    if not is_open("document"):
        return
    known = Client.objects.filter(pk=client_id).first()
    if known is not None and not _is_outdated(known):
        return
    validate_client_id(client_id)
    described = _read(_fetched(client_id))
    if described.get("client_id") != client_id:
        raise ValidationError("The document names another client_id than its address.")
    if described.get("token_endpoint_auth_method", "none") != "none":
        raise ValidationError("An app that a document describes keeps no secret.")
    client = known or Client(pk=client_id)
    client.data = {"way": "document", "read_at": now().timestamp()}
    _describe(client, described)
    if known is not None:
        client.save()
    else:  # somebody else may have come with it at the same time
        Client.objects.bulk_create([client], ignore_conflicts=True)


def forget_unused() -> int:
    """Delete apps that came by themselves and that nobody allowed; return how many."""
    connected = TokenFamily.objects.filter(client__isnull=False)
    unused = Client.objects.filter(
        data__way__in=("registration", "document"), created_at__lt=now() - UNUSED_LASTS
    ).exclude(pk__in=connected.values("client_id"))
    with transaction.atomic():
        return int(unused.delete()[0])


def _is_outdated(known: Client) -> bool:
    if way_of(known) != "document":
        return False
    age = now().timestamp() - known.data["read_at"]
    return bool(age > DOCUMENT_LASTS.total_seconds())


def _describe(client: Client, described: Mapping[str, Any]) -> None:
    """Fill in an app by its metadata. Raises ValidationError."""
    name = described.get("client_name") or "An app without a name"
    if not isinstance(name, str) or not name.isprintable():
        raise ValidationError("client_name must be one line of text.")
    client.name = name[: Client._meta.get_field("name").max_length]
    client.type = Client.Type.PUBLIC
    client.set_redirect_uris(_redirects(described.get("redirect_uris")))
    client.set_scopes(list(OFFERED))
    client.set_default_scopes(sorted(DEFAULT_KEY_SCOPES))
    client.set_grant_types(list(_GRANTS))


def _redirects(uris: object) -> list[str]:
    if not isinstance(uris, list) or not 1 <= len(uris) <= MAX_REDIRECTS:
        raise BadRedirect(f"redirect_uris must be a list of 1 to {MAX_REDIRECTS}.")
    for uri in uris:
        if not isinstance(uri, str) or len(uri) > MAX_REDIRECT_LENGTH:
            raise BadRedirect("An address of redirect_uris is no text, or too long.")
        try:
            require_safe_redirect(uri)
        except ValidationError as error:
            raise BadRedirect(error.messages[0]) from None
    return uris


def _read(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise ValidationError("What describes an app may have 8 KB at most.")
    try:
        described = json.loads(body)
    except (ValueError, RecursionError):
        raise ValidationError("This is no JSON.") from None
    if not isinstance(described, dict):
        raise ValidationError("This is no JSON object.")
    return described


@async_to_sync
async def _fetched(url: str) -> bytes:
    """Return the document behind a user-given address (W1). Raises ValidationError."""
    try:
        async with open_url(
            "GET", url, headers={"accept": "application/json"}, caps=_CAPS
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValidationError(
                    f"The app's description could not be read: HTTP {answer.status}."
                )
            return await answer.read(MAX_BYTES)
    except EgressError as error:
        logger.info("no description of an app (%s)", error.code)
        raise ValidationError(
            "The app's description could not be read from the address that it has "
            "for an id."
        ) from None
