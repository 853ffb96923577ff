"""Time: aware, UTC, and the half-open windows that quotas count in."""

import re
from datetime import datetime, timedelta

from django.utils import timezone

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def now() -> datetime:
    """Return the server's clock, aware, in UTC."""
    return timezone.now()


def hour_window(moment: datetime) -> tuple[datetime, datetime]:
    """Return the clock hour `[start, end)` in UTC that holds `moment`."""
    start = moment.replace(minute=0, second=0, microsecond=0)
    return start, start + HOUR


def day_window(moment: datetime) -> tuple[datetime, datetime]:
    """Return the UTC day `[start, end)` that holds `moment`."""
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + DAY


def rfc3339(moment: datetime) -> str:
    """Return e.g. `2026-11-23T09:00:00Z` (RFC 3339, section 5.6)."""
    return moment.isoformat().replace("+00:00", "Z")


def plainly(sentence: str) -> str:
    """Return the sentence with its RFC 3339 times as e.g. `21:00 UTC on 3 Mar`."""

    def shown(found: re.Match[str]) -> str:
        return f"{datetime.fromisoformat(found[0]):%H:%M UTC on %-d %b}"

    return _RFC3339.sub(shown, sentence)
