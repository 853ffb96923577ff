"""How a view's OpenAPI operation shows a refusal of its own."""

from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from aiassist.api.problems import problem_body


def problem(code: str, detail: str, status: int, **more: object) -> OpenApiResponse:
    """Return the documentation of a refusal; `more` are its own members."""
    body = problem_body(
        status=status, code=code, detail=detail, request_id="req_8sKq2", extra=more
    )
    example = OpenApiExample(
        code, value=body, status_codes=[status], response_only=True
    )
    return OpenApiResponse(
        {"$ref": "#/components/schemas/Problem"}, description=detail, examples=[example]
    )
