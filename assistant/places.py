"""Places of one's own: an address with the key that belongs to it.

Staff give them (an *upstream* of a model), or users do (their own key for a provider).
The key is sealed for its host: at another address it does not open, so that editing a
URL never sends a key to whoever stands there (W6).
"""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings

from aiassist.lib.egress import AddressRefused
from aiassist.lib.errors import ValidationFailed
from aiassist.lib.public_egress import Trust, checked_url
from aiassist.lib.vault import seal, unseal
from assistant.providers.base import Access

Giver = Literal["staff", "user"]
MAX_KEY_CHARS = 500
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """An address and its sealed key."""

    base_url: str
    giver: Giver
    sealed_key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Whom it speaks to, for people."""
        return urlsplit(self.base_url).netloc

    def access(self) -> Access:
        """Return what a provider needs to call it. Raises SealBroken."""
        key = ""
        if self.sealed_key:
            key = unseal(self.sealed_key, purpose=_purpose(self.base_url, self.giver))
        return Access(self.base_url, key, trust_of(self.giver))


def seal_key(key: str, *, base_url: str, giver: Giver) -> str:
    """Seal a key for the host of its address."""
    return seal(key, purpose=_purpose(base_url, giver))


def is_key(key: str) -> bool:
    """Tell whether a header can carry it as a credential."""
    return 0 < len(key) <= MAX_KEY_CHARS and all("!" <= c <= "~" for c in key)


def checked_base_url(base_url: str, giver: Giver) -> str:
    """Return the address in its plain form. Raises ValidationFailed.

    Users name public https addresses; staff may name http within the hosts that the
    operator lists.
    """
    base_url = base_url.strip().rstrip("/")
    try:
        checked_url(base_url, trust_of(giver))
    except AddressRefused as error:
        raise _refused(error.sentence) from None
    parts = urlsplit(base_url)
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise _refused("An address without '?' and '#', please.")
    if parts.scheme != "https" and (
        giver == "user" or not trust_of(giver).holds(*_host_of(base_url))
    ):
        raise _refused("Only https:// addresses can be given here.")
    return base_url


def trust_of(giver: Giver) -> Trust:
    """Return the hosts in the operator's own network that may be named."""
    if giver == "staff":
        hosts = settings.UPSTREAM_ALLOWED_HOSTS
    else:
        hosts = settings.PROVIDER_KEY_ALLOWED_HOSTS
    return Trust(frozenset(hosts), settings.PROVIDER_CA_FILE)


def _purpose(base_url: str, giver: Giver) -> str:
    host, port = _host_of(base_url)
    return f"provider key of {giver} for {urlsplit(base_url).scheme}://{host}:{port}"


def _host_of(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def _refused(sentence: str) -> ValidationFailed:
    return ValidationFailed(
        sentence,
        errors=[{"field": "base_url", "code": "address_refused", "detail": sentence}],
    )
