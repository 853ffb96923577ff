"""The id of the request being served, for logs, the ledger and the answer."""

import re
from contextvars import ContextVar

from aiassist.lib.ids import new_id

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")


def accepted_or_new(sent: str) -> str:
    """Return the caller's own id when it looks like one, else a new one.

    Anything else could forge log lines.
    """
    return sent if _ACCEPTED.fullmatch(sent) else new_id("req")


def id_headers(path: str, request_id: str) -> dict[str, str]:
    """Return the headers that tell it; Anthropic's clients look for their own name."""
    told = {"X-Request-ID": request_id}
    if path.startswith("/v1/messages"):
        told["request-id"] = request_id
    return told
