"""aadmit, asettle, arelease: no connection held, no settlement lost."""

import asyncio

import pytest
from django.db import connection

from aiassist.lib.db import in_db
from aiassist.lib.errors import QuotaExceeded
from billing.metering.admission import aadmit, limits_for
from billing.metering.holds import n_open
from billing.metering.ledger import Settlement, arelease, asettle
from billing.models import UsageRecord
from tests.billing.people import tier
from tests.support import pool

pytestmark = pytest.mark.django_db(transaction=True)

CALL = {"feature": "basic_chat", "endpoint": "POST /chat", "request_id": "req_1"}


@pytest.fixture
def principal(alice):
    """Alice's, made before the event loop runs, and no connection kept."""
    made = alice.principal
    connection.close()
    return made


async def test_a_call_is_admitted_and_settled(principal):
    admission = await aadmit(principal, **CALL)
    await asettle(admission, Settlement(tokens_in=5))

    record = await in_db(UsageRecord.objects.get)
    assert (record.tokens_in, record.user_id) == (5, principal.user.pk)


async def test_a_refusal_is_raised(principal):
    await in_db(tier, requests_per_hour=0)
    with pytest.raises(QuotaExceeded):
        await aadmit(principal, **CALL)


async def test_s8_no_connection_is_held_after_admission(principal):
    admission = await aadmit(principal, **CALL)
    await asyncio.to_thread(pool.all_given_back)
    await asettle(admission, Settlement())
    await asyncio.to_thread(pool.all_given_back)


async def test_q2_a_settlement_goes_through_when_its_caller_is_cancelled(principal):
    """Hanging up never makes a call free."""
    admission = await aadmit(principal, **CALL)

    async def stream():
        try:
            await asyncio.sleep(60)
        finally:
            await asettle(admission, Settlement(tokens_in=3, status="cancelled"))

    task = asyncio.create_task(stream())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # the impatient server's second one
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(500):
        if not await in_db(n_open, principal.user_id):
            break
        await asyncio.sleep(0.01)

    record = await in_db(UsageRecord.objects.get)
    assert (record.tokens_in, record.status) == (3, "cancelled")


async def test_q12_a_released_call_costs_nothing(principal):
    admission = await aadmit(principal, **CALL)
    await arelease(admission)

    limits = await in_db(limits_for, principal.user)
    assert (limits.hour.used, limits.concurrency.used) == (0, 0)


async def test_many_at_once_are_exact(principal):
    await in_db(tier, requests_per_hour=10, max_concurrent=50)

    async def call(number):
        try:
            return await aadmit(principal, **CALL | {"request_id": str(number)})
        except QuotaExceeded:
            return None

    admitted = await asyncio.gather(*(call(n) for n in range(40)))
    assert sum(a is not None for a in admitted) == 10
