"""Django's cache on Redis, which outlives Redis.

While Redis is away (it is asked again every few seconds) each process keeps to
itself: what the cache holds (form rate limits, used one-time codes) is then exact
within a process rather than nowhere.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from aiassist.lib.breaker import Breaker
from aiassist.lib.redis import RedisDown

# Shared by the process's threads, each of which has a cache object of its own.
breaker = Breaker()


# allauth's one-time codes, which would stand in the key as they are.
_CODES = "allauth.idp.oidc."


def make_key(key: str, key_prefix: str, version: int) -> str:
    """Name a key as Django does, but let no code of allauth's stand in it (T8)."""
    if key.startswith(_CODES):
        key = f"identity:{sha256(key.encode()).hexdigest()}"
    return f"{key_prefix}:{version}:{key}"


class FallbackRedisCache(RedisCache):
    """Answers from Redis, else from this process's memory."""

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        kept = {k: v for k, v in params.items() if k != "OPTIONS"}
        self._local = LocMemCache("fallback", kept)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().add, self._local.add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().get, self._local.get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().set, self._local.set, *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().touch, self._local.touch, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().delete, self._local.delete, *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().get_many, self._local.get_many, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().set_many, self._local.set_many, *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(
            super().delete_many, self._local.delete_many, *args, **kwargs
        )

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().has_key, self._local.has_key, *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().incr, self._local.incr, *args, **kwargs)

    def clear(self) -> Any:
        return self._either(super().clear, self._local.clear)

    @staticmethod
    def _either(
        first: Callable[..., Any], second: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if not breaker.allows():
            return second(*args, **kwargs)
        try:
            answer = first(*args, **kwargs)
        except RedisDown:
            breaker.failed()
            return second(*args, **kwargs)
        breaker.succeeded()
        return answer
