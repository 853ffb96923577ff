"""Liveness for anyone; details for operators, whatever is broken."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from aiassist import health
from aiassist.heartbeat import ALIVE_SECONDS, KEY, beat, workers_alive
from aiassist.lib.registry import health_checks
from tests.support.redis import RedisServer


@pytest.fixture
def part() -> Iterator[Callable[[str, Callable[[], None]], None]]:
    """Stand in for a dependency of some higher app."""
    before = dict(health_checks.entries)
    yield health_checks.register
    health_checks.entries.clear()
    health_checks.entries.update(before)


def statuses(answer: Any) -> dict[str, str]:
    return {k: v["status"] for k, v in answer.json()["dependencies"].items()}


def test_k1_liveness_touches_no_database(client: Client, settings: Any):
    """No `db` fixture: a query would fail."""
    answer = client.get("/health")

    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "timestamp", "version"}
    assert answer.json()["status"] == "ok"
    assert answer.json()["version"] == settings.VERSION
    assert answer["Cache-Control"].startswith("max-age=0")


def test_details_name_every_dependency(client: Client, transactional_db: None):
    beat("celery@test")

    answer = client.get("/health/detailed")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert statuses(answer) == {
        "database": "up",
        "redis": "up",
        "workers": "up",
        "vector database": "up",
    }
    for found in answer.json()["dependencies"].values():
        assert 0 <= found["response_time"] < 2000


def test_without_workers_it_is_degraded(client: Client, transactional_db: None):
    answer = client.get("/health/detailed")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert statuses(answer)["workers"] == "down"


def test_a_dead_redis_is_degraded(
    client: Client, transactional_db: None, redis_server: RedisServer
):
    redis_server.kill()

    answer = client.get("/health/detailed")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert statuses(answer)["redis"] == "down"
    assert statuses(answer)["database"] == "up"


def test_a_frozen_redis_costs_a_bounded_time(
    client: Client, transactional_db: None, redis_server: RedisServer
):
    redis_server.freeze()

    began = time.monotonic()
    answer = client.get("/health/detailed")

    assert time.monotonic() - began < health.LIMIT_SECONDS + 1
    assert statuses(answer)["redis"] == "down"


def test_a_part_that_raises_or_hangs_never_breaks_the_page(
    client: Client, transactional_db: None, part: Any, settings: Any, monkeypatch: Any
):
    monkeypatch.setattr(health, "LIMIT_SECONDS", 0.3)
    part("broken", lambda: 1 / 0)
    let_go = threading.Event()
    part("hanging", lambda: let_go.wait(20))

    began = time.monotonic()
    answer = client.get("/health/detailed")

    let_go.set()
    assert time.monotonic() - began < 5
    assert statuses(answer)["broken"] == "down"
    assert statuses(answer)["hanging"] == "down"


def test_what_hangs_is_asked_once_however_many_want_to_know(
    client: Client, transactional_db: None, part: Any, monkeypatch: Any
):
    """Else it would take the threads that the others are asked in."""
    monkeypatch.setattr(health, "LIMIT_SECONDS", 0.05)
    let_go, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        let_go.wait(20)

    part("hanging at length", hang)

    for _ in range(3):
        client.get("/health/detailed")

    let_go.set()
    assert asked == [1]


def test_without_a_database_it_is_unhealthy(client: Client, monkeypatch: Any):
    """No `db` fixture: the suite's guard refuses the connection."""
    answer = client.get("/health/detailed")

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert statuses(answer)["database"] == "down"


def test_a_worker_not_heard_of_for_long_does_not_count(redis_client: Any):
    beat("celery@here")
    redis_client.zadd(KEY, {"celery@gone": time.time() - ALIVE_SECONDS - 1})

    assert workers_alive() == 1


@pytest.mark.parametrize("place", ["/health/detailed", "/metrics"])
class TestM7WhoMaySeeThem:
    """M7: not public by default."""

    @pytest.mark.parametrize("peer", ["203.0.113.9", "172.32.0.1", "2001:db8::1", ""])
    def test_strangers_get_what_an_unknown_page_gives(
        self, client: Client, db: None, place: str, peer: str
    ):
        answer = client.get(place, REMOTE_ADDR=peer)

        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "peer", ["127.0.0.1", "10.1.2.3", "172.18.0.4", "::1", "::ffff:10.1.2.3"]
    )
    def test_the_private_network_may(
        self, client: Client, transactional_db: None, place: str, peer: str
    ):
        assert client.get(place, REMOTE_ADDR=peer).status_code == 200

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
    def test_nobody_may_through_a_proxy(
        self, client: Client, db: None, place: str, header: str
    ):
        answer = client.get(place, headers={header: "127.0.0.1"})

        assert answer.status_code == 404

    def test_with_a_token_only_the_token_opens_them(
        self, client: Client, transactional_db: None, place: str, settings: Any
    ):
        settings.METRICS_TOKEN = "operators-token-0123456789"

        def status(**headers: str) -> int:
            return client.get(
                place, REMOTE_ADDR="203.0.113.9", headers=headers
            ).status_code

        assert client.get(place).status_code == 404
        assert status(Authorization="Bearer wrong-token") == 404
        assert status(Authorization="Bearer operators-token-0123456789") == 200
