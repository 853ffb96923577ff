"""What billing's tests share."""
# ruff: noqa: PLC0415 - this file loads before django.setup()

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _closed_breaker() -> Iterator[None]:
    """No test inherits another's dead Redis, or calls it has not written."""
    from aiassist.lib import cache, cached_principals
    from billing.metering import refusals, windows
    from billing.metering.outbox import outbox

    yield
    outbox.forget()
    refusals.forget()
    windows.breaker.succeeded()
    cached_principals.breaker.succeeded()
    cache.breaker.succeeded()
