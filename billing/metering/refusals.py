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

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    connection,
    transaction,
)

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


_Note = tuple[_Key, float]  # and when, in seconds since 1970
_waiting: deque[_Note] = deque(maxlen=_MOST_WAITING)


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
    """Write what waits; while the database is away it waits on."""
    taken: list[_Note] = []
    while _waiting:
        try:
            taken.append(_waiting.popleft())
        except IndexError:
            break  # another thread writes, too
    if not taken:
        return False
    parts = [taken]
    while parts:
        part = parts.pop()
        try:
            _write(part)
        except (DataError, IntegrityError) as error:
            # One that no table takes does not keep the others: halves are tried.
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            else:
                logger.error("could not count a refusal (%s)", type(error).__name__)
        except (DatabaseError, InterfaceError) as error:
            for left in (*parts, part):
                _waiting.extendleft(reversed(left))
            logger.warning("refusals wait for the database (%s)", type(error).__name__)
            break
    return True


def forget() -> None:
    """Drop what waits: what a test leaves must not reach the next one."""
    _waiting.clear()


def prune(*, now: datetime | None = None) -> int:
    """Delete what is too old to be replayed; return how many rows."""
    return Refusal.objects.filter(minute__lt=(now or clock.now()) - KEPT).delete()[0]


@transaction.atomic
def _write(taken: list[_Note]) -> None:
    living = User.objects.lock_living(key.user_id for key, _ in taken)
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
