"""Secrets and signatures of Standard Webhooks.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_MARK = "whsec_"
_N_BYTES = 32


def new_secret() -> str:
    """Return `whsec_` and 32 random bytes in base64."""
    return _MARK + base64.b64encode(secrets.token_bytes(_N_BYTES)).decode()


def signed_headers(
    *, event_id: str, timestamp: int, body: bytes, keys: Iterable[str]
) -> dict[str, str]:
    """Return the headers that prove a message: one signature for each secret."""
    signatures = (_signature(key, event_id, timestamp, body) for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_MARK))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
