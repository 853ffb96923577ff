"""What cannot be served: in each face's own shape, elsewhere as a page."""

import sys
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from aiassist.api.problems import problem_page
from aiassist.lib.errors import AppError, NotFound

_SENTENCES = {
    400: ("bad_request", "The request could not be read; check its address and body."),
    403: ("permission_denied", "You may not do this."),
    404: ("not_found", "There is nothing at this address; the addresses are at /docs."),
    500: (
        "internal_error",
        "Something failed on our side and was logged. Try again; if it stays, "
        "report the request_id.",
    ),
    503: (
        "service_unavailable",
        "The database is away. Nothing was lost; try again in a moment.",
    ),
}


def _answer(request: HttpRequest, status: int) -> HttpResponse:
    code, detail = _SENTENCES[status]
    if request.path.startswith(("/api/", "/mcp")):
        return problem_page(request, status=status, code=code, detail=detail)
    if request.path.startswith("/v1/messages"):
        kinds = {404: "not_found_error", 500: "api_error", 503: "overloaded_error"}
        kind = kinds.get(status, "invalid_request_error")
        told = {"type": kind, "message": detail, "code": code}
        return JsonResponse({"type": "error", "error": told}, status=status)
    if request.path.startswith(("/v1/", "/v1beta/")):
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": detail, "type": kind, "param": None, "code": code}
        return JsonResponse({"error": error}, status=status)
    context = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    # A page of its own where there is one; 503 shares 500's.
    name = f"{500 if status == 503 else status}.html"
    return render(request, name, context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    error = sys.exception()
    database_is_away = isinstance(error, OperationalError | InterfaceError)
    return _answer(request, 503 if database_is_away else 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(request, 403)


class AppErrorPages(MiddlewareMixin):
    """Show an AppError that a page raised as a page.

    The API's own doors render theirs before this is asked. A stranger's id ends
    in the very page that an unknown address gets.
    """

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        if not isinstance(exception, AppError):
            return None
        if isinstance(exception, NotFound):
            return page_not_found(request, exception)
        response = _refusal(request, exception)
        if "retry_after_seconds" in exception.details:
            response["Retry-After"] = str(exception.details["retry_after_seconds"])
        return response


def _refusal(request: HttpRequest, error: AppError) -> HttpResponse:
    """Return the page that says what was refused, by which number, and what helps."""
    context = {"error": error, "limits": _numbers(error), "status": error.status}
    name = "429.html" if error.status == 429 else "errors/refusal.html"
    return render(request, name, context, status=error.status)


def _numbers(error: AppError) -> dict[str, object]:
    names = ("policy", "scope", "limit", "used", "resets_at")
    found = {name: error.details.get(name) for name in names}
    return {name: value for name, value in found.items() if value not in (None, "")}
