"""Settled calls on their way into the ledger: written in batches, off the hot path.

Each call is kept twice until it is written: in this process, and in a stream in Redis
(`usage`, see `scripts`) that any process may write from. So a process that is
killed loses nothing, a Redis that is killed loses nothing, and who is first of two
writers wins: `reservation_id` is unique in the ledger.

A thread of each process writes its own calls every `USAGE_WRITE_SECONDS`; what a
dead process left in the stream is written by beat's task, or by the next reader:
whoever shows usage calls `write_everything` first, so that users see their last call.
With USAGE_WRITE_SECONDS=0 each call is written before it counts as settled.
"""

import atexit
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    connection,
    transaction,
)
from django.db.models import F

from accounts.models import User
from aiassist.lib import clock, jsons
from aiassist.lib.db import release_connections, surely
from aiassist.lib.ids import base62_random
from aiassist.lib.redis import RedisDown, client
from billing.metering import windows
from billing.models import UsageRecord
from billing.models.ledger import new_record_id

logger = logging.getLogger(__name__)

BATCH = 500
# A call this old in the stream has lost the process that should have written it.
ORPHANED_AFTER_SECONDS = 15.0
STREAM = "usage"
_MOST_WAITING = 200_000  # of one process, while the database is away
_MOST_INTEGER = 2**63 - 1
_TEXTS = {
    "reservation_id": 40,
    "user_id": 40,
    "request_id": 128,
    "key_id": 40,
    "workspace_id": 64,
    "tier_code": 40,
    "endpoint": 120,
    "feature": 40,
    "provider": 40,
    "model": 120,
    "upstream": 80,
    "fallback": 10,
}
_NUMBERS = ("tokens_in", "tokens_out", "cost_usd_micros", "latency_ms")

# A settled call as it travels: the columns of a usage record.
SettledCall = dict[str, Any]
Row = dict[str, Any]  # the same with its id, ready to be inserted
# A call that another version of the platform has settled may lack a column.
_DEFAULTS: Row = {
    field.attname: field.get_default()
    for field in UsageRecord._meta.concrete_fields
    if field.has_default() and not callable(field.default)
}
_TABLE = UsageRecord._meta.db_table
_COLUMNS = ", ".join(str(f.column) for f in UsageRecord._meta.concrete_fields)
_INSERT = (
    f"INSERT INTO {_TABLE} ({_COLUMNS}) SELECT {_COLUMNS} "
    f"FROM json_populate_recordset(NULL::{_TABLE}, %s) "
    "ON CONFLICT DO NOTHING RETURNING reservation_id"
)
Entry = tuple[SettledCall, str]  # and its id in the stream, "" where it is in none


def settled_call(**columns: Any) -> SettledCall:
    """Return a call that every column takes, whatever a provider called itself."""
    for name, most in _TEXTS.items():
        text = columns[name]
        if not text.isprintable():
            # What no column takes (NUL, half a surrogate pair) is left out.
            text = text.encode("utf-8", "ignore").decode().replace("\0", "")
        columns[name] = text[:most]
    for name in _NUMBERS:
        columns[name] = min(max(0, columns[name]), _MOST_INTEGER)
    return columns


class Outbox:
    """The settled calls of this process that are not in the database yet."""

    def __init__(self) -> None:
        self._waiting: deque[Entry] = deque()
        self._owed: deque[tuple[str, str, bool]] = deque()
        self._others: list[Callable[[], bool]] = []
        self.take_locks()

    def take_locks(self) -> None:
        """Begin with a thread and locks of this process's own, also after a fork.

        A forked process has its parent's thread by name only, and the locks as they
        stood: held for ever, where that thread was writing.
        """
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._front = threading.Lock()  # of what waits: held to take the first off
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, call: SettledCall, entry_id: str) -> None:
        """Keep a call until it is written. `entry_id` is the one in the stream."""
        if len(self._waiting) >= _MOST_WAITING:
            logger.error("too many calls wait for the database; one is lost")
            with self._front:
                self._waiting.popleft()
        self._waiting.append((call, entry_id))
        self.start()
        if len(self._waiting) >= BATCH:
            self._wake.set()

    def owe(self, user_id: str, hold_id: str, *, gives_back: bool = False) -> None:
        """Remember a hold that Redis could not be told the end of."""
        self._owed.append((user_id, hold_id, gives_back))
        self.start()

    def writes_too(self, write: Callable[[], bool]) -> None:
        """Have the thread call this, too; it tells whether it asked the database."""
        self._others.append(write)

    def write_others(self) -> bool:
        """Have the others write; return whether one of them asked the database."""
        return any([write() for write in self._others])

    def write(self) -> int:
        """Write what waits; return how many. Raises DatabaseError, keeping all."""
        n_written = 0
        with self._writing:
            while batch := list(islice(self._waiting, BATCH)):
                write_calls([call for call, _ in batch])
                self._take_off(batch)
                n_written += len(batch)
                _forget(entry_id for _, entry_id in batch if entry_id)
        return n_written

    def _take_off(self, written: list[Entry]) -> None:
        """Remove what was written; a full queue may have dropped some of it since."""
        with self._front:
            for entry in written:
                if self._waiting and self._waiting[0] is entry:
                    self._waiting.popleft()

    def forget(self) -> None:
        """Drop everything: what a test leaves must not reach the next one."""
        with self._writing:
            self._waiting.clear()
        self._owed.clear()
        if self._thread is not None and not settings.USAGE_WRITE_SECONDS:
            self._wake.set()  # as writing was switched off again, it ends
            self._thread.join(10)
            self._wake.clear()

    def _pay(self) -> None:
        """Tell Redis of the holds that ended while it was away."""
        for _ in range(len(self._owed)):
            try:
                user_id, hold_id, gives_back = owed = self._owed.popleft()
            except IndexError:
                return  # another thread pays
            told: object
            if gives_back:
                told = windows.give_back(user_id, hold_id)
            else:
                told = windows.settle(user_id, hold_id, "")
            if told is None:
                self._owed.append(owed)
                return

    def start(self) -> None:
        """Have the thread run, unless calls are written as they settle."""
        if self._is_running() or not settings.USAGE_WRITE_SECONDS:
            return
        with self._starting:
            if not self._is_running():
                self._thread = threading.Thread(
                    target=self._run, name="usage records", daemon=True
                )
                self._thread.start()
                atexit.register(self._write_in_peace)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while settings.USAGE_WRITE_SECONDS:
            self._wake.wait(settings.USAGE_WRITE_SECONDS)
            self._wake.clear()
            self._write_in_peace()

    def write_soon(self) -> None:
        """Write now; what the database does not take is tried again later."""
        try:
            self.write()
        except (DatabaseError, InterfaceError) as error:
            logger.warning(
                "usage records wait for the database (%s)", type(error).__name__
            )

    def _write_in_peace(self) -> None:
        if waits := bool(self._waiting):
            self.write_soon()
        if self.write_others() or waits:
            release_connections()
        self._pay()


outbox = Outbox()
os.register_at_fork(after_in_child=outbox.take_locks)


def write_everything() -> None:
    """Write what this process and the stream hold, so that a reader sees it."""
    if settings.USAGE_WRITE_SECONDS:
        outbox.write()
        drain()
    outbox.write_others()


def drain(*, older_than_seconds: float = 0.0) -> int:
    """Write the calls in the stream, whoever put them there; return how many."""
    if not windows.breaker.allows():
        return 0
    n_written = 0
    try:
        last = _before(older_than_seconds)
        for entries in _in_batches(last):
            write_calls([json.loads(fields["call"]) for _, fields in entries])
            client().xdel(STREAM, *(entry_id for entry_id, _ in entries))
            n_written += len(entries)
    except RedisDown as error:
        windows.note_failure(error)
    else:
        windows.breaker.succeeded()
    return n_written


def write_calls(calls: Sequence[SettledCall]) -> None:
    """Insert the calls that the ledger lacks, and raise their users' totals.

    A call that no table takes is logged by its id and does not keep the others.
    """
    try:
        surely(_write, calls)
    except (DataError, IntegrityError):
        for call in calls:
            try:
                surely(_write, [call])
            except (DataError, IntegrityError) as error:
                logger.error(
                    "could not record %s (%s)",
                    call.get("reservation_id"),
                    type(error).__name__,
                )


@transaction.atomic
def _write(calls: Sequence[SettledCall]) -> None:
    # What an eraser does not find here is written without a name.
    living = User.objects.lock_living(call["user_id"] for call in calls)
    once = {call["reservation_id"]: call for call in calls}
    rows = [_row(call, living) for call in once.values()]
    written = _insert(rows)
    rest = [row for row in rows if row["reservation_id"] not in written]
    if rest:
        written |= _insert_again(rest)
    _count([row for row in rows if row["reservation_id"] in written])


def _row(call: SettledCall, living: set[str]) -> Row:
    """Return the columns of a call; of one whose user is gone it names nobody."""
    row = _DEFAULTS | call
    row["id"], row["created_at"] = new_record_id(), clock.now()
    row["admitted_at"] = datetime.fromisoformat(call["admitted_at"])
    if call["user_id"] not in living:
        row |= {"user_id": None, "request_id": "", "key_id": "", "workspace_id": ""}
    return row


def _insert(rows: Sequence[Row]) -> set[str]:
    """Insert what is not there; return the reservations whose rows are ours."""
    if connection.vendor == "postgresql":
        # The database reads the JSON: Django takes a quarter of a millisecond of our
        # time to make an object of a call, a query of the objects and to ask again.
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [jsons.dumps(rows).decode()])
            return {reservation_id for (reservation_id,) in cursor.fetchall()}
    records = [UsageRecord(**row) for row in rows]
    UsageRecord.objects.bulk_create(records, ignore_conflicts=True)
    # The primary keys are new with each try, so these rows are of this one.
    found = UsageRecord.objects.filter(pk__in=[row["id"] for row in rows])
    return set(found.values_list("reservation_id", flat=True))


def _insert_again(rest: Sequence[Row]) -> set[str]:
    """Insert calls whose request id the client has used before.

    Such a call costs like any other, so it gets an id that is unique again.
    """
    kept = UsageRecord.objects.filter(
        reservation_id__in=[row["reservation_id"] for row in rest]
    )
    states = dict(kept.values_list("reservation_id", "status"))
    repeated = []
    for row in rest:
        status = states.get(row["reservation_id"])
        if status is None:
            row["request_id"] = f"{row['request_id']}.{base62_random(12)}"
            repeated.append(row)
        elif status == UsageRecord.Status.ABANDONED != row["status"]:
            logger.warning("A call settled after it had been given up.")
    return _insert(repeated) if repeated else set()


def _count(rows: Iterable[Row]) -> None:
    totals: dict[str, list[int]] = {}
    for row in rows:
        if row["user_id"] is not None:
            sums = totals.setdefault(row["user_id"], [0, 0])
            sums[0] += 1
            sums[1] += row["tokens_in"] + row["tokens_out"]
    for user_id, (n_calls, n_tokens) in sorted(totals.items()):
        User.objects.filter(pk=user_id).update(
            requests_total=F("requests_total") + n_calls,
            tokens_total=F("tokens_total") + n_tokens,
        )


def _forget(entry_ids: Iterable[str]) -> None:
    """Take written calls out of the stream; those left are written in vain."""
    ids = list(entry_ids)
    if not ids or not windows.breaker.allows():
        return
    try:
        client().xdel(STREAM, *ids)
    except RedisDown as error:
        windows.note_failure(error)
    else:
        windows.breaker.succeeded()


def _before(seconds: float) -> str:
    """Return the id that ends the range: entries older than this by Redis's clock."""
    if not seconds:
        return "+"
    whole, micros = client().time()
    return str(int((whole - seconds) * 1000 + micros // 1000))


def _in_batches(last: str) -> Iterator[list[tuple[str, dict[str, str]]]]:
    first = "-"
    server: Any = client()
    while entries := server.xrange(STREAM, first, last, count=BATCH):
        yield entries
        first = f"({entries[-1][0]}"
