"""Addresses that a user or staff gave: called by the rules for such, with their key."""

import json as jsonlib
from contextlib import AbstractAsyncContextManager

from aiassist.lib.egress import Answer, Caps, Destination, open_destination
from aiassist.lib.public_egress import NOBODY, Trust, open_url
from aiassist.lib.records import record


@record(frozen=True, slots=True)
class GivenDestination(Destination):
    """Public, or one of `trust`; its headers hold the key that was given with it."""

    trust: Trust = NOBODY


def opened(
    destination: Destination,
    method: str,
    path: str,
    *,
    json: object = None,
    caps: Caps | None = None,
) -> AbstractAsyncContextManager[Answer]:
    """Call a destination, by the door that its kind has to take."""
    if not isinstance(destination, GivenDestination):
        return open_destination(destination, method, path, json=json, caps=caps)
    headers = dict(destination.headers)
    content = None
    if json is not None:
        content = jsonlib.dumps(json, separators=(",", ":")).encode()
        headers["Content-Type"] = "application/json"
    # The slash between keeps a path from changing the host.
    url = destination.base_url.rstrip("/") + "/" + path.lstrip("/")
    return open_url(
        method,
        url,
        content=content,
        headers=headers,
        caps=caps,
        trust=destination.trust,
    )
