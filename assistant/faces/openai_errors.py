"""Errors in OpenAI's shape; what a client does follows from `type` and status.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping
from typing import Any

from aiassist.lib import jsons
from aiassist.lib.errors import AppError

_CODES = {
    "not_authenticated": "invalid_api_key",
    "invalid_credential": "invalid_api_key",
    "malformed_credential": "invalid_api_key",
    "ambiguous_credential": "invalid_api_key",
    "unknown_model": "model_not_found",
    "context_too_large": "context_length_exceeded",
    "prompt_too_long": "context_length_exceeded",
    "quota_exceeded": "rate_limit_exceeded",
}
# What lasts is 4xx, or clients try again and again.
_STATUSES = {
    "unknown_model": 404,
    "context_too_large": 400,
    "provider_misconfigured": 400,
}


class OpenAIErrors:
    """The part of a face that OpenAI's addresses share."""

    def error(self, error: AppError) -> dict[str, Any]:
        return error_body(error)

    def status(self, error: AppError) -> int:
        return wire_status(error)


def wire_status(error: AppError) -> int:
    """Return the status the vendors' own APIs answer with."""
    return _STATUSES.get(error.code, error.status)


def error_body(error: AppError) -> dict[str, Any]:
    return {
        "error": {
            "message": error.sentence,
            "type": type_of(error),
            "param": _param_of(error),
            "code": code_of(error),
        }
    }


def type_of(error: AppError) -> str:
    status = wire_status(error)
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def code_of(error: AppError) -> str:
    return _CODES.get(error.code, error.code)


def data(body: Mapping[str, Any]) -> bytes:
    """Return one event of OpenAI's unnamed kind."""
    return b"data: " + jsons.dumps(body) + b"\n\n"


def _param_of(error: AppError) -> str | None:
    errors = error.details.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("field") or "") or None
    return None
