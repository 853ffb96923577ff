"""Refuse an upload that can never fit before its body is read.

Django's ASGI handler takes the whole body to disk before any view runs. So a large
one is judged here: by its Content-Length at once, else while it comes in. Small
bodies and everything without one pass untouched. A compressed body is inflated here,
within the same limits, so that no view need know of it (F1).
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from importlib import import_module
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.handlers.asgi import ASGIRequest

from accounts.principals import Principal, resolve
from aiassist.api.problems import CONTENT_TYPE, problem_body, public_details
from aiassist.lib.db import in_db
from aiassist.lib.errors import AppError, NotAuthenticated
from aiassist.lib.ids import new_id
from billing.tiers.selectors import tier_of
from workspaces.receiving.inflating import Ratio, inflater
from workspaces.receiving.uploads import largest_upload, too_large_upload

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]  # (scope, receive, send)

# What anybody may send without being asked who they are.
FREE_BYTES = 4 * 1024 * 1024
_PIECE = 256 * 1024


class ClientLeft(Exception):
    """The connection went before the body had come."""


class UploadGate:
    """Wraps the site; only HTTP bodies beyond FREE_BYTES concern it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gate = _Gate(scope, receive, send)
        encoding = _header(scope, b"content-encoding")
        if encoding is not None:
            if (inflated := await gate.inflated(encoding)) is not None:
                with inflated:
                    await self._app(*inflated.call(send))
            return
        declared = _content_length(scope)
        if declared is not None and declared > FREE_BYTES:
            if not await gate.lets_pass(declared):
                return
        await self._app(scope, gate.receive, gate.send)


class _Inflated:
    """A body taken out of its encoding, on disk where it is long."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self._file = SpooledTemporaryFile(max_size=FREE_BYTES)
        self.n_bytes = 0

    def __enter__(self) -> "_Inflated":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def add(self, piece: bytes) -> None:
        self._file.write(piece)
        self.n_bytes += len(piece)

    def call(self, send: Send) -> tuple[Scope, Receive, Send]:
        """Return the request as if its body had come so."""
        self._file.seek(0)
        headers = [
            (name, value)
            for name, value in self._scope["headers"]
            if name not in (b"content-encoding", b"content-length")
        ]
        headers.append((b"content-length", str(self.n_bytes).encode()))
        return {**self._scope, "headers": headers}, self.receive, send

    async def receive(self) -> Message:
        if self._file.closed:
            return await self._receive()
        body = self._file.read(_PIECE)
        if self._file.tell() == self.n_bytes:
            self._file.close()  # from here on only a disconnect may come
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.request", "body": body, "more_body": True}


class _Gate:
    """Counts one request's body and answers 413 in the site's place."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit: int | None = None  # None: nobody asked yet
        self._read = 0
        self._refused = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._read += len(message.get("body", b""))
        if self._read > FREE_BYTES and not await self.lets_pass(self._read):
            return {"type": "http.disconnect"}
        return message

    async def inflated(self, encoding: str) -> _Inflated | None:
        """Return the body out of its encoding, None where it was refused."""
        body = _Inflated(self._scope, self._receive)
        try:
            how = inflater(encoding)
            ratio = Ratio()
            async for data in self._pieces():
                ratio.compressed += len(data)
                for piece in how.feed(data) if how else [data]:
                    body.add(piece)
                    ratio.inflated = body.n_bytes
                    ratio.require_sane()
                    if body.n_bytes > FREE_BYTES:
                        await self._require_room(body.n_bytes)
            if how:
                how.finish()
        except AppError as error:
            with body:
                await self._refuse(error)
            return None
        except ClientLeft:
            with body:
                return None
        return body

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientLeft
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    async def send(self, message: Message) -> None:
        if not self._refused:
            await self._send(message)

    async def lets_pass(self, n_bytes: int) -> bool:
        """Answer the refusal itself and return False where it is too long."""
        try:
            await self._require_room(n_bytes)
        except AppError as error:
            await self._refuse(error)
            return False
        return True

    async def _require_room(self, n_bytes: int) -> None:
        if self._limit is None:
            self._limit = await in_db(_limit_of, self._scope)
        if n_bytes > self._limit:
            raise await in_db(_refusal_of, self._scope, n_bytes)

    async def _refuse(self, error: AppError) -> None:
        body = json.dumps(
            problem_body(
                status=error.status,
                code=error.code,
                detail=error.sentence,
                request_id=new_id("req"),
                extra=public_details(error),
            )
        ).encode()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # the rest of the body is not wanted
        ]
        await self._send(
            {"type": "http.response.start", "status": error.status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": body})
        self._refused = True


def _limit_of(scope: Scope) -> int:
    return largest_upload(tier_of(_principal(scope).user))


def _refusal_of(scope: Scope, n_bytes: int) -> AppError:
    return too_large_upload(n_bytes, tier_of(_principal(scope).user))


def _principal(scope: Scope) -> Principal:
    """Resolve the request's credential from its headers alone."""
    request = ASGIRequest(scope, BytesIO())
    request.session = _session(request)
    principal = resolve(request)
    if principal is None:
        raise NotAuthenticated
    return principal


def _session(request: ASGIRequest) -> SessionBase:
    engine = import_module(settings.SESSION_ENGINE)
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    session: SessionBase = engine.SessionStore(key)
    return session


def _content_length(scope: Scope) -> int | None:
    value = _header(scope, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return None
