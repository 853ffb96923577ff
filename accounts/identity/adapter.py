"""Where allauth's provider asks us: words for scopes, claims, keys, addresses."""

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.internal.private_keys import filter_keys
from allauth.idp.oidc.models import Client, PrivateKey
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.identity import newcomers, signing
from accounts.identity.clients import GRANTS
from accounts.models import User
from accounts.scopes import WORDS

# What tells an app who somebody is, beside what it may do.
OPENID_SCOPES = tuple(DefaultOIDCAdapter.scope_display)


class IdentityAdapter(DefaultOIDCAdapter):
    """allauth's provider with our scopes and our keys."""

    scope_display: ClassVar[dict[str, Any]] = {
        **DefaultOIDCAdapter.scope_display,
        **WORDS,
    }

    def get_claims(
        self,
        purpose: Literal["id_token", "userinfo"],
        user: User,
        client: Client,
        scopes: Any,
        email: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Tell the name, never the address in its place."""
        claims: dict[str, Any] = super().get_claims(
            purpose, user, client, scopes, email=email, **kwargs
        )
        claims.pop("name", None)
        if "profile" in scopes and user.full_name:
            claims["name"] = user.full_name
        return claims

    def list_private_keys(
        self,
        *,
        did_activate: Literal[True] | None = None,
        is_active: Literal[True] | None = None,
    ) -> list[PrivateKey]:
        """Return the environment's key, else those that the database keeps."""
        named: list[PrivateKey] = super().list_private_keys(
            did_activate=did_activate, is_active=is_active
        )
        return named or filter_keys(
            signing.kept_keys(), did_activate=did_activate, is_active=is_active
        )

    def validate_resource_uris(self, *, uris: list[str], **kwargs: Any) -> None:
        """Give tokens for this site alone (RFC 8707)."""
        issuer = urlsplit(self.get_issuer())
        for uri in uris:
            asked = urlsplit(uri)
            if (asked.scheme, asked.netloc) != (issuer.scheme, issuer.netloc):
                raise ValidationError("The resource is not of this site.")

    def populate_server_metadata(self, data: dict[str, Any]) -> None:
        """Say only what we do: allauth lists all that it could."""
        data["scopes_supported"] = [*OPENID_SCOPES, *WORDS]
        data["grant_types_supported"] = list(GRANTS)
        data["response_types_supported"] = ["code"]
        data["service_documentation"] = f"{self.get_issuer()}/guides/sign-in/"
        data["authorization_response_iss_parameter_supported"] = True
        data["client_id_metadata_document_supported"] = newcomers.is_open("document")
        if newcomers.is_open("registration"):
            register = reverse("idp:oidc:client_registration")
            data["registration_endpoint"] = f"{self.get_issuer()}{register}"
        del data["end_session_endpoint"]  # an app signs out by /revoke
