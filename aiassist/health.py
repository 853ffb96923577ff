"""Liveness for anyone, details and metrics for operators."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypedDict

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from aiassist.heartbeat import workers_alive
from aiassist.lib.bounded import ask
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.redis import client
from aiassist.lib.registry import health_checks
from aiassist.metrics import metrics
from aiassist.operators import for_operators

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 2.0  # a part that answers later counts as away
# Without these nothing can be answered; without the others something still can.
VITAL = ("database",)


class Part(TypedDict):
    """One dependency: `up` or `down`, and how long it took to say so."""

    status: str
    response_time: float  # milliseconds


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer that this process lives; touches no database."""
    return JsonResponse(_head("ok"))


@never_cache
@require_safe
@for_operators
def detailed(request: HttpRequest) -> JsonResponse:
    """Answer how each dependency does: 200 while we can serve, else 503."""
    parts = examine()
    down = {name for name, part in parts.items() if part["status"] != "up"}
    status = "unhealthy" if down & set(VITAL) else "degraded" if down else "ok"
    return JsonResponse(
        {**_head(status), "dependencies": parts},
        status=503 if status == "unhealthy" else 200,
    )


def _head(status: str) -> dict[str, object]:
    return {"status": status, "timestamp": rfc3339(now()), "version": settings.VERSION}


def examine() -> dict[str, Part]:
    """Ask every dependency at once; takes LIMIT_SECONDS at most and never raises."""
    began = time.monotonic()
    checks: dict[str, Callable[[], object]] = {
        "database": _ask_database,
        "redis": _ask_redis,
        "workers": _ask_workers,
        **dict(health_checks.items()),
    }
    due = {name: ask(name, partial(_timed, check)) for name, check in checks.items()}
    return {name: _part(name, answer, began) for name, answer in due.items()}


def _timed(check: Callable[[], object]) -> float:
    began = time.monotonic()
    check()
    return time.monotonic() - began


def _part(name: str, due: "Future[float]", began: float) -> Part:
    left = max(0.0, began + LIMIT_SECONDS - time.monotonic())
    try:
        error = due.exception(left)
    except TimeoutError:
        logger.warning("%s gave no sign within %g s", name, LIMIT_SECONDS)
        return {"status": "down", "response_time": _ms(time.monotonic() - began)}
    if error is None:
        return {"status": "up", "response_time": _ms(due.result())}
    logger.warning("%s is away: %s", name, type(error).__name__)
    return {"status": "down", "response_time": _ms(time.monotonic() - began)}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _ask_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def _ask_redis() -> None:
    client().ping()


def _ask_workers() -> None:
    if not workers_alive():
        raise LookupError("no worker was heard of lately")


# They are for machines: another method answers 405 and no page about a form's token.
urlpatterns = [
    path("health", csrf_exempt(health), name="health"),
    path("health/detailed", csrf_exempt(detailed), name="health-detailed"),
]
if settings.PROMETHEUS_ENABLED:
    urlpatterns.append(path("metrics", csrf_exempt(metrics), name="metrics"))
