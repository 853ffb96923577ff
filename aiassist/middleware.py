"""What every answer carries: a request id and the headers Django has no setting for."""

from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware as DjangoCommonMiddleware
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware

from aiassist.lib.request_ids import (
    accepted_or_new,
    current_request_id,
    id_headers,
)
from aiassist.lib.security_headers import SECURITY_HEADERS

# Probes and scrapers call by IP address, which no ALLOWED_HOSTS can name.
_PROBES = ("/health", "/health/detailed", "/metrics")
_PIECE_BYTES = 64 * 1024  # of a static file, read at once


class RequestIdMiddleware:
    """Names each request (`request.request_id`, `X-Request-ID`, the logs).

    A caller's own id is kept when it looks like one, so that a trace can be
    followed through; anything else could forge log lines and is replaced.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = current_request_id.set(_name(request))
        try:
            return _dress(request, self.get_response(request))
        finally:
            current_request_id.reset(token)


def _name(request: HttpRequest) -> str:
    sent = request.headers.get("X-Request-ID", "")
    request_id = accepted_or_new(sent)
    request.request_id = request_id  # type: ignore[attr-defined]
    return request_id


def _dress(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    request_id = str(request.request_id)  # type: ignore[attr-defined]
    for name, value in id_headers(request.path, request_id).items():
        response[name] = value
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if _is_somebodys(request):
        response.headers.setdefault("Cache-Control", "private, no-store")
    return response


def _is_somebodys(request: HttpRequest) -> bool:
    """Tell whether the request says whose it is: its answer is for nobody else.

    Shared caches hold back what `Authorization` asked for, but know neither our
    cookie nor `X-API-Key`. Source: https://www.rfc-editor.org/rfc/rfc9111#section-3.5
    """
    return settings.SESSION_COOKIE_NAME in request.COOKIES or any(
        name in request.META for name in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")
    )


class CommonMiddleware(DjangoCommonMiddleware):
    """Django's, except that probes may call the server by any name.

    And no address, question or cookie holds a NUL: PostgreSQL takes none, so that an
    id, a filter or a session's key with one would be a failure of ours.
    """

    def process_request(
        self, request: HttpRequest
    ) -> HttpResponsePermanentRedirect | None:
        if request.path in _PROBES:
            return None
        if "\0" in request.path:
            raise Http404
        if "%00" in request.META.get("QUERY_STRING", "") or any(
            "\0" in value for value in request.COOKIES.values()
        ):
            raise BadRequest
        return super().process_request(request)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, whose answers an ASGI server can send without a thread of its own.

    Django would read a whole file at once and warn of it.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> WhiteNoiseFileResponse:
        response = WhiteNoiseMiddleware.serve(static_file, request)
        if isinstance(request, ASGIRequest):
            response.streaming_content = _in_threads(response.file_to_stream)
        return response


async def _in_threads(file: BinaryIO | None) -> AsyncIterator[bytes]:
    """Read a file without holding up the event loop; None: there is no body."""
    if file is None:
        return
    read = sync_to_async(file.read, thread_sensitive=False)
    while piece := await read(_PIECE_BYTES):
        yield piece
