"""The MCP server, by the official SDK: stateless, answers as JSON.

Both generations of the protocol are served: 2026-07-28, which knows no session, and
initialize with its versions before. No session is kept for either, so that any
process answers any request.
Source: https://modelcontextprotocol.io/specification
"""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from rest_framework.exceptions import ValidationError

from aiassist.api.problems import as_app_error, headers_of, public_details
from aiassist.lib.errors import AppError
from assistant.mcp.tools import TOOLS, Call, McpTool, call_tool

_INSTRUCTIONS = (
    "Searches and answers questions about the user's own code. Start with "
    "list_workspaces; search_code finds passages; read_file shows more of a file."
)
_CALL = "aiassist.call"  # where the ASGI scope holds our Call
Context = ServerRequestContext[Any, Any]


async def serve(
    call: Call, body: bytes
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Answer one HTTP request: status, headers, body."""
    manager = StreamableHTTPSessionManager(
        app=_server, json_response=True, stateless=True
    )
    answer = _Answer(body)
    async with manager.run():
        await manager.handle_request(_scope(call), answer.receive, answer.send)
    return answer.status, answer.headers, b"".join(answer.parts)


class _Answer:
    """Both ends of an ASGI application, in memory."""

    def __init__(self, body: bytes) -> None:
        self._unread: bytes | None = body
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if self._unread is None:
            # Who leaves is seen by the server, which cancels the whole request.
            await asyncio.Event().wait()
        body, self._unread = self._unread, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
        else:
            self.parts.append(message.get("body", b""))


def _scope(call: Call) -> dict[str, Any]:
    request = call.request
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
            if name.lower() not in ("authorization", "x-api-key", "cookie")
        ],
        "client": None,
        "server": None,
        _CALL: call,
    }


async def _list_tools(
    context: Context, params: PaginatedRequestParams | None
) -> ListToolsResult:
    return ListToolsResult(tools=list(map(_shown, TOOLS.values())))


def _shown(tool: McpTool) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema,
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=True,
            destructive_hint=False,
            open_world_hint=False,
        ),
    )


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    tool = TOOLS.get(params.name)
    if tool is None:
        raise MCPError(INVALID_PARAMS, "There is no such tool.")
    assert context.request is not None
    call: Call = context.request.scope[_CALL]
    try:
        found = await call_tool(tool, call, params.arguments or {})
    except (AppError, ValidationError, Http404, PermissionDenied) as error:
        known = as_app_error(error)
        assert known is not None
        call.headers |= headers_of(known)
        return _refused(known)
    return CallToolResult(content=[_text(found)], structured_content=found)


def _refused(error: AppError) -> CallToolResult:
    """An error that the agent reads and may act upon, as the protocol asks for."""
    body = {"code": error.code, "detail": error.sentence, **public_details(error)}
    return CallToolResult(content=[_text(body)], structured_content=body, is_error=True)


def _text(body: Mapping[str, Any]) -> TextContent:
    return TextContent(text=json.dumps(body, ensure_ascii=False, default=str))


_server: Server[Any] = Server(
    "aiassist",
    version=settings.VERSION,
    title="aiassist",
    instructions=_INSTRUCTIONS,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
)
