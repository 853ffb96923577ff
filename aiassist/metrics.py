"""`/metrics`: what every process counted, and the queues as they stand now.

Several web processes share a folder (PROMETHEUS_MULTIPROC_DIR); a worker serves its
own numbers on WORKER_METRICS_PORT.
Source: https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Iterator
from datetime import datetime

from celery.signals import worker_init
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from aiassist.lib.bounded import ask
from aiassist.lib.clock import now
from aiassist.lib.redis import RedisDown, client
from aiassist.operators import for_operators
from workspaces.models import IndexJob

QUEUES = ("index", "default")
# Well below the 10 s after which Prometheus takes the whole process for away.
LIMIT_SECONDS = 2.0


class QueueCollector(Collector):
    """Depth and age at the moment of asking; a part that is away is left out."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth = GaugeMetricFamily(
            "aiassist_queue_depth", "Messages waiting in the broker.", labels=["queue"]
        )
        try:
            for queue in QUEUES:
                depth.add_metric([queue], client().llen(queue))
            yield depth
        except RedisDown:
            pass
        try:
            n_waiting, oldest = ask("index jobs", _waiting_jobs).result(LIMIT_SECONDS)
        except (DatabaseError, TimeoutError):
            return
        yield GaugeMetricFamily(
            "aiassist_index_jobs_waiting", "Index jobs accepted.", value=n_waiting
        )
        yield GaugeMetricFamily(
            "aiassist_queue_oldest_seconds",
            "Age of the oldest index job that waits; 0 when none does.",
            value=(now() - oldest).total_seconds() if oldest else 0,
        )


def _waiting_jobs() -> tuple[int, datetime | None]:
    """Return how many index jobs wait, and since when the oldest does."""
    try:
        found = IndexJob.objects.filter(state="queued").aggregate(
            n_waiting=Count("pk"), oldest=Min("created_at")
        )
    finally:
        connection.close()
    return found["n_waiting"], found["oldest"]


def counted() -> CollectorRegistry:
    """Return what was counted: by all processes that share a folder, else by ours."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


@never_cache
@require_safe
@for_operators
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer in Prometheus' text format."""
    queues = CollectorRegistry()
    queues.register(QueueCollector())
    body = generate_latest(counted()) + generate_latest(queues)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


@worker_init.connect
def serve_worker_metrics(**kwargs: object) -> None:
    """Let Prometheus read a worker's numbers, inside the private network."""
    if settings.WORKER_METRICS_PORT:
        start_http_server(settings.WORKER_METRICS_PORT, registry=counted())
