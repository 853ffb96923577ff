"""What an upload would do, before anything is sent."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.tiers.selectors import tier_of
from workspaces.api.base import UNKNOWN, WorkspaceAPIView
from workspaces.api.bodies import manifest_body
from workspaces.api.serializers import PreviewInput, PreviewOutput
from workspaces.preview import Preview, preview


class PreviewView(WorkspaceAPIView):
    throttle_group = "previews"
    throttle_per_user = "60/m"
    throttle_per_address = "120/m"

    @extend_schema(
        operation_id="workspaces_preview",
        tags=["Files and sync"],
        summary="Preview an upload",
        description=(
            "From a manifest: which files would be indexed, which are left out and "
            "why, how many chunks and how much time that takes, and whether your tier "
            "holds it. Nothing is stored, nothing is embedded. A `size` for each file "
            "will do; `heads_wanted` then names those whose first 8,000 characters "
            "(`head`) and `longest_line` make the number of chunks one that is within "
            "a tenth of what an index then holds: add them and ask again, until it is "
            "empty."
        ),
        request=PreviewInput,
        responses={200: PreviewOutput, 404: UNKNOWN},
        examples=[
            OpenApiExample(
                "two files",
                value={
                    "files": {
                        "src/app.py": {
                            "size": 5120,
                            "head": "import os\n",
                            "longest_line": 86,
                        },
                        ".env": {"size": 80},
                    },
                    "ignore_files": {".gitignore": "build/\n"},
                },
                request_only=True,
            ),
            OpenApiExample(
                "fits",
                value={
                    "files": 1,
                    "bytes": 5120,
                    "unchanged": 0,
                    "languages": {"python": {"files": 1, "bytes": 5120, "chunks": 10}},
                    "skipped": [
                        {
                            "path": ".env",
                            "reason": "may hold secrets, so it is never stored",
                        }
                    ],
                    "n_skipped": 1,
                    "skipped_reasons": [
                        {
                            "reason": "may hold secrets, so it is never stored",
                            "count": 1,
                        }
                    ],
                    "estimate": {
                        "chunks": 10,
                        "new_chunks": 10,
                        "seconds": 1.2,
                        "chunks_per_second": 87.4,
                        "is_measured": True,
                    },
                    "heads_wanted": [],
                    "fit": {
                        "tier": "free",
                        "fits": True,
                        "breaks": [],
                        "takes": "free",
                    },
                },
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        workspace = self.get_workspace()
        tier = tier_of(self.principal.user)
        body = PreviewInput(data=manifest_body(request, tier))
        body.is_valid(raise_exception=True)
        found = preview(workspace=workspace, **body.validated_data)
        return Response(PreviewOutput(_shown(found)).data)


def _shown(found: Preview) -> dict[str, Any]:
    return {
        "files": found.files,
        "bytes": found.bytes,
        "unchanged": found.unchanged,
        "languages": found.languages,
        "skipped": found.skips.entries,
        "n_skipped": found.skips.count,
        "skipped_reasons": found.skips.by_reason(),
        "estimate": {
            "chunks": found.chunks,
            "new_chunks": found.new_chunks,
            "seconds": found.seconds,
            "chunks_per_second": found.chunks_per_second,
            "is_measured": found.is_measured,
        },
        "heads_wanted": found.heads_wanted,
        "fit": {
            "tier": found.tier,
            "fits": not found.breaks,
            "breaks": found.breaks,
            "takes": found.takes,
        },
    }
