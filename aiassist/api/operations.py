"""How an operation stands in the OpenAPI document, beside what its view says."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import Serializer

Parameters = list[OpenApiParameter | Serializer[Any] | type[Serializer[Any]]]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description=(
        "Of your own making (a UUID, say). The same request sent again with the same "
        "key within 24 hours has one effect and one answer; see /guides/retries/."
    ),
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`true`: this is the answer that was given before under the same key.",
    enum=["true"],
    response=True,
)


class Operation(AutoSchema):
    """Tells of what the middleware does for an operation (`aiassist.idempotency`)."""

    def get_override_parameters(self) -> Parameters:
        given = super().get_override_parameters()
        if not self._may_be_sent_again():
            return given
        return [*given, IDEMPOTENCY_KEY, REPLAYED]

    def _may_be_sent_again(self) -> bool:
        return (
            self.method == "POST"
            and self.path.startswith(("/api/v1/", "/v1/"))
            and bool(self.view.authentication_classes)  # a key is one user's
        )
