"""The way into a turn: judge, admit, retrieve, start."""

import asyncio

from accounts.principals import Principal
from aiassist.lib.errors import AppError
from assistant.gateway.background import in_background_db, spawn
from assistant.gateway.plan import Ask, make_plan, make_ready
from assistant.gateway.turn import Turn
from billing.admission import Admission, aadmit
from billing.ledger import release


async def open_turn(ask: Ask) -> Turn:
    """Judge, admit, retrieve and start. Raises AppError; then nothing was spent."""
    plan = await make_plan(ask)
    admission = await admit_call(
        ask.principal,
        feature=ask.feature,
        endpoint=ask.endpoint,
        request_id=ask.request_id,
    )
    try:
        return Turn(await make_ready(plan), admission)
    except BaseException as error:
        await in_background_db(release, admission)
        if isinstance(error, AppError):
            limits = admission.limits.after_return()
            error.details.setdefault("headers", limits.headers())
        raise


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
        spawn(in_background_db(release, admitting.result()))
