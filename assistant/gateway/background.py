"""Work that must be done whatever becomes of the request that asked for it.

A request's context holds threads that end with it (asgiref's executors), so a task
that may outlive its request starts in a context of its own.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from aiassist.lib.db import keep
from aiassist.lib.request_ids import current_request_id

R = TypeVar("R")


def spawn(work: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
    """Start a task that outlives the request; only the request's id goes along."""
    context = Context()
    context.run(current_request_id.set, current_request_id.get())
    task = asyncio.get_running_loop().create_task(work, context=context)
    keep(task)
    return task
