"""Files and the sync protocol."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.parsers import FileUploadParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from aiassist.api.pagination import NewestFirst
from aiassist.api.refusals import problem
from aiassist.lib.errors import ValidationFailed
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.access import get_sync
from workspaces.api.base import STORAGE_FULL, UNKNOWN, WorkspaceAPIView
from workspaces.api.bodies import manifest_body, require_no_encoding
from workspaces.api.parts import Parts, bodies_of
from workspaces.api.serializers import (
    MAX_LINE,
    ArchiveInput,
    FileOutput,
    FileTextOutput,
    IndexJobOutput,
    LeftOutOutput,
    PutOutput,
    ReceivedOutput,
    SpanInput,
    SyncInput,
    SyncOutput,
    SyncStateOutput,
)
from workspaces.content.files import (
    accepted_path,
    delete_file,
    get_file,
    put_file,
    read_bytes,
    read_lines,
    require_short,
)
from workspaces.content.texts import NotIndexable
from workspaces.finding.citations import check_lines
from workspaces.ignoring.leaving_out import objections_of
from workspaces.models import (
    IndexJob,
    LeftOutFile,
    SourceFile,
    SyncState,
    Workspace,
)
from workspaces.receiving.archives import import_archive
from workspaces.receiving.sync import commit_sync, missing_of, start_sync, upload_files
from workspaces.receiving.uploads import content_length, require_upload_room

_TAGS = ["Files and sync"]
_PATH = OpenApiParameter(
    "path",
    str,
    OpenApiParameter.PATH,
    description="Relative, with '/' between folders.",
)
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class UploadView(WorkspaceAPIView):
    """Uploads come one a file, so they may come fast."""

    throttle_group = "uploads"
    throttle_per_user = "12000/m"
    throttle_per_address = "24000/m"


class SyncsView(UploadView):
    @extend_schema(
        operation_id="sync_start",
        tags=_TAGS,
        summary="Declare what the workspace shall hold",
        description=(
            "Name every file with its SHA-256. Upload those in `missing`, then commit. "
            "Nothing changes before the commit."
        ),
        request=SyncInput,
        responses={200: SyncOutput, 404: UNKNOWN},
        examples=[
            OpenApiExample(
                "one file", value={"files": {"src/app.py": _SHA}}, request_only=True
            ),
            OpenApiExample(
                "to upload",
                value={
                    "sync_id": "sync_5tGhW3nB8xK1cVq0LmZr7D",
                    "missing": ["src/app.py"],
                    "deleted": 0,
                    "unchanged": 0,
                    "skipped": [],
                    "n_skipped": 0,
                    "skipped_reasons": [],
                },
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        body = SyncInput(data=manifest_body(request, tier_of(self.principal.user)))
        body.is_valid(raise_exception=True)
        plan = start_sync(
            workspace=workspace,
            manifest=body.validated_data["files"],
            delete_missing=body.validated_data["delete_missing"],
            ignore_files=body.validated_data["ignore_files"],
        )
        answer = {
            "sync_id": plan.sync.pk,
            "missing": plan.missing,
            "deleted": plan.deleted,
            "unchanged": plan.unchanged,
            "skipped": plan.sync.skipped,
            "n_skipped": plan.sync.n_skipped,
            "skipped_reasons": plan.sync.skipped_reasons,
        }
        return Response(SyncOutput(answer).data)


class SyncView(UploadView):
    @extend_schema(
        operation_id="sync_retrieve",
        tags=_TAGS,
        summary="Ask what a sync still waits for",
        description=(
            "After an interruption: upload what `missing` names, then commit. What "
            "arrived before is kept for a day."
        ),
        responses={200: SyncStateOutput, 404: UNKNOWN},
        examples=[
            OpenApiExample(
                "half-way",
                value={
                    "sync_id": "sync_5tGhW3nB8xK1cVq0LmZr7D",
                    "state": "open",
                    "missing": ["src/app.py"],
                    "job_id": None,
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, workspace_id: str, sync_id: str) -> Response:
        workspace = self.get_workspace()
        sync = get_sync(workspace, sync_id)
        is_open = sync.state == SyncState.OPEN
        answer = {
            "sync_id": sync.pk,
            "state": sync.state,
            "missing": missing_of(workspace=workspace, sync=sync) if is_open else [],
            "job_id": sync.job_id,
        }
        return Response(SyncStateOutput(answer).data)


class SyncFilesView(UploadView):
    parser_classes = [MultiPartParser]

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        # Before a session's CSRF token is looked for in the body.
        request.upload_handlers = [Parts(request)]
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        operation_id="sync_upload",
        tags=_TAGS,
        summary="Upload many files of a sync",
        description=(
            "One part per file, the part's name is the file's path; parts that are all "
            "named `files` have it as their filename. A part may be compressed, with "
            "`Content-Encoding: gzip` or `zstd` among its headers; the SHA-256 is that "
            "of the file itself."
        ),
        request={
            "multipart/form-data": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "binary"},
            }
        },
        responses={
            200: ReceivedOutput,
            404: UNKNOWN,
            409: problem(
                "content_mismatch", "The bytes do not have the declared SHA-256.", 409
            ),
            413: STORAGE_FULL,
        },
    )
    def post(self, request: Request, workspace_id: str, sync_id: str) -> Response:
        workspace = self.get_workspace()
        sync = get_sync(workspace, sync_id)
        require_no_encoding(request)
        require_upload_room(request, tier_of(self.principal.user))
        received = upload_files(
            workspace=workspace, sync=sync, files=bodies_of(request)
        )
        return Response({"received": received})


class SyncCommitView(UploadView):
    @extend_schema(
        operation_id="sync_commit",
        tags=_TAGS,
        summary="Commit a sync and index it",
        description="Committing again returns the same job.",
        request=None,
        responses={
            202: IndexJobOutput,
            404: UNKNOWN,
            409: problem(
                "incomplete_sync",
                "1 of this sync's files never arrived, 'src/app.py' among them.",
                409,
                missing=["src/app.py"],
                n_missing=1,
            ),
        },
    )
    def post(self, request: Request, workspace_id: str, sync_id: str) -> Response:
        workspace = self.get_workspace()
        job = commit_sync(workspace=workspace, sync=get_sync(workspace, sync_id))
        return accepted(job)


class ArchiveView(UploadView):
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="workspaces_archive",
        tags=_TAGS,
        summary="Upload a whole repository as an archive",
        description=(
            "A .zip, .tar or .tar.gz; a single folder around everything is taken off. "
            "What is not kept is listed in the job's `skipped`, with the reason."
        ),
        request={"multipart/form-data": ArchiveInput},
        responses={
            202: IndexJobOutput,
            400: problem("bad_archive", "This archive could not be read.", 400),
            404: UNKNOWN,
            413: STORAGE_FULL,
        },
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        require_no_encoding(request)
        require_upload_room(request, tier_of(self.principal.user))
        body = ArchiveInput(data=request.data)
        body.is_valid(raise_exception=True)
        job = import_archive(
            workspace=workspace,
            file=body.validated_data["file"].file,
            delete_missing=body.validated_data["delete_missing"],
        )
        return accepted(job)


def accepted(job: IndexJob) -> Response:
    """Answer 202 and tell where to watch the job."""
    place = f"/api/v1/workspaces/{job.workspace_id}/jobs/{job.pk}"
    return Response(IndexJobOutput(job).data, status=202, headers={"Location": place})


class ByPath(NewestFirst):
    """Pages of files in the order of their paths."""

    ordering = "path"


class FilesView(WorkspaceAPIView):
    pagination_class = ByPath  # for the OpenAPI document

    @extend_schema(
        operation_id="files_list",
        tags=_TAGS,
        summary="List a workspace's files",
        description=(
            "In the order of their paths; `skipped` says why one is not searched."
        ),
        responses=FileOutput(many=True),
    )
    def get(self, request: Request, workspace_id: str) -> Response:
        paginator = ByPath()
        workspace = self.get_workspace()
        rows = SourceFile.objects.for_workspace(workspace)
        page = paginator.paginate_queryset(rows, request, view=self)
        context = {"objections": objections_of(workspace, page or [])}
        return paginator.get_paginated_response(
            list(FileOutput(page, many=True, context=context).data)
        )


class LeftOutView(WorkspaceAPIView):
    pagination_class = ByPath  # for the OpenAPI document

    @extend_schema(
        operation_id="left_out_list",
        tags=_TAGS,
        summary="List the files that are left out, and why",
        description=(
            "What the last upload, sync or import named and the workspace does not "
            "search; at most 2,000 of them, each reason among them."
        ),
        responses=LeftOutOutput(many=True),
    )
    def get(self, request: Request, workspace_id: str) -> Response:
        paginator = ByPath()
        rows = LeftOutFile.objects.for_workspace(self.get_workspace())
        page = paginator.paginate_queryset(rows, request, view=self)
        return paginator.get_paginated_response(
            list(LeftOutOutput(page, many=True).data)
        )


class FileView(UploadView):
    parser_classes = [FileUploadParser]  # the body is read as it is, never parsed

    @extend_schema(
        operation_id="files_retrieve",
        tags=_TAGS,
        summary="Read a file",
        description=(
            "As JSON with the lines `start` to `end`, recognised secrets hidden; with "
            "`raw=true` the bytes as they were uploaded. With the `sha256` of a hit, "
            "`changed` says whether the lines are still what the hit showed."
        ),
        parameters=[_PATH, SpanInput],
        responses={
            200: FileTextOutput,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            404: UNKNOWN,
        },
    )
    def get(
        self, request: Request, workspace_id: str, path: str
    ) -> Response | HttpResponse:
        workspace = self.get_workspace()
        span = SpanInput(data=request.query_params)
        span.is_valid(raise_exception=True)
        file = get_file(workspace, path)
        if span.validated_data["raw"]:
            return _raw(read_bytes(workspace, file.sha256))
        return Response(_text(workspace, file, span.validated_data))

    @extend_schema(
        operation_id="files_put",
        tags=_TAGS,
        summary="Upload one file",
        description=(
            "The body is the file's bytes. Where an open sync waits for them they "
            "count from its commit on, else at once, and an index job starts."
        ),
        parameters=[_PATH],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            200: PutOutput,
            201: PutOutput,
            400: problem("path_refused", "The path '../x' is not allowed.", 400),
            404: UNKNOWN,
            413: STORAGE_FULL,
        },
    )
    def put(self, request: Request, workspace_id: str, path: str) -> Response:
        workspace = self.get_workspace()
        data = _body(request, accepted_path(path), tier_of(self.principal.user))
        outcome = put_file(workspace=workspace, path=path, data=data)
        return Response(PutOutput(outcome).data, status=201 if outcome.created else 200)

    @extend_schema(
        operation_id="files_destroy",
        tags=_TAGS,
        summary="Delete a file",
        description=(
            "Its storage is yours again at once; an index job takes it out of the "
            "search."
        ),
        parameters=[_PATH],
        responses={202: IndexJobOutput, 404: UNKNOWN},
    )
    def delete(self, request: Request, workspace_id: str, path: str) -> Response:
        return accepted(delete_file(workspace=self.get_workspace(), path=path))


def _body(request: Request, path: str, tier: Tier) -> bytes:
    """Return the body's bytes, refusing a too long one before reading it."""
    require_no_encoding(request)
    require_short(path, content_length(request), tier)
    data: bytes = request._request.read(tier.max_file_bytes + 1)
    require_short(path, len(data), tier)
    return data


def _raw(data: bytes) -> HttpResponse:
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = "attachment"
    return response


def _text(
    workspace: Workspace, file: SourceFile, span: dict[str, Any]
) -> dict[str, Any]:
    context = {"objections": objections_of(workspace, [file])}
    answer: dict[str, Any] = dict(FileOutput(file, context=context).data)
    first, last = span.get("start"), span.get("end")
    check = None
    if "sha256" in span:
        check = check_lines(
            workspace=workspace,
            path=file.path,
            start=first or 1,
            end=last or MAX_LINE,
            sha256=span["sha256"],
        )
    answer["changed"] = check.changed if check else None
    moved = check.moved_to if check else None
    answer["moved_to"] = f"{moved[0]}-{moved[1]}" if moved else None
    nothing = {"lines": 0, "start_line": 0, "end_line": 0, "text": None}
    try:
        found = read_lines(workspace, file.path, first, last)
    except NotIndexable:
        return answer | nothing
    except ValidationFailed:
        if check is None:
            raise
        # The file has become so short that the lines are gone.
        whole = read_lines(workspace, file.path)
        return answer | nothing | {"lines": whole.n_lines, "text": ""}
    return answer | {
        "lines": found.n_lines,
        "start_line": found.start_line,
        "end_line": found.end_line,
        "text": found.text,
    }
