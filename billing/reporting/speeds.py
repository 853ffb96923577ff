"""Times to answer, counted in buckets that grow by 4 %: percentiles within 2 %.

Counts of buckets add up over days and users, which percentiles themselves do not.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.db.models import F, SmallIntegerField, Value
from django.db.models.functions import Cast, Greatest, Ln, Round

from billing.reporting.dashboards import Latency

_PER_E = 25  # buckets for each factor of e

# The bucket of a record's `latency_ms`, as the database counts it.
BUCKET: Any = Cast(
    Round(Ln(Greatest(F("latency_ms"), Value(1))) * _PER_E), SmallIntegerField()
)


def speed_of(counts: Mapping[int, int]) -> Latency | None:
    """Return median and 95th percentile of calls per bucket, None for no call."""
    total = sum(counts.values())
    if not total:
        return None
    return Latency(_rank(counts, total, 50), _rank(counts, total, 95))


def _rank(counts: Mapping[int, int], total: int, percent: int) -> int:
    wanted = -(-total * percent // 100)
    for bucket in sorted(counts):
        wanted -= counts[bucket]
        if wanted <= 0:
            return round(math.exp(bucket / _PER_E))
    raise AssertionError("Percentiles lie within the counts.")
