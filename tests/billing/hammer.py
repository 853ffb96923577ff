"""One process of a load: `python -m tests.billing.hammer '{"user": "user_…", …}'`.

Starts when the file `go` appears and ends after `calls` calls, or when the file
`stop` does; prints one JSON line of what came of it.
"""

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import django

django.setup()

from django.db import connection  # noqa: E402

from accounts.models import User  # noqa: E402
from accounts.principals import Principal  # noqa: E402
from aiassist.lib.errors import QuotaExceeded  # noqa: E402
from billing.metering.admission import admit  # noqa: E402
from billing.metering.ledger import Settlement, release, settle  # noqa: E402
from tests.support.ports import wait_for  # noqa: E402


@dataclass
class Orders:
    """What to do, as the test wrote it."""

    user: str
    keys: list[str]
    go: str
    stop: str
    begin: str  # the moment that the load's clock starts with
    admitted: str  # a file that gets an "a" for each admission, an "r" if released
    calls: int = 10**9
    threads: int = 4
    end_calls: bool = True  # settle most, release some, forget a few
    pause_seconds: float = 0.0


@dataclass
class Tally:
    """What came of the calls."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str, seconds: float) -> None:
        with self.lock:
            self.counts[outcome] += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)


def append(file: str, mark: str) -> None:
    """Write down at once what a kill must not make forgotten."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, mark.encode())
    finally:
        os.close(descriptor)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(orders: Orders) -> None:
    user = User.objects.get(pk=orders.user)
    principals = [Principal(user, "api_key", k, frozenset()) for k in orders.keys]
    connection.close()
    say("ready")
    wait_for(Path(orders.go).exists, seconds=60)
    begin, started = datetime.fromisoformat(orders.begin), time.monotonic()
    tally = Tally()
    left = iter(range(orders.calls))
    left_lock = threading.Lock()

    def run() -> None:
        while not Path(orders.stop).exists():
            with left_lock:
                if next(left, None) is None:
                    break
            spent = timedelta(seconds=time.monotonic() - started)
            one_call(orders, random.choice(principals), begin + spent, tally)
            if orders.pause_seconds:
                time.sleep(orders.pause_seconds)
        connection.close()

    with ThreadPoolExecutor(orders.threads) as pool:
        for worker in [pool.submit(run) for _ in range(orders.threads)]:
            worker.result()
    say(json.dumps({**tally.counts, "slowest_seconds": tally.slowest_seconds}))


def one_call(orders: Orders, principal: Principal, now: datetime, tally: Tally) -> None:
    asked = time.monotonic()
    try:
        admission = admit(
            principal, feature="search", endpoint="x", request_id="same", now=now
        )
    except QuotaExceeded as refusal:
        tally.note(f"refused: {refusal.details['policy']}", time.monotonic() - asked)
        return
    append(orders.admitted, "a")
    tally.note("admitted", time.monotonic() - asked)
    if not orders.end_calls:
        return
    fate = random.random()
    if fate < 0.1 and release(admission):
        append(orders.admitted, "r")
        tally.note("released", 0)
    elif fate < 0.9:
        settle(admission, Settlement(tokens_in=1))


if __name__ == "__main__":
    main(Orders(**json.loads(sys.argv[1])))
