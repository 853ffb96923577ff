"""Cursor pages: `{"results": […], "next": url|null}`, newest first."""

from collections.abc import Sequence
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from aiassist.lib.errors import ValidationFailed


class BadCursor(ValidationFailed):
    """The cursor is none of ours."""

    def __init__(self) -> None:
        detail = "Take the cursor from 'next' of the page before."
        super().__init__(
            errors=[{"field": "cursor", "code": "invalid", "detail": detail}]
        )


class NewestFirst(CursorPagination):
    """Pages of 50; `page_size` asks for up to 200."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-created_at"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """Return a page. Raises BadCursor, before any query."""
        try:
            cursor = self.decode_cursor(request)
        except NotFound:
            raise BadCursor from None
        if cursor and cursor.position is not None:
            self.require_position(str(cursor.position))
        return super().paginate_queryset(queryset, request, view)

    def require_position(self, position: str) -> None:
        """Raise BadCursor unless a page can begin there."""
        if "\x00" in position:  # no text of the database holds it
            raise BadCursor
        if not self.ordering.endswith("_at"):
            return
        try:
            moment = parse_datetime(position)
        except ValueError:  # of the right form, and no such day
            moment = None
        if moment is None or moment.tzinfo is None:
            raise BadCursor

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        return Response({"results": data, "next": self.get_next_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {
                    "type": "string",
                    "format": "uri",
                    "nullable": True,
                    "description": "Where the next page is; null on the last.",
                },
            },
        }


def newest_first(
    view: APIView, request: Request, rows: Any, output: type[BaseSerializer[Any]]
) -> Response:
    """Answer a page of a queryset's rows as `output` shows them. Raises BadCursor."""
    pages = NewestFirst()
    page = pages.paginate_queryset(rows, request, view=view)
    return pages.get_paginated_response(list(output(page, many=True).data))
