"""The key that signs ID tokens: the environment's, else one made and kept sealed."""

from allauth.idp.oidc.models import PrivateKey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from accounts.models import SigningKey
from aiassist.lib.vault import SealBroken, seal, unseal

_BITS = 2048
_PURPOSE = "oidc signing key"


def kept_keys() -> list[PrivateKey]:
    """Return the database's keys that still open, the newest first; makes the first.

    Two processes that make one at once keep both: either signs, both are published.
    """
    found = [key for row in SigningKey.objects.all() if (key := _opened(row))]
    if found:
        return found
    row = SigningKey.objects.create(sealed=seal(_new_pem(), purpose=_PURPOSE))
    key = _opened(row)
    assert key is not None  # sealed a moment ago
    return [key]


def _opened(row: SigningKey) -> PrivateKey | None:
    try:
        pem = unseal(row.sealed, purpose=_PURPOSE)
    except SealBroken:  # its SECRET_KEY is gone, and with it the key
        return None
    return PrivateKey(pem=pem, issued_at=row.created_at)


def _new_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
