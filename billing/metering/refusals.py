"""What limits refused, kept for staff and for the simulator: numbers, no contents.

To refuse must stay cheap, as floods are refused, too: a refusal is one entry of a list
in this process. The thread that writes usage records adds them up and writes one row
for each user, minute and reason. A process that is killed loses a second of them.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, connection, transaction

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.errors import (
    FeatureNotInTier,
    LimitRefused,
    ProviderNotInTier,
    QuotaExceeded,
)
from billing.metering.limits import CONCURRENCY, DAY, HOUR
from billing.metering.outbox import outbox
from billing.models import Refusal, Tier

logger = logging.getLogger(__name__)

KEPT = timedelta(days=60)
REASONS = (
    *(f"{QuotaExceeded.code} ({policy})" for policy in (HOUR, DAY, CONCURRENCY)),
    *(FeatureNotInTier.code, ProviderNotInTier.code),
)
_MOST_WAITING = 100_000  # the oldest go, if the database stays away
_TABLE = Refusal._meta.db_table
_ADD = f"""
INSERT INTO {_TABLE} (user_id, tier_code, feature, provider, reason, minute,
    n_calls, first_at, last_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (user_id, minute, tier_code, feature, provider, reason) DO UPDATE SET
    n_calls = {_TABLE}.n_calls + excluded.n_calls,
    first_at = CASE WHEN excluded.first_at < {_TABLE}.first_at
        THEN excluded.first_at ELSE {_TABLE}.first_at END,
    last_at = CASE WHEN excluded.last_at > {_TABLE}.last_at
        THEN excluded.last_at ELSE {_TABLE}.last_at END
"""


class _Key(NamedTuple):
    user_id: str
    tier_code: str
    feature: str
    provider: str
    reason: str


_waiting: deque[tuple[_Key, float]] = deque(maxlen=_MOST_WAITING)


def reason_of(refusal: LimitRefused) -> str:
    """Return the code, of a window with its name: "quota_exceeded (hour)"."""
    if isinstance(refusal, QuotaExceeded):
        return f"{refusal.code} ({refusal.details['policy']})"
    return refusal.code


def note(
    user_id: str,
    tier: Tier,
    feature: str,
    refusal: LimitRefused,
    *,
    now: datetime | None = None,
) -> None:
    """Remember that a metered call was refused."""
    asked = refusal.details["used"] if isinstance(refusal, ProviderNotInTier) else ""
    key = _Key(user_id, tier.code, feature[:40], str(asked)[:40], reason_of(refusal))
    _waiting.append((key, now.timestamp() if now else time.time()))
    outbox.start()


@contextmanager
def noted(user_id: str, tier: Tier, feature: str) -> Iterator[None]:
    """Note it when the block refuses what the tier lacks."""
    try:
        yield
    except (FeatureNotInTier, ProviderNotInTier) as refusal:
        note(user_id, tier, feature, refusal)
        raise


def write() -> bool:
    """Write what waits; what the database does not take waits on."""
    taken = []
    while _waiting:
        try:
            taken.append(_waiting.popleft())
        except IndexError:
            break  # another thread writes, too
    if not taken:
        return False
    try:
        _write(taken)
    except (DatabaseError, InterfaceError) as error:
        _waiting.extendleft(reversed(taken))
        logger.warning("refusals wait for the database (%s)", type(error).__name__)
    return True


def forget() -> None:
    """Drop what waits: what a test leaves must not reach the next one."""
    _waiting.clear()


def prune(*, now: datetime | None = None) -> int:
    """Delete what is too old to be replayed; return how many rows."""
    return Refusal.objects.filter(minute__lt=(now or clock.now()) - KEPT).delete()[0]


@transaction.atomic
def _write(taken: list[tuple[_Key, float]]) -> None:
    # Locked until the end, so that nobody is deleted meanwhile.
    living = set(
        User.objects.select_for_update(no_key=True)
        .filter(pk__in={key.user_id for key, _ in taken}, deleted_at__isnull=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    counted: dict[tuple[_Key, int], list[float]] = {}
    for key, at in taken:
        if key.user_id in living:
            counted.setdefault((key, int(at // 60)), []).append(at)
    rows = [
        (
            *key,
            _moment(minute * 60),
            len(times),
            _moment(min(times)),
            _moment(max(times)),
        )
        for (key, minute), times in sorted(counted.items())
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, rows)


def _moment(seconds: float) -> Any:
    """Return it as the database at hand takes it in plain SQL."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return connection.ops.adapt_datetimefield_value(moment)


outbox.writes_too(write)
