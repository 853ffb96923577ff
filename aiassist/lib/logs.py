"""Log lines: JSON or readable, each with its request id, none with a secret.

Code never logs secrets, prompts or users' code; what is cut here is the last line
of defence against a library that does.
"""

import logging
import re
from types import TracebackType
from typing import Any, ClassVar

from pythonjsonlogger.json import JsonFormatter

from aiassist.lib.request_ids import current_request_id

_CUT = "[redacted]"
_SECRETS = (
    # Our API keys, whole or with a digit lost in copying.
    re.compile(r"\baia_[0-9A-Za-z]{16,}"),
    re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"),
    # JSON Web Tokens. Source: RFC 7519, section 3.1
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),
    # Keys of providers, webhooks and the like.
    re.compile(r"\b(?:sk|pk|rk|whsec|ghp|gho|github_pat|AIza)[-_]?[\w-]{16,}"),
    # The password of a URL.
    re.compile(r"(?<=://)[^\s:/@]*:[^\s/@]+(?=@)"),
    re.compile(
        r"(?i)(?<![\w])(?:password|passwd|secret|api[_-]?key|token|authorization)"
        r"[\"']?\s*[=:]\s*[\"']?[^\s\"',;&]{6,}"
    ),
    # PostgreSQL quotes a refused row's values, which may be code or a prompt.
    re.compile(r"(?m)^\s*(?:DETAIL|CONTEXT):.*$"),
)
_QUERY = re.compile(r"\?[^\s\"']*")


def redacted(text: str) -> str:
    """Return the text without anything that looks like a secret."""
    for pattern in _SECRETS:
        text = pattern.sub(_CUT, text)
    return text


class RequestIdFilter(logging.Filter):
    """Adds `request_id`, empty outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


class WithoutQuery(logging.Filter):
    """Cuts query strings from uvicorn's access lines: they may hold a search."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _QUERY.sub("", value) if isinstance(value, str) else value
                for value in record.args
            )
        return True


class HostileInOneLine(logging.Filter):
    """Cuts tracebacks where Django refuses a request: anybody may send thousands."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True


class JsonLines(JsonFormatter):
    """One JSON object a line. Only named fields: an `extra` may hold anything."""

    fields: ClassVar[tuple[str, ...]] = (
        *("timestamp", "level", "logger", "message", "request_id", "status_code"),
        *("exc_info", "stack_info", "process"),
    )

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message", "process"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {
            name: redacted(value) if isinstance(value, str) else value
            for name in self.fields
            if (value := log_data.get(name)) not in (None, "")
        }


class ReadableLines(logging.Formatter):
    """For people: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))

    def formatException(  # noqa: N802 - the base class's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return redacted(super().formatException(ei))
