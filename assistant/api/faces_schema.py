"""How the faces stand in the OpenAPI document: free-form bodies, whole or streamed."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

WORKSPACE_HEADER = OpenApiParameter(
    "X-Workspace-Id",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Adds code retrieved from this workspace.",
)


def whole_or_streamed(stream: str) -> dict[tuple[int, str], object]:
    """Return the responses of a face; `stream` says what its events are."""
    return {
        (200, "application/json"): OpenApiTypes.OBJECT,
        (200, "text/event-stream"): OpenApiResponse(
            OpenApiTypes.STR, description=f"With `stream`: {stream}."
        ),
    }
