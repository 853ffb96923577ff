"""Secrets that must be read again: sealed with AES-256-GCM under a versioned key.

A sealed text is `v1.<key id>.<base64 of nonce and ciphertext>`. DATA_KEY seals, else a
key of SECRET_KEY; that one and both PREVIOUS ones still open what they sealed. The
purpose is bound in, so that a sealed text of one place does not open in another.
Source: https://csrc.nist.gov/pubs/sp/800/38/d/final
"""

import base64
import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_VERSION = "v1"
_NONCE_BYTES = 12


class SealBroken(Exception):
    """The text was sealed under a key that is gone, for another purpose, or changed."""


def seal(text: str, *, purpose: str) -> str:
    """Return the text sealed; sealing twice gives two results."""
    key = _keys()[0]
    nonce = secrets.token_bytes(_NONCE_BYTES)
    body = AESGCM(_derived(key, purpose)).encrypt(
        nonce, text.encode(), purpose.encode()
    )
    packed = base64.urlsafe_b64encode(nonce + body).decode()
    return f"{_VERSION}.{_key_id(key)}.{packed}"


def unseal(sealed: str, *, purpose: str) -> str:
    """Return the text. Raises SealBroken."""
    version, _, rest = sealed.partition(".")
    key_id, _, packed = rest.partition(".")
    for key in _keys():
        if version == _VERSION and _key_id(key) == key_id:
            return _opened(packed, key, purpose)
    raise SealBroken


def _opened(packed: str, key: str, purpose: str) -> str:
    try:
        raw = base64.urlsafe_b64decode(packed)
        nonce, body = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        cipher = AESGCM(_derived(key, purpose))
        return cipher.decrypt(nonce, body, purpose.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error


def _keys() -> list[str]:
    """Return the key that seals, then those that only open."""
    signing = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    of_signing = [f"data key of {key}" for key in signing]
    keys = [settings.DATA_KEY, *of_signing, settings.DATA_KEY_PREVIOUS]
    return [key for key in keys if key]


def _derived(key: str, purpose: str) -> bytes:
    # The keys are long and random, so one hash suffices to spread them.
    return hashlib.sha256(
        b"\0".join((b"seal", purpose.encode(), key.encode()))
    ).digest()


def _key_id(key: str) -> str:
    return hashlib.sha256(b"key id\0" + key.encode()).hexdigest()[:8]
