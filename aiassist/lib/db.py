"""Call the database from async code without holding a connection afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    sync_to_async,
)
from django.db import InterfaceError, OperationalError, connection, connections

P = ParamSpec("P")
R = TypeVar("R")

# Of a process, at one time; the connection pool holds more.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="database")
_tasks: set["asyncio.Future[Any]"] = set()


def release_connections() -> None:
    """Give this thread's connections back to the pool, unless a transaction runs.

    A stream must not hold one while it waits for a provider's next token.
    """
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close()


async def in_db(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run blocking database work in a thread and release its connection.

    Each of Django's requests has a thread of its own. Where there is no such request,
    all would share a single one, so there the process's threads do it.
    """

    def run() -> R:
        try:
            return work(*args, **kwargs)
        finally:
            release_connections()

    if _has_own_thread():
        return await sync_to_async(run, thread_sensitive=True)()
    return await sync_to_async(run, thread_sensitive=False, executor=_threads)()


def _has_own_thread() -> bool:
    return bool(
        SyncToAsync.thread_sensitive_context.get(None)
        or getattr(AsyncToSync.executors, "current", None)
        or lends_its_thread(asyncio.get_running_loop())
    )


def lends_its_thread(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a synchronous caller waits for this loop and lends its thread."""
    return loop in AsyncToSync.loop_thread_executors


async def in_background(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do as `in_db`, to the end even if the caller is cancelled meanwhile.

    A request's own threads end with it, so these are of the process.
    """
    loop = asyncio.get_running_loop()
    if lends_its_thread(loop):
        return await asyncio.shield(in_db(work, *args, **kwargs))

    def run() -> R:
        try:
            return work(*args, **kwargs)
        finally:
            release_connections()

    return await asyncio.shield(loop.run_in_executor(_threads, run))


@asynccontextmanager
async def thread_of_its_own() -> AsyncIterator[None]:
    """Give synchronous code a thread, as a request has, that ends with the block.

    Django tells no such thread that its request has ended: a connection that it still
    held would be lost to the pool.
    """
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            await sync_to_async(release_connections)()


def keep(work: "asyncio.Future[Any]") -> None:
    """Hold on to work that nobody waits for: a loop keeps only a weak reference."""
    _tasks.add(work)
    work.add_done_callback(_tasks.discard)


def surely(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the work, once more on a fresh connection if the first one was dead.

    What a call cost is known to its process only: a database that was restarted
    meanwhile must not make it free.
    """
    try:
        return work(*args, **kwargs)
    except (InterfaceError, OperationalError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return work(*args, **kwargs)
