"""REDIS_URL names the broker, too, in each form that it may have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection

from aiassist.settings.celery import broker_url
from tests.support.redis import RedisServer


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    """A Redis that listens on a socket."""
    server = RedisServer()
    path = server.home / "redis.sock"
    server.process.command += ["--unixsocket", str(path)]
    server.start()
    yield path
    server.stop()


@pytest.mark.parametrize(("query", "number"), [("", 0), ("?db=3", 3)])
def test_tasks_go_through_a_socket(socket: Path, query: str, number: int):
    url = f"unix://{socket}{query}"

    with Connection(broker_url(url)) as broker:
        broker.SimpleQueue("tasks").put({"n": 1})

    with redis.Redis.from_url(url) as client:
        assert client.llen("tasks") == 1
        assert client.connection_pool.connection_kwargs.get("db", 0) == number


@pytest.mark.parametrize("url", ["redis://:pw@host:6379/1", "rediss://host:6380/0"])
def test_other_addresses_stay_as_they_are(url: str):
    assert broker_url(url) == url
