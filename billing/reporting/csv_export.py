"""Usage records as CSV that is safe to open in a spreadsheet.

Source: https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from django.db.models import Q
from django.db.models.query import QuerySet

from aiassist.lib import clock
from aiassist.lib.db import in_db
from billing.models import UsageRecord

COLUMNS = (
    *("id", "request_id", "key_id", "workspace_id", "tier", "endpoint", "feature"),
    *("provider", "model", "tokens_in", "tokens_out", "cost_usd_micros", "estimated"),
    *("status", "latency_ms", "first_token_ms", "admitted_at", "created_at"),
    *("upstream", "own_key", "fallback"),  # behind the others: readers go by position
)
_PAGE = 1000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_lines(records: "QuerySet[UsageRecord]") -> Iterator[bytes]:
    """Yield the header and pages of rows, newest first."""
    yield _encode([COLUMNS])
    page: list[UsageRecord] = []
    while page := _page(records, page[-1] if page else None):
        yield _encode(map(_row, page))


async def acsv_lines(records: "QuerySet[UsageRecord]") -> AsyncIterator[bytes]:
    """Do as `csv_lines`; no connection is held while the reader reads."""
    yield _encode([COLUMNS])
    page: list[UsageRecord] = []
    while page := await in_db(_page, records, page[-1] if page else None):
        yield _encode(map(_row, page))


def _page(
    records: "QuerySet[UsageRecord]", last: UsageRecord | None
) -> list[UsageRecord]:
    """Return the page that follows `last`."""
    ordered = records.order_by("-created_at", "-id")
    if last is not None:
        ordered = ordered.filter(
            Q(created_at__lt=last.created_at)
            | Q(created_at=last.created_at, id__lt=last.pk)
        )
    return list(ordered[:_PAGE])


def _row(record: UsageRecord) -> list[Any]:
    return [
        record.pk,
        record.request_id,
        record.key_id,
        record.workspace_id,
        record.tier_code,
        record.endpoint,
        record.feature,
        record.provider,
        record.model,
        record.tokens_in,
        record.tokens_out,
        record.cost_usd_micros,
        "true" if record.estimated else "false",
        record.status,
        record.latency_ms,
        record.first_token_ms,
        clock.rfc3339(record.admitted_at),
        clock.rfc3339(record.created_at),
        record.upstream,
        "true" if record.own_key else "false",
        record.fallback,
    ]


def _encode(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _safe(cell: Any) -> Any:
    """Keep a spreadsheet from running a cell that looks like a formula."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell
