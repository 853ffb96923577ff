"""The cache outlives Redis: each process then keeps to itself (limits, used codes)."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from aiassist.lib import cache as lib_cache
from tests.support.redis import RedisServer


@pytest.fixture(params=["with Redis", "without Redis"])
def kept(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Any]:
    """The cache, empty; Redis is killed for the second run."""
    lib_cache.breaker.succeeded()
    made = type(cache._connections["default"])(  # type: ignore[attr-defined]
        redis_server.url, {"KEY_PREFIX": "tried"}
    )
    if request.param == "without Redis":
        redis_server.kill()
    yield made
    made.clear()
    lib_cache.breaker.succeeded()


def test_it_keeps_one_value(kept: Any):
    assert kept.get("a") is None
    kept.set("a", 1)
    assert kept.get("a") == 1
    assert kept.has_key("a")
    assert not kept.add("a", 2)
    assert kept.incr("a") == 2
    assert kept.delete("a")
    assert "a" not in kept


def test_it_keeps_many_values(kept: Any):
    kept.set_many({"a": 1, "b": 2})
    assert kept.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    kept.delete_many(["a"])
    assert kept.get_many(["a", "b"]) == {"b": 2}


def test_a_touched_value_lives_on(kept: Any):
    kept.set("a", 1, timeout=60)
    assert kept.touch("a", 600)
    assert not kept.touch("b", 600)


def test_redis_is_asked_again_after_a_while(redis_server: RedisServer, kept: Any):
    redis_server.kill()
    kept.set("a", "this process alone")
    redis_server.start()

    assert kept.get("a") == "this process alone"
    lib_cache.breaker._retry_at = 0.0  # the rest is over
    assert kept.get("a") is None
