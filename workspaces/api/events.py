"""A job's progress as server-sent events; no database connection is held between."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime

from accounts.principals import Principal, is_still_valid
from aiassist.lib.clock import rfc3339
from aiassist.lib.db import in_db
from aiassist.lib.errors import InvalidCredential
from aiassist.lib.sse import HEARTBEAT, event
from workspaces.access import find_job
from workspaces.jobs.progress import progress_of

POLL_SECONDS = 0.7
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 3.0  # a revoked credential ends the stream within 5 s (T10)
LONGEST_SECONDS = 3600.0


async def job_events(job_id: str, principal: Principal) -> AsyncIterator[bytes]:
    """Yield `progress` on every change, `done` at the end, `error` on a lost right."""
    began = checked = spoke = time.monotonic()
    shown: dict[str, object] | None = None
    while (moment := time.monotonic()) - began < LONGEST_SECONDS:
        if moment - checked >= RECHECK_SECONDS:
            checked = moment
            if not await in_db(is_still_valid, principal):
                yield event("error", _refused())
                return
        state, is_over = await in_db(_look, job_id)
        if state is None:
            return  # the workspace was deleted
        if is_over:
            yield event("done", state)
            return
        if state != shown:
            shown, spoke = state, moment
            yield event("progress", state)
        elif moment - spoke >= HEARTBEAT_SECONDS:
            spoke = moment
            yield HEARTBEAT
        await asyncio.sleep(POLL_SECONDS)


def _look(job_id: str) -> tuple[dict[str, object] | None, bool]:
    job = find_job(job_id)
    if job is None:
        return None, True
    state = {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in progress_of(job).items()
    }
    return state, job.is_over


def _refused() -> dict[str, str]:
    error = InvalidCredential()
    return {"code": error.code, "detail": error.sentence}
