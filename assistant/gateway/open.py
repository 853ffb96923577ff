"""The way into a turn: judge, admit, retrieve, start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from accounts.principals import Principal
from aiassist.lib.errors import AppError, QuotaExceeded
from assistant.gateway.background import spawn
from assistant.gateway.plan import Ask, make_plan, make_ready, plan_in_loop
from assistant.gateway.routing import QUOTA
from assistant.gateway.spare import admit_spare
from assistant.gateway.turn import ReadTurn, Turn
from billing.metering.admission import Admission, aadmit
from billing.metering.ledger import arelease


async def open_turn(ask: Ask) -> ReadTurn:
    """Judge, admit, retrieve and start. Raises AppError; then nothing was spent."""
    plan, instead_of = await make_plan(ask), ""
    try:
        admission = await admit_call(
            ask.principal,
            feature=ask.feature,
            endpoint=ask.endpoint,
            request_id=ask.request_id,
        )
    except QuotaExceeded as refusal:
        plan, admission = await admit_spare(ask, plan, refusal)
        instead_of = QUOTA
    async with giving_back(admission):
        turn = ReadTurn(await make_ready(plan), admission)
        if instead_of:
            turn.route.failed.append(instead_of)
        return turn


async def open_admitted(ask: Ask, admission: Admission, *, is_short: bool) -> Turn:
    """Judge and retrieve for a call that was admitted before it was read.

    Of a short one that names no workspace all is known without the database. Whoever
    gets the turn must run it at once: it holds the admission.
    """
    try:
        plan = await plan_in_loop(ask, admission.tier) if is_short else None
        if plan is None:
            plan = await make_plan(ask, admission.tier)
        return Turn(await make_ready(plan), admission)
    except BaseException as error:
        await give_back(admission, error)
        raise


@asynccontextmanager
async def giving_back(admission: Admission) -> AsyncIterator[None]:
    """Give the call back if the block fails; an AppError tells what is left then."""
    try:
        yield
    except BaseException as error:
        await give_back(admission, error)
        raise


async def give_back(admission: Admission, error: BaseException) -> None:
    """Give the call back; an AppError tells what is left then."""
    await arelease(admission)
    if isinstance(error, AppError):
        limits = admission.limits.after_return()
        error.details.setdefault("headers", limits.headers())


async def admit_call(
    principal: Principal, *, feature: str, endpoint: str, request_id: str
) -> Admission:
    """Admit; a caller who leaves meanwhile gives the hold back."""
    admitting = asyncio.create_task(
        aadmit(principal, feature=feature, endpoint=endpoint, request_id=request_id)
    )
    try:
        return await asyncio.shield(admitting)
    except asyncio.CancelledError:
        admitting.add_done_callback(_give_back)
        raise


def _give_back(admitting: "asyncio.Task[Admission]") -> None:
    if not admitting.cancelled() and admitting.exception() is None:
        spawn(arelease(admitting.result()))
