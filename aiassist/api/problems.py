"""Errors as `application/problem+json`.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

import logging
import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from aiassist.lib.errors import (
    AppError,
    NotFound,
    PermissionDenied,
    ServiceUnavailable,
    TooLarge,
    UnreadableBody,
    ValidationFailed,
)

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

# DRF's own exceptions, in our words: code and what to do about it.
_DRF = {
    drf.NotAuthenticated: (
        "not_authenticated",
        "Send an API key in 'Authorization: Bearer' or 'X-API-Key', or sign in.",
    ),
    drf.MethodNotAllowed: (
        "method_not_allowed",
        "This address does not take this method; see the Allow header.",
    ),
    drf.UnsupportedMediaType: (
        "unsupported_media_type",
        "Send the body with a media type that this address takes; see /docs.",
    ),
    drf.NotAcceptable: (
        "not_acceptable",
        "This address answers JSON; send 'Accept: application/json'.",
    ),
}


def problem_body(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the members of a problem; `extra` never overrides them."""
    return {
        **(extra or {}),
        "type": f"/guides/errors/#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def request_id_of(request: object) -> str:
    """Return the id that the middleware gave to the request."""
    plain = getattr(request, "_request", request)
    return str(getattr(plain, "request_id", ""))


def as_app_error(error: Exception) -> AppError | None:
    """Translate Django's and DRF's exceptions; None for those of nobody's making."""
    match error:
        case AppError():
            return error
        case Http404():
            return NotFound()
        case DjangoPermissionDenied():
            return PermissionDenied()
        case OperationalError() | InterfaceError():
            return ServiceUnavailable(
                "The database is away. Nothing was lost; try again in a moment."
            )
        case RequestDataTooBig():
            return body_too_large()
        case drf.ParseError():
            return UnreadableBody()
        case drf.ValidationError():
            return ValidationFailed(errors=list(field_errors(error.get_full_details())))
    return None


def body_too_large() -> TooLarge:
    """Return the refusal of a body that is not even read to its end."""
    return TooLarge(
        "The body is larger than this address takes.",
        policy="body_bytes",
        scope="request",
        limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        used=None,
        resets_at=None,
        alternatives=["Send less at once."],
    )


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a DRF view; None lets Django answer 500."""
    request_id = request_id_of(context.get("request"))
    known = as_app_error(error)
    if known is not None:
        status, headers = known.status, headers_of(known)
        body = problem_body(
            status=status,
            code=known.code,
            detail=known.sentence,
            request_id=request_id,
            extra=public_details(known),
        )
    elif isinstance(error, drf.APIException):
        code, detail = _DRF.get(
            type(error), (str(error.default_code), str(error.detail))
        )
        status = error.status_code
        headers = dict(_drf_headers(error))
        body = problem_body(
            status=status, code=code, detail=detail, request_id=request_id
        )
    else:
        return None
    set_rollback()
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="aiassist"')
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def public_details(error: AppError) -> dict[str, Any]:
    """Return an error's details that belong into the answer's body."""
    return {k: v for k, v in error.details.items() if k != "headers"}


def headers_of(error: AppError) -> dict[str, str]:
    """Return Retry-After and whatever headers the refusal carries."""
    headers: dict[str, str] = {}
    given = error.details.get("headers")
    if isinstance(given, dict):
        headers.update({str(k): str(v) for k, v in given.items()})
    if (seconds := error.details.get("retry_after_seconds")) is not None:
        headers["Retry-After"] = str(seconds)
    elif error.status == 503:
        headers["Retry-After"] = "5"
    return headers


def field_errors(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Flatten DRF's nested details to {field, code, detail}."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {
            "field": path,
            "code": str(details["code"]),
            "detail": str(details["message"]),
        }
    elif isinstance(details, dict):
        for name, inner in details.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from field_errors(inner, ".".join(filter(None, (path, own))))
    else:
        for index, inner in enumerate(details):
            nested = isinstance(inner, dict) and "message" not in inner
            yield from field_errors(inner, f"{path}.{index}" if nested else path)


def _drf_headers(error: drf.APIException) -> Iterator[tuple[str, str]]:
    if (wait := getattr(error, "wait", None)) is not None:
        yield "Retry-After", str(math.ceil(wait))
    if (header := getattr(error, "auth_header", None)) is not None:
        yield "WWW-Authenticate", str(header)


def problem_page(
    request: HttpRequest, *, status: int, code: str, detail: str
) -> JsonResponse:
    """Answer outside DRF (an unknown path, a crash) in the same shape."""
    body = problem_body(
        status=status, code=code, detail=detail, request_id=request_id_of(request)
    )
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)
