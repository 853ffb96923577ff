"""A worker says that it lives, and lets Prometheus read its numbers."""

from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from aiassist import metrics
from aiassist.heartbeat import HeartbeatStep, workers_alive
from tests.support.ports import free_port
from tests.support.redis import RedisServer


class Timer:
    """Celery's timer, as far as the step knows it."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.is_cancelled = False

    def call_repeatedly(self, *call: Any) -> "Timer":
        self.calls.append(call)
        return self

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.fixture
def worker() -> Any:
    return SimpleNamespace(hostname="celery@here", timer=Timer())


def test_a_worker_is_alive_from_its_start_to_its_stop(worker: Any):
    step = HeartbeatStep(worker)
    step.start(worker)
    assert workers_alive() == 1
    assert len(worker.timer.calls) == 1

    step.stop(worker)

    assert workers_alive() == 0
    assert worker.timer.is_cancelled


def test_a_worker_that_never_started_stops_in_peace(worker: Any):
    HeartbeatStep(worker).stop(worker)

    assert workers_alive() == 0


def test_a_worker_outlives_its_redis(worker: Any, redis_server: RedisServer):
    step = HeartbeatStep(worker)
    redis_server.kill()

    step.start(worker)
    step.stop(worker)

    assert worker.timer.is_cancelled


def test_a_workers_numbers_are_served_where_a_port_is_set(settings: Any):
    settings.WORKER_METRICS_PORT = free_port()

    metrics.serve_worker_metrics()

    address = f"http://127.0.0.1:{settings.WORKER_METRICS_PORT}/metrics"
    assert "aiassist_index_jobs_total" in httpx2.get(address).text
