"""Workspaces, index jobs and search."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.scopes import SEARCH
from aiassist.api.pagination import NewestFirst, newest_first
from aiassist.api.refusals import problem
from aiassist.lib.db import release_connections
from aiassist.lib.errors import ValidationFailed
from billing.api.mixins import MeteredMixin
from billing.metering.ledger import Settlement
from workspaces.access import get_job
from workspaces.api.base import UNKNOWN, WorkspaceAPIView
from workspaces.api.events import job_events
from workspaces.api.serializers import (
    IndexJobOutput,
    SearchInput,
    SearchOutput,
    WorkspaceChanges,
    WorkspaceInput,
    WorkspaceOutput,
)
from workspaces.finding.search import search
from workspaces.indexing.embedding import MODEL_NAME
from workspaces.jobs.queue import cancel_job
from workspaces.models import IndexJob, Workspace
from workspaces.services import change_workspace, create_workspace, delete_workspace

_WORKSPACE = {
    "id": "workspace_6fQyN0dWJtC3kL8sVbX2Zp",
    "name": "django",
    "status": "ready",
    "files": 2885,
    "chunks": 31240,
    "bytes": 24117248,
    "generation": 3,
    "last_indexed_at": "2026-11-23T09:00:00Z",
    "include": [],
    "exclude": ["docs/"],
    "use_gitignore": True,
}
_WORKSPACE_EXAMPLE = OpenApiExample("workspace", value=_WORKSPACE, response_only=True)
_JOB_EXAMPLE = OpenApiExample(
    "running",
    value={
        "id": "job_2vT9mE5cRz0hPq7KxWb4Ua",
        "workspace_id": _WORKSPACE["id"],
        "state": "running",
        "phase": "embedding",
        "progress": 0.42,
        "files_total": 2885,
        "files_read": 2885,
        "files_done": 1200,
        "chunks": 13011,
        "chunks_total": 31240,
        "chunks_computed": 12800,
        "eta_seconds": 210,
        "skipped": [{"path": "logo.png", "reason": "is binary by its name (.png)"}],
        "n_skipped": 1,
        "skipped_reasons": [{"reason": "is binary by its name (.png)", "count": 1}],
        "error": "",
        "created_at": "2026-11-23T09:00:00Z",
        "started_at": "2026-11-23T09:00:01Z",
        "finished_at": None,
    },
    response_only=True,
)


class WorkspacesView(WorkspaceAPIView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="workspaces_list",
        tags=["Workspaces"],
        summary="List your workspaces",
        description="Newest first, with what each holds and how its index is.",
        responses=WorkspaceOutput(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = Workspace.objects.for_user(self.principal.user)
        return newest_first(self, request, rows, WorkspaceOutput)

    @extend_schema(
        operation_id="workspaces_create",
        tags=["Workspaces"],
        summary="Create an empty workspace",
        description=(
            "Bring code in with an archive, a sync or an import. Your tier says how "
            "many you may have."
        ),
        request=WorkspaceInput,
        responses={
            201: WorkspaceOutput,
            403: problem("workspace_limit", "Your tier holds no more workspaces.", 403),
        },
        examples=[
            OpenApiExample("name", value={"name": "django"}, request_only=True),
            _WORKSPACE_EXAMPLE,
        ],
    )
    def post(self, request: Request) -> Response:
        body = WorkspaceInput(data=request.data)
        body.is_valid(raise_exception=True)
        workspace = create_workspace(
            user=self.principal.user, name=body.validated_data["name"]
        )
        return Response(WorkspaceOutput(workspace).data, status=201)


class WorkspaceView(WorkspaceAPIView):
    @extend_schema(
        operation_id="workspaces_retrieve",
        tags=["Workspaces"],
        summary="Show a workspace",
        description=(
            "`status` is `empty`, `indexing`, `ready` or `failed`; a search works "
            "from the first words read on."
        ),
        responses={200: WorkspaceOutput, 404: UNKNOWN},
        examples=[_WORKSPACE_EXAMPLE],
    )
    def get(self, request: Request, workspace_id: str) -> Response:
        return Response(WorkspaceOutput(self.get_workspace()).data)

    @extend_schema(
        operation_id="workspaces_update",
        tags=["Workspaces"],
        summary="Rename a workspace, change its rules",
        description=(
            "Only what is sent changes. New rules hold for the stored files at once; "
            "files that were left out before come with the next upload."
        ),
        request=WorkspaceChanges,
        responses={200: WorkspaceOutput, 404: UNKNOWN},
        examples=[
            OpenApiExample("name", value={"name": "django"}, request_only=True),
            OpenApiExample(
                "rules",
                value={"exclude": ["docs/", "*.sql"], "include": ["vendor/ours/"]},
                request_only=True,
            ),
            _WORKSPACE_EXAMPLE,
        ],
    )
    def patch(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        body = WorkspaceChanges(data=request.data)
        body.is_valid(raise_exception=True)
        if not body.validated_data:
            raise ValidationFailed(
                errors=[
                    {
                        "field": "name",
                        "code": "required",
                        "detail": "Send what shall change: name, include, exclude or "
                        "use_gitignore.",
                    }
                ]
            )
        changed = change_workspace(workspace=workspace, **body.validated_data)
        return Response(WorkspaceOutput(changed).data)

    @extend_schema(
        operation_id="workspaces_destroy",
        tags=["Workspaces"],
        summary="Delete a workspace",
        description=(
            "It is gone at once, its storage is yours again, and its files and index "
            "are removed within a minute, also while they are being made."
        ),
        responses={204: None, 404: UNKNOWN},
    )
    def delete(self, request: Request, workspace_id: str) -> Response:
        delete_workspace(workspace=self.get_workspace())
        return Response(status=204)


class JobsView(WorkspaceAPIView):
    pagination_class = NewestFirst  # for the OpenAPI document

    @extend_schema(
        operation_id="index_jobs_list",
        tags=["Index jobs"],
        summary="List a workspace's index jobs",
        description="Newest first.",
        responses=IndexJobOutput(many=True),
    )
    def get(self, request: Request, workspace_id: str) -> Response:
        rows = IndexJob.objects.for_workspace(self.get_workspace()).defer("manifest")
        return newest_first(self, request, rows, IndexJobOutput)


class JobView(WorkspaceAPIView):
    @extend_schema(
        operation_id="index_jobs_retrieve",
        tags=["Index jobs"],
        summary="Show an index job",
        description="How far it is, what was left out and why, and how it ended.",
        responses={200: IndexJobOutput, 404: UNKNOWN},
        examples=[_JOB_EXAMPLE],
    )
    def get(self, request: Request, workspace_id: str, job_id: str) -> Response:
        return Response(IndexJobOutput(get_job(self.get_workspace(), job_id)).data)


class JobCancelView(WorkspaceAPIView):
    @extend_schema(
        operation_id="index_jobs_cancel",
        tags=["Index jobs"],
        summary="Cancel an index job",
        description=(
            "A running job ends within seconds. The index from before goes on serving."
        ),
        request=None,
        responses={
            202: IndexJobOutput,
            404: UNKNOWN,
            409: problem("job_not_active", "This job is over: it succeeded.", 409),
        },
        examples=[_JOB_EXAMPLE],
    )
    def post(self, request: Request, workspace_id: str, job_id: str) -> Response:
        job = cancel_job(job=get_job(self.get_workspace(), job_id))
        return Response(IndexJobOutput(job).data, status=202)


class EventStreamRenderer(JSONRenderer):
    """Lets `Accept: text/event-stream` in; refusals are still problem+json."""

    media_type = "text/event-stream"
    format = "sse"


class JobEventsView(WorkspaceAPIView):
    renderer_classes = [EventStreamRenderer, JSONRenderer]

    @extend_schema(
        operation_id="index_jobs_events",
        tags=["Index jobs"],
        summary="Watch an index job",
        description=(
            "Server-sent events: `progress` with the job whenever it changed, `done` "
            "with the job as the last one, `error` when the credential stops working."
        ),
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, description="Events, each with the job as JSON."
            ),
            404: UNKNOWN,
        },
    )
    def get(
        self, request: Request, workspace_id: str, job_id: str
    ) -> StreamingHttpResponse:
        job = get_job(self.get_workspace(), job_id)
        response = StreamingHttpResponse(
            job_events(job.pk, self.principal), content_type="text/event-stream"
        )
        response["Cache-Control"] = "no-cache, no-transform"
        response["X-Accel-Buffering"] = "no"
        release_connections()
        return response


class SearchView(MeteredMixin, WorkspaceAPIView):
    scope = SEARCH
    throttle_classes = []  # it is metered
    metered_feature = "search"

    @extend_schema(
        operation_id="workspaces_search",
        tags=["Search"],
        summary="Search a workspace's code",
        description=(
            "`hybrid` joins meaning and keywords, `semantic` and `keyword` are each "
            "alone. Counts as one request of your quota."
        ),
        request=SearchInput,
        responses={
            200: SearchOutput,
            404: UNKNOWN,
            503: problem("vectors_unavailable", "The search index is away.", 503),
        },
        examples=[
            OpenApiExample(
                "question",
                value={"query": "where is the session cookie set?"},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        body = SearchInput(data=request.data)
        body.is_valid(raise_exception=True)
        outcome = search(workspaces=[workspace], **body.validated_data)
        return Response(SearchOutput(outcome).data)

    def settlement_of(self, response: Response) -> Settlement:
        values: dict[str, Any] = self.kwargs
        return Settlement(model=MODEL_NAME, workspace_id=values["workspace_id"])
