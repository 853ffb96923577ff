"""The generation of the principals that Redis caches: raise it, and none is used again.

A cached principal lives for a second at most, whatever happens here; raising the
generation ends it at once. Called by all that takes something from somebody.
"""

import logging

from django.conf import settings
from django.db import transaction

from aiassist.lib.breaker import Breaker
from aiassist.lib.redis import RedisDown, client

logger = logging.getLogger(__name__)

KEY = "who:generation"
breaker = Breaker()


def end_cached_principals() -> None:
    """Forget, once the transaction is committed, whom credentials resolve to."""
    transaction.on_commit(_raise_generation)


def _raise_generation() -> None:
    if not settings.REDIS_URL or not breaker.allows():
        return
    try:
        client().incr(KEY)
    except RedisDown as error:
        breaker.failed()
        logger.warning("cached principals end by their age (%s)", type(error).__name__)
    else:
        breaker.succeeded()
