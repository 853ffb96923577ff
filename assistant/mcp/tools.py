"""What agents may call over MCP. Each tool asks for access and calls one service.

A tool knows nothing of the protocol: it takes checked arguments and returns JSON.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from django.http import HttpRequest
from rest_framework import serializers

from accounts.principals import Principal
from aiassist.api.problems import request_id_of
from aiassist.api.throttles import throttle
from aiassist.lib.db import in_db
from aiassist.lib.errors import AppError
from assistant.api.fields import TextField, WorkspaceIdField
from assistant.api.serializers import AssistantHitOutput, QueryInput
from assistant.gateway.open import open_turn
from assistant.gateway.plan import Ask
from assistant.gateway.prompts import chat
from billing.metering.metered_block import metered
from workspaces.access import get_workspace
from workspaces.api.serializers import ServingOutput
from workspaces.content.files import read_lines
from workspaces.finding.search import search
from workspaces.finding.validation import validate_query
from workspaces.models import Workspace

ENDPOINT = "POST /mcp"
MAX_LISTED = 200


@dataclass(slots=True)
class Call:
    """One request of a client. `headers` go onto the answer."""

    request: HttpRequest
    principal: Principal
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def request_id(self) -> str:
        return request_id_of(self.request)


class ReadFileInput(serializers.Serializer[Any]):
    workspace_id = WorkspaceIdField()
    path = TextField(max_length=1024)
    start_line = serializers.IntegerField(required=False, min_value=1)
    end_line = serializers.IntegerField(required=False, min_value=1)


class AskInput(serializers.Serializer[Any]):
    question = TextField()
    workspace_id = WorkspaceIdField(required=False)
    model = serializers.CharField(required=False, max_length=200)


class NoInput(serializers.Serializer[Any]):
    pass


Run = Callable[[Call, Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class McpTool:
    """`schema` is what agents are shown; `form` is what judges."""

    name: str
    title: str
    description: str
    scope: str
    schema: dict[str, Any]
    form: type[serializers.Serializer[Any]]
    run: Run


async def call_tool(
    tool: McpTool, call: Call, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Judge and run. Raises AppError and DRF's ValidationError."""
    call.principal.require_scope(tool.scope)
    form = tool.form(data=dict(arguments))
    form.is_valid(raise_exception=True)
    await in_db(_hold_back, call)
    return await tool.run(call, form.validated_data)


def _hold_back(call: Call) -> None:
    throttle(
        call.request,
        group="metered",
        per_user="1200/m",
        per_address="6000/m",
        user_id=call.principal.user_id,
    )


async def _search_code(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    return await in_db(_search, call, given)


def _search(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    user = call.principal.user
    query = validate_query(given["query"])
    if wanted := given.get("workspace_id", ""):
        workspaces = [get_workspace(user, wanted)]
    else:
        workspaces = list(Workspace.objects.for_user(user))
    with metered(
        call.principal,
        feature="search",
        endpoint=ENDPOINT,
        request_id=call.request_id,
        workspace_id=wanted,
    ) as admission:
        outcome = search(
            workspaces=workspaces,
            query=query,
            max_results=given["max_results"],
            mode=given["mode"],
            path_glob=given["path_glob"],
            language=given["language"],
        )
    call.headers |= admission.limits.headers()
    return {
        "results": list(AssistantHitOutput(outcome.hits, many=True).data),
        "indexes": {
            workspace_id: ServingOutput(index).data
            for workspace_id, index in outcome.indexes.items()
        },
    }


async def _list_workspaces(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"workspaces": await in_db(_workspaces, call)}


def _workspaces(call: Call) -> list[dict[str, Any]]:
    rows = Workspace.objects.for_user(call.principal.user).order_by("name", "id")
    return [
        {
            "id": row.pk,
            "name": row.name,
            "status": row.status,
            "files": row.n_files,
            "chunks": row.n_chunks,
        }
        for row in rows[:MAX_LISTED]
    ]


async def _read_file(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    return await in_db(_read, call, given)


def _read(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    workspace = get_workspace(call.principal.user, given["workspace_id"])
    first, last = given.get("start_line"), given.get("end_line")
    return asdict(read_lines(workspace, given["path"], first, last))


async def _ask(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    turn = await open_turn(
        Ask(
            principal=call.principal,
            feature="basic_chat",
            endpoint=ENDPOINT,
            request_id=call.request_id,
            prompt=chat(given["question"]),
            workspace_id=given.get("workspace_id", ""),
            model=given.get("model", ""),
        )
    )
    try:
        deltas = await turn.collect()
    except AppError as error:
        error.details.setdefault("headers", turn.limit_headers())
        raise
    call.headers |= turn.limit_headers()
    assert turn.result is not None
    return {
        "answer": "".join(delta.text for delta in deltas),
        "citations": [p.citation() for p in turn.ready.assembled.passages],
        "usage": turn.result.usage(),
    }


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"required": list(required)} if required else {})


_WORKSPACE = {"type": "string", "description": "An id from list_workspaces."}
_LINE = {"type": "integer", "minimum": 1}
TOOLS = {
    tool.name: tool
    for tool in (
        McpTool(
            name="search_code",
            title="Search code",
            description=(
                "Search the user's indexed code by meaning and by words. Returns "
                "passages with path, line numbers and text."
            ),
            scope="search",
            schema=_object(
                ("query",),
                query={"type": "string", "description": "1 to 2,000 characters."},
                workspace_id={
                    **_WORKSPACE,
                    "description": "Default: all of the user's workspaces.",
                },
                max_results={
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 100,
                    "default": 10,
                },
                mode={"type": "string", "enum": ["hybrid", "semantic", "keyword"]},
                path_glob={"type": "string", "description": "For example src/**/*.py"},
                language={"type": "string"},
            ),
            form=QueryInput,
            run=_search_code,
        ),
        McpTool(
            name="list_workspaces",
            title="List workspaces",
            description="List the user's workspaces: indexed bodies of code.",
            scope="workspaces",
            schema=_object(),
            form=NoInput,
            run=_list_workspaces,
        ),
        McpTool(
            name="read_file",
            title="Read a file",
            description="Read a file of a workspace, or some of its lines.",
            scope="workspaces",
            schema=_object(
                ("workspace_id", "path"),
                workspace_id=_WORKSPACE,
                path={"type": "string"},
                start_line=_LINE,
                end_line=_LINE,
            ),
            form=ReadFileInput,
            run=_read_file,
        ),
        McpTool(
            name="ask",
            title="Ask about the code",
            description=(
                "Ask the assistant a question. With a workspace the answer is drawn "
                "from its code and cites path:start-end."
            ),
            scope="assistant",
            schema=_object(
                ("question",),
                question={"type": "string"},
                workspace_id=_WORKSPACE,
                model={"type": "string", "description": "Default: the first."},
            ),
            form=AskInput,
            run=_ask,
        ),
    )
}
