"""The database connections of this process, and whether a thread keeps one (S8).

A thread that ends, or idles, without giving its connection back takes it from the pool
for good, and in silence.
"""

from typing import Any

from django.db import connection as our_connection

from tests.support.ports import wait_for

connection: Any = our_connection  # of PostgreSQL, which alone has a pool


def in_use() -> int:
    """Count the connections that other threads have taken out of the pool."""
    connection.close()
    if connection.pool.closed:  # as long as nobody has asked for anything
        return 0
    stats = connection.pool.get_stats()
    return int(stats["pool_size"] - stats["pool_available"])


def start_anew() -> None:
    """Leave the pool to who still holds one of its connections."""
    connection.close()
    connection.close_pool()


def all_given_back() -> None:
    """Wait for a moment until no thread holds one. Raises TimeoutError."""
    try:
        wait_for(lambda: in_use() == 0, what="a connection that a thread kept (S8)")
    except TimeoutError:
        start_anew()  # it is no other test's fault
        raise
