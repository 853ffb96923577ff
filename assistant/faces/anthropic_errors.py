"""Errors in Anthropic's shape.

Source: https://docs.anthropic.com/en/api/errors
"""

from typing import Any

from aiassist.lib.errors import AppError
from aiassist.lib.request_ids import current_request_id
from assistant.faces.openai_errors import wire_status

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: AppError) -> dict[str, Any]:
    status = wire_status(error)
    fallback = "invalid_request_error" if status < 500 else "api_error"
    return {
        "type": "error",
        "error": {
            "type": _TYPES.get(status, fallback),
            "message": _sentence(error),
            "code": error.code,
        },
        "request_id": current_request_id.get(),
    }


def _sentence(error: AppError) -> str:
    """Return what the client reads. Some go by words, as Claude Code does here."""
    if error.code not in ("context_too_large", "prompt_too_long"):
        return error.sentence
    used, limit = error.details.get("used"), error.details.get("limit")
    known = f": {used} tokens > {limit} maximum" if used and limit else ""
    return f"prompt is too long{known}. {error.sentence}"


class AnthropicErrors:
    """The part of a face that Anthropic's addresses share."""

    def error(self, error: AppError) -> dict[str, Any]:
        return error_body(error)

    def status(self, error: AppError) -> int:
        status = wire_status(error)
        return 529 if status == 503 else status  # its word for being overloaded
