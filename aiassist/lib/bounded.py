"""Questions to parts that may be away: who asks waits only as long as they like.

A part that hangs keeps its one thread: who asks the same meanwhile waits for the answer
that is still due, so that no number of askers leaves the others without a thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="bounded")
_lock = threading.Lock()
_due: dict[str, "Future[Any]"] = {}


def ask(name: str, question: Callable[[], T]) -> "Future[T]":
    """Return the answer to come; `name` tells which questions are the same.

    What the question opens, such as a connection, it must close.
    """
    with _lock:
        due = _due.get(name)
        if due is None or due.done():
            due = _due[name] = _threads.submit(question)
        return due
