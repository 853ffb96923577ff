"""Opaque public ids and the base62 they are written in."""

import os
import string
from collections import deque

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHARACTERS = bytes(BASE62[byte % 62].encode()[0] for byte in range(256))
_UNEVEN = bytes(range(256 // 62 * 62, 256))


def base62_random(length: int) -> str:
    """Return `length` random base62 characters (5.95 bits each)."""
    found = b""
    while len(found) < length:
        # Bytes above the last whole 62 are dropped, so that no character is likelier.
        found += os.urandom(length + 8).translate(_CHARACTERS, _UNEVEN)
    return found[:length].decode("ascii")


def base62_encode(number: int, width: int) -> str:
    """Return `number` in base62, left-padded with zeros to `width`."""
    digits = []
    while number:
        number, remainder = divmod(number, 62)
        digits.append(BASE62[remainder])
    return "".join(reversed(digits)).rjust(width, "0")


def new_id(prefix: str) -> str:
    """Return an id such as `job_` + 22 base62 characters (131 bits)."""
    try:
        random = _ready.pop()
    except IndexError:
        # Each call has some ids, and the kernel is asked for many at once.
        text = base62_random(_N_ID * 64)
        _ready.extend(text[at : at + _N_ID] for at in range(_N_ID, len(text), _N_ID))
        random = text[:_N_ID]
    return f"{prefix}_{random}"


_N_ID = 22
_ready: deque[str] = deque()  # each is taken by one thread only
os.register_at_fork(after_in_child=_ready.clear)
