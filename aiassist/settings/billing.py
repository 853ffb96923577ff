"""Quotas: how long a call may hold what it reserved."""

from aiassist import env
from aiassist.settings.providers import PROVIDER_TOTAL_TIMEOUT_SECONDS

# The longest stream: the provider's total limit, and half a minute around it for
# retrieval and settling. A call that has not settled by then has lost its process.
RESERVATION_SECONDS = PROVIDER_TOTAL_TIMEOUT_SECONDS + 30.0
# How many local answers a user may have in an hour after their quota for a paid model
# is used up, if they wish so; 0: none.
LOCAL_FALLBACK_PER_HOUR = env.integer("LOCAL_FALLBACK_PER_HOUR", 0, most=10_000)
# A count that the cache lost lets an unmetered call pass.
RATELIMIT_FAIL_OPEN = True
# Usage records are written in batches, so often; 0: each before its call has ended.
USAGE_WRITE_SECONDS = env.integer("USAGE_WRITE_SECONDS", 1, most=60)
