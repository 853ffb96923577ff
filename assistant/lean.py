"""The faces without the framework's stack: what a metered streaming call costs most.

A POST to a face with a credential in its headers is answered here: one Redis call
says who calls and whether they may (`billing.metering.entry`), the face reads the body,
the turn runs, its bytes go out, one Redis call settles. No middleware, no thread, no
SQL.
All else goes on to Django, and so does whatever this door does not fully understand
(a browser's Origin, another media type, an unknown Host): the same faces stand behind
its views, so that the answer is the same, a little later.

    scope ─► is it ours? ─► aenter ─► body ─► face.read ─► open_admitted ─► Turn
                └─ no: Django                    bytes ◄── face.writer ◄──────┘
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from aiassist.api.problems import (
    CONTENT_TYPE,
    as_app_error,
    body_too_large,
    headers_of,
)
from aiassist.lib import jsons
from aiassist.lib.asgi import App, Receive, Scope, Send, end_unclean
from aiassist.lib.db import keep
from aiassist.lib.errors import AppError, QuotaExceeded, UnreadableBody
from aiassist.lib.metrics import count_answer
from aiassist.lib.request_ids import (
    accepted_or_new,
    current_request_id,
    id_headers,
)
from aiassist.lib.security_headers import SECURITY_HEADERS
from assistant.api import answers
from assistant.faces.base import HEAD_START_SECONDS, Face, Wanted, Writer
from assistant.faces.chat import ChatFace
from assistant.faces.completions import CompletionsFace, face_of
from assistant.faces.messages import MessagesFace
from assistant.faces.reading import body_of
from assistant.faces.responses import ResponsesFace
from assistant.floods import Floods
from assistant.gateway.open import give_back, open_admitted
from assistant.gateway.outcome import Result
from assistant.gateway.turn import Opening, Show, Turn
from assistant.providers.base import Delta
from billing.metering.entry import aenter
from billing.metering.ledger import arelease

logger = logging.getLogger(__name__)

# Counting the tokens of a longer body would hold the others up, so a thread does it.
SHORT_BYTES = 16_384
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class _Address:
    face: Face
    feature: str = "basic_chat"
    # A vendor's stream waits for its first token, as its clients act upon the status
    # of a failing provider. Ours opens at once, so that citations are there before.
    opens_at_once: bool = False
    error_type: str = "application/json"


def _own(face: answers.AnswerFace) -> _Address:
    return _Address(face, face.feature, True, CONTENT_TYPE)


_FACES = {
    "/v1/chat/completions": _Address(ChatFace()),
    "/v1/completions": _Address(CompletionsFace(), "inline_completion"),
    "/v1/messages": _Address(MessagesFace()),
    "/v1/responses": _Address(ResponsesFace()),
    "/api/v1/assistant/chat": _own(answers.CHAT),
    "/api/v1/assistant/explain": _own(answers.EXPLAIN),
    "/api/v1/assistant/generate": _own(answers.GENERATE),
    "/api/v1/assistant/complete": _own(answers.COMPLETE),
}


class LeanFaces:
    """Wraps the site; answers what it knows itself."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._floods = Floods()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = _FACES.get(scope.get("path", ""))
        if address is None or not _is_ours(scope):
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        request_id = accepted_or_new(headers.get("x-request-id", ""))
        current_request_id.set(request_id)
        call = _Call(scope, headers, request_id, address, receive, send)
        try:
            self._floods.check(headers)
            await call.answer()
        except QuotaExceeded as error:
            # It is told before the body is read, so that Django may still do it.
            self._floods.count(headers)
            if settings.LOCAL_FALLBACK_PER_HOUR:
                await self._app(scope, receive, send)
            else:
                await call.refuse(error)
        except AppError as error:
            if not call.has_begun:
                self._floods.count(headers)
            await call.refuse(error)
        # The outermost loop of this door: a crash is logged by kind and place, as its
        # text may hold a prompt, and answered in the face's own shape.
        except Exception as error:
            known = as_app_error(error)
            if known is None:
                _log(error)
            await call.refuse(known or _InternalError())


class _Call:
    """One request on its way."""

    def __init__(
        self,
        scope: Scope,
        headers: dict[str, str],
        request_id: str,
        address: _Address,
        receive: Receive,
        send: Send,
    ) -> None:
        self._scope = scope
        self._headers = headers
        self._request_id = request_id
        self._address = address
        self._receive = receive
        self._send = send
        self.has_begun = False
        self._leaving: asyncio.Task[None] | None = None
        # Of a stream, once it is open.
        self._turn: Turn | None = None
        self._writer: Writer | None = None
        self._began_at = 0.0

    async def answer(self) -> None:
        """Admit, read, run, send. Raises AppError while nothing was sent."""
        entered = await aenter(
            self._scope["headers"],
            feature=self._address.feature,
            endpoint=f"POST {self._scope['path']}",
            request_id=self._request_id,
            scope="assistant",
        )
        admission = entered.admission
        try:
            raw = await self._body()
            body = None if raw is None else parsed(raw)
            face = self._face_of(body)
            wanted = face.read(body_of(body), self._headers) if raw else None
        except BaseException as error:
            await give_back(admission, error)
            raise
        if wanted is None or raw is None:  # the caller left while sending
            await arelease(admission)
            return
        ask = wanted.ask(
            principal=entered.principal,
            endpoint=f"POST {self._scope['path']}",
            request_id=self._request_id,
        )
        turn = await open_admitted(ask, admission, is_short=len(raw) <= SHORT_BYTES)
        self._turn, self._began_at = turn, time.monotonic()
        turn.on_look = self._look
        try:
            if wanted.stream:
                await self._stream(turn, face.writer(turn, wanted))
            else:
                await self._whole(turn, face, wanted)
        finally:
            if self._leaving is not None:
                self._leaving.cancel()

    async def refuse(self, error: AppError) -> None:
        """Answer an error in the face's shape, or end an open stream with it."""
        if self.has_begun:
            if self._writer is not None:
                await self._piece(self._writer.failure(error))
            end_unclean()
            return
        face = self._address.face
        status = face.status(error)
        headers = headers_of(error)
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="aiassist"')
        await self._json(status, face.error(error), headers, self._address.error_type)

    def _face_of(self, body: object) -> Face:
        if isinstance(self._address.face, CompletionsFace):
            return face_of(body)
        return self._address.face

    async def _body(self) -> bytes | None:
        """Return the whole body; None when the caller left. Raises TooLarge."""
        parts: list[bytes] = []
        n_bytes = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            n_bytes += len(parts[-1])
            if n_bytes > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
                raise body_too_large()
            if not message.get("more_body"):
                return b"".join(parts)

    def _look(self, is_silent: bool) -> None:
        """Called twice a second while the turn runs: is its reader still there?

        Most calls that are not streamed are over by then, and cost no task for this.
        """
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._until_gone())
        if self._writer is None:
            return
        if not self.has_begun:
            if time.monotonic() > self._began_at + HEAD_START_SECONDS:
                keep(asyncio.ensure_future(self._open_stream()))
        elif is_silent:
            keep(asyncio.ensure_future(self._piece(self._writer.heartbeat)))

    async def _until_gone(self) -> None:
        """End the turn when its reader goes (S1)."""
        while (await self._receive())["type"] != "http.disconnect":
            continue
        if self._turn is not None:
            self._turn.leave()

    async def _stream(self, turn: Turn, writer: Writer) -> None:
        self._writer, send = writer, self._send

        async def show(delta: Delta) -> None:
            if not self.has_begun:
                await self._open_stream()
            if piece := writer.delta(delta):
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": True}
                )

        opening = self._open_stream if self._address.opens_at_once else None
        result = await _ran(turn, show, opening)
        if result is None:
            return
        if not self.has_begun:
            await self._open_stream()
        await self._send({"type": "http.response.body", "body": writer.ending(result)})

    async def _open_stream(self) -> None:
        if self.has_begun or self._turn is None or self._writer is None:
            return
        headers = self._turn.admission.limits.headers() | self._turn.route.headers()
        await self._begin(200, headers | _STREAM_HEADERS)
        if opening := self._writer.opening():
            await self._piece(opening)

    async def _piece(self, piece: bytes) -> None:
        await self._send(
            {"type": "http.response.body", "body": piece, "more_body": True}
        )

    async def _whole(self, turn: Turn, face: Face, wanted: Wanted) -> None:
        deltas: list[Delta] = []

        async def show(delta: Delta) -> None:
            deltas.append(delta)

        if await _ran(turn, show) is None:
            return
        headers = turn.admission.limits.headers() | turn.route.headers()
        await self._json(200, face.whole(turn, deltas, wanted), headers)

    async def _json(
        self,
        status: int,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        media_type: str = "application/json",
    ) -> None:
        raw = jsons.dumps(body)
        own = {"Content-Type": media_type, "Content-Length": str(len(raw))}
        await self._begin(status, {**headers, **own})
        await self._send({"type": "http.response.body", "body": raw})

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.has_begun = True
        count_answer(status)
        told = {**headers, **id_headers(self._scope["path"], self._request_id)}
        given = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in told.items()
        ]
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*given, *_ALWAYS],
            }
        )


async def _ran(turn: Turn, show: Show, opening: Opening = None) -> Result | None:
    """Run the turn; None: nobody hears how it ended. Raises the error that ended it."""
    await turn.run(show, opening)
    result = turn.result
    if result is None or result.is_unheard:
        return None
    if result.error is not None:
        result.error.details.setdefault("headers", turn.limit_headers())
        raise result.error
    return result


class _InternalError(AppError):
    code, status, permanent = "internal_error", 500, False
    message = (
        "Something failed on our side and was logged. Try again; if it stays, report "
        "the request id."
    )


def parsed(raw: bytes) -> Any:
    """Return the body's JSON; what is refused here is refused in Django, too."""
    try:
        return jsons.strict(raw)
    except (ValueError, RecursionError):
        raise UnreadableBody from None


def _is_ours(scope: Scope) -> bool:
    """Tell whether we understand all that matters about this request."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    has_credential, media_type, host = False, b"", b""
    for name, value in scope["headers"]:
        if name in (b"authorization", b"x-api-key"):
            has_credential = True
        elif name == b"content-type":
            media_type = value
        elif name == b"host":
            host = value
        elif name in (b"origin", b"content-encoding", b"idempotency-key"):
            return False
    return (
        has_credential
        and media_type.split(b";")[0].strip().lower() == b"application/json"
        and _is_known(host, tuple(settings.ALLOWED_HOSTS))
        and (not settings.SECURE_SSL_REDIRECT or _is_secure(scope))
    )


@lru_cache(maxsize=256)
def _is_known(host: bytes, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed)


def _is_secure(scope: Scope) -> bool:
    if scope.get("scheme") == "https":
        return True
    if not settings.SECURE_PROXY_SSL_HEADER:
        return False
    name, wanted = settings.SECURE_PROXY_SSL_HEADER
    raw_name = name.removeprefix("HTTP_").replace("_", "-").lower().encode()
    given = [value for key, value in scope["headers"] if key == raw_name]
    return bool(given) and given[0].split(b",")[0].strip() == wanted.encode()


def _always() -> Iterator[tuple[bytes, bytes]]:
    headers = SECURITY_HEADERS | {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
        "Vary": "Origin",
    }
    if settings.SECURE_HSTS_SECONDS:
        headers["Strict-Transport-Security"] = (
            f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
        )
    for name, value in headers.items():
        yield name.lower().encode("latin-1"), value.encode("latin-1")


_ALWAYS = tuple(_always())


def _log(error: Exception) -> None:
    logger.error(
        "a face failed unexpectedly",
        extra={
            "error_type": type(error).__name__,
            "frames": traceback.format_tb(error.__traceback__)[-4:],
        },
    )
