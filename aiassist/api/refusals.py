"""How the OpenAPI document shows that a call may be refused."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from aiassist.api.problems import problem_body


class ProblemOutput(serializers.Serializer[Any]):
    """RFC 9457, sent as application/problem+json."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField()


def problem(code: str, detail: str, status: int, **more: object) -> OpenApiResponse:
    """Return the documentation of a refusal; `more` are its own members."""
    body = problem_body(
        status=status, code=code, detail=detail, request_id="req_8sKq2", extra=more
    )
    example = OpenApiExample(
        code, value=body, status_codes=[status], response_only=True
    )
    return OpenApiResponse(ProblemOutput, description=detail, examples=[example])
