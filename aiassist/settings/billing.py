"""Quotas: how long a call may hold what it reserved."""

from aiassist import env
from aiassist.settings.providers import PROVIDER_TOTAL_TIMEOUT_SECONDS

# The longest stream: the provider's total limit, and half a minute around it for
# retrieval and settling. A call that has not settled by then has lost its process.
RESERVATION_SECONDS = PROVIDER_TOTAL_TIMEOUT_SECONDS + 30.0
# A count that the cache lost lets an unmetered call pass.
RATELIMIT_FAIL_OPEN = True
# Usage records are written in batches, so often; 0: each before its call has ended.
USAGE_WRITE_SECONDS = env.integer("USAGE_WRITE_SECONDS", 1, most=60)
