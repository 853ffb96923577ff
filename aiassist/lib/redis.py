"""Redis clients: one pool per process.

They give up quickly (`settings.REDIS_TIMEOUT_SECONDS`), so that a frozen Redis
costs a bounded time and the database decides instead.
"""

from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

RedisDown = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)

# A pooled connection may have died with an earlier Redis, so one more try at once.
# By default the library tries thrice with pauses; a timeout is never tried again.
_RETRIES = 1
_RETRIED = (redis.ConnectionError,)


@cache
def client() -> "redis.Redis":
    """Return this process's client; answers are `str`."""
    return _client(settings.REDIS_URL, _RETRIES)


def client_that_never_repeats() -> "redis.Redis":
    """Return a client for commands that must not be carried out twice.

    An answer that got lost on its way is an error, whatever Redis did.
    """
    return _client(settings.REDIS_URL, 0)


@cache
def _client(url: str, n_retries: int) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=settings.REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), n_retries, supported_errors=_RETRIED),
    )
