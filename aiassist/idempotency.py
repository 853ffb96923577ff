"""The door of `Idempotency-Key`: before the views of /api/v1 and /v1, for POSTs.

What the view answers is kept as it leaves, a stream too, once its last byte was made.
Calls without the header pass by untouched, and so do those without a credential.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import Context
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from accounts import idempotency
from accounts.idempotency import Answer, Claim
from accounts.principals import Principal, resolve
from aiassist.api.problems import (
    CONTENT_TYPE,
    headers_of,
    problem_body,
    public_details,
    request_id_of,
)
from aiassist.lib.db import in_background, in_db, keep, thread_of_its_own
from aiassist.lib.errors import AppError, ServiceUnavailable
from aiassist.lib.request_ids import current_request_id
from assistant.faces.anthropic_errors import AnthropicErrors
from assistant.faces.openai_errors import OpenAIErrors

HEADER = "Idempotency-Key"
_PIECE_BYTES = 256 * 1024
# Of the moment of the first answer, or added anew to each.
_NOT_KEPT = (
    *("set-cookie", "content-length", "request-id", "x-request-id"),
    *("ratelimit", "x-ratelimit"),
)

GetResponse = Callable[[HttpRequest], Any]


class IdempotencyMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        if not _is_meant(request):
            return self._plain(request)
        begun = _begin(request)
        if not isinstance(begun, Claim):
            return begun if begun is not None else self._plain(request)
        try:
            response = self._plain(request)
        except BaseException:
            begun.lose()
            raise
        return _finish(begun, response)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_meant(request):
            return await self._aplain(request)
        begun = await in_db(_begin, request)
        if not isinstance(begun, Claim):
            return begun if begun is not None else await self._aplain(request)
        # In a context of its own, as the request's threads end with its reader.
        working = asyncio.get_running_loop().create_task(
            self._work(begun, request, current_request_id.get()), context=Context()
        )
        keep(working)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            # The caller has hung up. The work goes on to its end, so that its answer
            # is there when they ask again; a stream that nobody reads is ended.
            working.add_done_callback(_close_unread)
            raise

    async def _work(
        self, claim: Claim, request: HttpRequest, request_id: str
    ) -> HttpResponseBase:
        current_request_id.set(request_id)
        try:
            async with thread_of_its_own():
                response = await self._aplain(request)
        except BaseException:
            await in_background(claim.lose)
            raise
        return await in_background(_finish, claim, response)

    def _plain(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        assert isinstance(response, HttpResponseBase)
        return response

    async def _aplain(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return response


def _close_unread(working: "asyncio.Future[HttpResponseBase]") -> None:
    if not working.cancelled() and working.exception() is None:
        keep(asyncio.ensure_future(in_background(working.result().close)))


def _is_meant(request: HttpRequest) -> bool:
    return (
        request.method == "POST"
        and HEADER in request.headers
        and request.path.startswith(("/api/v1/", "/v1/"))
    )


def _begin(request: HttpRequest) -> Claim | HttpResponse | None:
    """Return the claim, or the answer; None lets the view refuse the request."""
    try:
        principal = resolve(request)
        if principal is None:
            return None
        fingerprint = _fingerprint(request, principal)
    except (AppError, RequestDataTooBig, DatabaseError):
        return None
    try:
        key = request.headers[HEADER]
        begun = idempotency.begin(principal.user, key, fingerprint)
    except AppError as error:
        return _refusal(request, error)
    except (OperationalError, InterfaceError):
        # Whether it was made before cannot be known now.
        return _refusal(request, ServiceUnavailable())
    return begun if isinstance(begun, Claim) else _again(begun)


def _fingerprint(request: HttpRequest, principal: Principal) -> str:
    """Return a digest of what is asked, and with which rights."""
    digest = hmac.new(idempotency.fingerprint_key(), digestmod=hashlib.sha256)
    media_type = (request.content_type or "").lower()
    for part in (request.get_full_path(), media_type, *sorted(principal.scopes)):
        digest.update(part.encode("utf-8", "replace") + b"\0")
    for piece in _body(request, media_type):
        digest.update(piece)
    return digest.hexdigest()


def _body(request: HttpRequest, media_type: str) -> Iterator[bytes]:
    """Yield the body and leave it to be read again.

    Raises RequestDataTooBig where the view will refuse it anyway.
    """
    stream: Any = getattr(request, "_stream", None)
    seekable = getattr(stream, "seekable", None)
    if seekable is not None and seekable():  # as an ASGI server hands it over
        stream.seek(0)
        while piece := stream.read(_PIECE_BYTES):
            yield piece
        stream.seek(0)
    elif media_type.startswith("multipart/"):
        # Read but once: its parts are told apart by their length alone.
        yield request.headers.get("Content-Length", "").encode()
    else:
        yield request.body


def _finish(claim: Claim, response: HttpResponseBase) -> HttpResponseBase:
    """Keep the answer, now or as it is streamed."""
    if response.status_code >= 400:
        claim.give_up()
    elif isinstance(response, StreamingHttpResponse):
        _record(claim, response)
    elif isinstance(response, HttpResponse):
        claim.keep(Answer(response.status_code, _kept_of(response), response.content))
    return response


class _Recording:
    """A stream on its way: its pieces are kept until it is closed."""

    def __init__(self, claim: Claim, response: StreamingHttpResponse) -> None:
        self._claim = claim
        self._status, self._headers = response.status_code, _kept_of(response)
        self._had_no_effect: Callable[[], bool] | None = getattr(
            response, "had_no_effect", None
        )
        self._pieces: list[bytes] = []
        self._n_bytes = 0
        self._is_whole = False

    def take(self, piece: bytes) -> None:
        self._n_bytes += len(piece)
        if self._n_bytes <= idempotency.MAX_ANSWER_BYTES:
            self._pieces.append(piece)

    def end(self) -> None:
        self._is_whole = True

    def close(self) -> None:
        """Called by Django when the response is done with, read or not."""
        if self._had_no_effect is not None and self._had_no_effect():
            self._claim.give_up()
        elif self._is_whole and self._n_bytes <= idempotency.MAX_ANSWER_BYTES:
            body = b"".join(self._pieces)
            self._claim.keep(Answer(self._status, self._headers, body))
        else:
            self._claim.lose()


class _SyncRecording(_Recording):
    def __init__(self, claim: Claim, response: StreamingHttpResponse) -> None:
        super().__init__(claim, response)
        self._source: Any = response.streaming_content

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._source:
            self.take(piece)
            yield piece
        self.end()


class _AsyncRecording(_Recording):
    def __init__(self, claim: Claim, response: StreamingHttpResponse) -> None:
        super().__init__(claim, response)
        self._source: Any = response.streaming_content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source:
            self.take(piece)
            yield piece
        self.end()


def _record(claim: Claim, response: StreamingHttpResponse) -> None:
    kind = _AsyncRecording if response.is_async else _SyncRecording
    response.streaming_content = kind(claim, response)


def _kept_of(response: HttpResponseBase) -> dict[str, str]:
    return {
        name: value
        for name, value in response.items()
        if not name.lower().startswith(_NOT_KEPT)
    }


def _again(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    for name, value in answer.headers.items():
        response[name] = value
    response["Idempotent-Replayed"] = "true"
    return response


def _refusal(request: HttpRequest, error: AppError) -> HttpResponse:
    """Answer in the shape of the address."""
    if request.path.startswith("/api/"):
        body = problem_body(
            status=error.status,
            code=error.code,
            detail=error.sentence,
            request_id=request_id_of(request),
            extra=public_details(error),
        )
        return JsonResponse(
            body,
            status=error.status,
            headers=headers_of(error),
            content_type=CONTENT_TYPE,
        )
    face: Any = OpenAIErrors()
    if request.path.startswith("/v1/messages"):
        face = AnthropicErrors()
    return JsonResponse(
        face.error(error), status=face.status(error), headers=headers_of(error)
    )
