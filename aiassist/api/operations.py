"""How an operation stands in the OpenAPI document, beside what its view says.

Whatever holds for many is told here once: the scope, the refusals that any call may
meet, and the key by which a call may be sent again. `document` holds the rest.
"""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import Serializer

from accounts.scopes import ACCOUNT, ASSISTANT, SEARCH
from aiassist.api.document import refusal
from aiassist.api.problems import CONTENT_TYPE

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
    response=[200, 201, 202],  # a refused call had no effect, and is tried anew
)


class Operation(AutoSchema):
    """An operation with what the framework around the views does for it."""

    def get_description(self) -> str:  # type: ignore[override]  # as AutoSchema has it
        """Return nothing: a docstring is for those who work here."""
        return ""

    def get_override_parameters(self) -> Parameters:
        given = super().get_override_parameters()
        if not self._may_be_sent_again():
            return given
        return [*given, IDEMPOTENCY_KEY, REPLAYED]

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if scope := scope_of(self):
            told = operation.get("description", "")
            operation["description"] = f"{told}\n\nScope: `{scope}`.".strip()
        responses = operation["responses"]
        for status, response in responses.items():
            content = response.get("content", {})
            if int(status) >= 400 and "application/json" in content:
                content[CONTENT_TYPE] = content.pop("application/json")
        for status in self._refusals(operation):
            responses.setdefault(str(status), refusal(self.path, status))
        operation["responses"] = dict(sorted(responses.items()))
        return operation

    def get_auth(self) -> list[dict[str, list[str]]]:
        """Return the ways to send a credential, any of which will do."""
        if not super().get_auth():
            return []
        scope = scope_of(self)
        ways: list[dict[str, list[str]]] = [{"BearerAuth": []}, {"ApiKeyAuth": []}]
        if scope == ACCOUNT:  # no app is ever given it
            return ways
        return [*ways, {"SignIn": [scope] if scope else []}]

    def _may_be_sent_again(self) -> bool:
        return (
            self.method == "POST"
            and self.path.startswith(("/api/v1/", "/v1/"))
            and bool(self.view.authentication_classes)  # a key is one user's
        )

    def _refusals(self, operation: dict[str, Any]) -> Iterator[int]:
        """Yield the statuses of the refusals that the operation may meet."""
        places = {given["in"] for given in operation.get("parameters", ())}
        yield 400
        if self.view.authentication_classes:
            yield from (401, 403)
        names_more = scope_of(self) in (ASSISTANT, SEARCH)  # a model, a workspace
        if "path" in places or ("requestBody" in operation and names_more):
            yield 404
        if "requestBody" in operation:
            yield from (413, 415)
        if getattr(self.view, "asks_provider", False):
            yield from (502, 504)
        if self._may_be_sent_again():
            yield from (409, 422)
        yield from (429, 503)


def scope_of(operation: AutoSchema) -> str:
    """Return the scope that the operation takes; "": none."""
    asked = getattr(operation.view, "scope_of", None)
    return str(asked(operation.method)) if asked else ""
