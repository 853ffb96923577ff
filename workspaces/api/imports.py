"""Import from git: what a workspace follows, and the hook that pushes call."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiassist.api.refusals import problem
from aiassist.api.throttles import UnmeteredThrottle
from workspaces.api.base import UNKNOWN, WorkspaceAPIView
from workspaces.api.bodies import require_no_encoding
from workspaces.api.files import accepted
from workspaces.api.import_shapes import (
    HookOutput,
    ImportInput,
    ImportOutput,
    PushOutput,
)
from workspaces.api.serializers import IndexJobOutput
from workspaces.errors import ArchiveTooLarge
from workspaces.git.sources import (
    ask_import,
    forget_source,
    get_source,
    hear_push,
    new_hook_secret,
)
from workspaces.models import GitSource

_TAGS = ["Import from git"]
_NOT_IMPORTED = problem(
    "not_imported", "This workspace follows no git repository. Import one first.", 409
)
MAX_PUSH_BYTES = 4 * 1024 * 1024


class ImportView(WorkspaceAPIView):
    throttle_group = "imports"
    throttle_per_user = "30/m"
    throttle_per_address = "60/m"

    @extend_schema(
        operation_id="import_start",
        tags=_TAGS,
        summary="Import a git repository, and follow it",
        description=(
            "Fetches one commit over https, without its history, submodules and Git "
            "LFS contents, and makes its files the workspace's files. The token is "
            "sealed and sent to that host alone. `every_hours` imports again on a "
            "schedule. Watch or cancel the job as any other; while its code is on the "
            "way its `phase` is `fetching`."
        ),
        request=ImportInput,
        responses={
            202: IndexJobOutput,
            400: problem(
                "git_url_refused", "Give the https:// address of a public host.", 400
            ),
            404: UNKNOWN,
        },
        examples=[
            OpenApiExample(
                "public",
                value={"url": "https://github.com/encode/httpx", "ref": "master"},
                request_only=True,
            ),
            OpenApiExample(
                "private, every day",
                value={
                    "url": "https://gitlab.com/acme/shop.git",
                    "token": "glpat-…",
                    "every_hours": 24,
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        body = ImportInput(data=request.data)
        body.is_valid(raise_exception=True)
        return accepted(ask_import(workspace=workspace, **body.validated_data))

    @extend_schema(
        operation_id="import_retrieve",
        tags=_TAGS,
        summary="Show what the workspace follows",
        description=(
            "The commit that is here, the schedule, the last error; never the token."
        ),
        responses={200: ImportOutput, 404: UNKNOWN, 409: _NOT_IMPORTED},
    )
    def get(self, request: Request, workspace_id: str) -> Response:
        return Response(ImportOutput(_shown(get_source(self.get_workspace()))).data)

    @extend_schema(
        operation_id="import_destroy",
        tags=_TAGS,
        summary="Stop following, and forget the token",
        description="The files stay.",
        responses={204: None, 404: UNKNOWN, 409: _NOT_IMPORTED},
    )
    def delete(self, request: Request, workspace_id: str) -> Response:
        forget_source(workspace=self.get_workspace())
        return Response(status=204)


class ImportHookView(WorkspaceAPIView):
    @extend_schema(
        operation_id="import_hook_create",
        tags=_TAGS,
        summary="Make the secret of the push hook",
        description=(
            "Enter `url` and `secret` as a webhook for pushes at GitHub (content type "
            "application/json) or GitLab (secret token). The secret is shown once; "
            "making another ends it."
        ),
        request=None,
        responses={201: HookOutput, 404: UNKNOWN, 409: _NOT_IMPORTED},
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        source, secret = new_hook_secret(workspace=self.get_workspace())
        url = request.build_absolute_uri(f"/api/v1/hooks/git/{source.hook_id}")
        return Response(HookOutput({"url": url, "secret": secret}).data, status=201)


class PushView(APIView):
    """Called by code hosts: the signature is the credential."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [UnmeteredThrottle]
    throttle_group = "pushes"
    throttle_per_address = "600/m"

    @extend_schema(
        operation_id="push_receive",
        tags=_TAGS,
        summary="Receive a push from GitHub or GitLab",
        description=(
            "Verified by `X-Hub-Signature-256` (GitHub) or `X-Gitlab-Token` (GitLab). "
            "A body that was heard before changes nothing."
        ),
        request={"application/json": {"type": "object"}},
        responses={
            202: PushOutput,
            403: problem("push_refused", "This push could not be verified.", 403),
        },
        auth=[],
    )
    def post(self, request: Request, hook_id: str) -> Response:
        require_no_encoding(request)
        body = request._request.read(MAX_PUSH_BYTES + 1)
        if len(body) > MAX_PUSH_BYTES:
            raise ArchiveTooLarge("This push is longer than we read.")
        outcome = hear_push(hook_id=hook_id, headers=request.headers, body=body)
        return Response({"outcome": outcome}, status=202)


def _shown(source: GitSource) -> dict[str, object]:
    return {
        "url": source.url,
        "ref": source.ref,
        "username": source.username,
        "has_token": bool(source.token),
        "every_hours": source.every_hours,
        "next_at": source.next_at,
        "commit": source.commit,
        "imported_at": source.imported_at,
        "error": source.error,
        "has_hook": bool(source.hook_secret),
    }
