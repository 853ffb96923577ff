"""The HTTP door of every face: one view runs them all."""

from collections.abc import AsyncGenerator
from typing import Any, ClassVar, cast

from django.http import StreamingHttpResponse
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from aiassist.api.problems import as_app_error, headers_of
from aiassist.lib.errors import AppError, NotAuthenticated, PermissionDenied
from assistant.api.base import AsyncView
from assistant.api.streams import stream_response
from assistant.faces.base import HEAD_START_SECONDS, Face, Wanted, written
from assistant.faces.openai_errors import OpenAIErrors
from assistant.faces.reading import body_of
from assistant.gateway.open import open_turn
from assistant.gateway.turn import ReadTurn, Turn


class ErrorShape(OpenAIErrors):
    """OpenAI's, for addresses that are no face of their own."""


class WireView(AsyncView):
    """A view whose errors have the shape of its wire format."""

    errors: ClassVar[Any] = ErrorShape()

    def get_exception_handler(self) -> Any:
        return self._in_shape

    def _in_shape(self, error: Exception, context: dict[str, Any]) -> Response | None:
        """Answer an exception in the face's shape; None lets Django answer 500."""
        known = as_app_error(error) or _from_drf(error)
        if known is None:
            return None
        headers = headers_of(known)
        status = self.errors.status(known)
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="aiassist"')
        return Response(self.errors.error(known), status=status, headers=headers)


class FaceView(WireView):
    """Runs one turn: the face reads the body and writes the answer."""

    face: ClassVar[Face]
    asks_provider = True  # for the OpenAPI document
    # A stream's status line leaves with the first token or after this long: until then
    # a failing provider can still be told by its status, which clients act upon.
    head_start_seconds: ClassVar[float] = HEAD_START_SECONDS

    @property
    def errors(self) -> Any:
        return self.face

    async def answer(
        self, request: Request, face: Face | None = None
    ) -> Response | StreamingHttpResponse:
        """Answer as the face says, at once or streamed."""
        face = face or self.face
        headers = {name.lower(): value for name, value in request.headers.items()}
        wanted = face.read(body_of(request.data), headers)
        turn = await open_turn(wanted.ask(**self.call()))
        if not wanted.stream:
            return await self._at_once(turn, wanted, face)
        if self.head_start_seconds:
            await turn.head_start(self.head_start_seconds)

        def render(turn: ReadTurn) -> AsyncGenerator[bytes, None]:
            return written(turn, face.writer(turn, wanted))

        return cast(
            StreamingHttpResponse, _with_route(stream_response(turn, render), turn)
        )

    async def _at_once(self, turn: ReadTurn, wanted: Wanted, face: Face) -> Response:
        try:
            deltas = await turn.collect()
        except AppError as error:
            error.details.setdefault("headers", turn.limit_headers())
            raise
        body = face.whole(turn, deltas, wanted)
        response = Response(body, headers=turn.admission.limits.headers())
        return cast(Response, _with_route(response, turn))


def _from_drf(error: Exception) -> AppError | None:
    match error:
        case drf.NotAuthenticated():
            return NotAuthenticated()
        case drf.PermissionDenied():  # a session's POST without its CSRF token
            return PermissionDenied()
        case drf.MethodNotAllowed():
            return MethodNotAllowed()
        case drf.UnsupportedMediaType():
            return UnsupportedMediaType()
    return None


class MethodNotAllowed(AppError):
    code, status = "method_not_allowed", 405
    message = "This address does not take this method."


class UnsupportedMediaType(AppError):
    code, status = "unsupported_media_type", 415
    message = "Send the body as application/json."


def _with_route(
    response: Response | StreamingHttpResponse, turn: Turn
) -> Response | StreamingHttpResponse:
    """Say in headers who answers."""
    for name, value in turn.route.headers().items():
        response[name] = value
    return response
