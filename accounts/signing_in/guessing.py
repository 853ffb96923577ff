"""Stop guessing at passwords and codes, on every door by the same counters.

A try is counted before it is judged, so that a thousand at once are no way round,
and given back when it was right. The counters live in the database: a hash of a
password costs more than a row, and they survive a flushed Redis.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from accounts.models import GuessWindow
from aiassist.lib.client_ip import rate_key
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.errors import TooManyAttempts

_SALT = "accounts.guessing"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many wrong tries within so many seconds, at any moment."""

    scope: str
    limit: int
    seconds: int


PER_ACCOUNT = Rate("account", 5, 300)
PER_ADDRESS = Rate("ip", 10, 60)
LONGEST_WINDOW = timedelta(seconds=300)


@dataclass(slots=True)
class Attempt:
    """A counted try. Call `succeed` when it was right."""

    hits: list[tuple[str, float]] = field(default_factory=list)  # (key, moment)
    succeeded: bool = False

    def succeed(self) -> None:
        self.succeeded = True


@contextmanager
def attempt(account: str, request: HttpRequest | None) -> Iterator[Attempt]:
    """Count a try at `account`, an address or a user's id, known or not.

    Raises TooManyAttempts without judging the try.
    """
    counted = take(account, request)
    try:
        yield counted
    finally:
        if counted.succeeded:
            give_back(counted)


def take(account: str, request: HttpRequest | None) -> Attempt:
    """Count a try; raises TooManyAttempts when one of the windows is full."""
    rates = {_key("account", account.strip().lower()): PER_ACCOUNT}
    if request is not None:
        rates[_key("ip", rate_key(request))] = PER_ADDRESS
    counted = Attempt()
    with transaction.atomic():
        # In one order everywhere, so that two tries cannot wait for each other.
        for key in sorted(rates):
            counted.hits.append((key, _take_one(key, rates[key])))
    return counted


def give_back(counted: Attempt) -> None:
    """Forget a try that was right."""
    with transaction.atomic():
        for key, moment in counted.hits:
            window = GuessWindow.objects.select_for_update().filter(key=key).first()
            if window is not None and moment in window.hits:
                window.hits.remove(moment)
                window.save(update_fields=["hits"])


def forget_old() -> int:
    """Delete windows that no longer count; returns how many."""
    return GuessWindow.objects.filter(updated_at__lt=now() - LONGEST_WINDOW).delete()[0]


def _take_one(key: str, rate: Rate) -> float:
    window, _ = GuessWindow.objects.select_for_update().get_or_create(key=key)
    moment = now()
    seconds = moment.timestamp()
    hits = [hit for hit in window.hits if hit > seconds - rate.seconds]
    if len(hits) >= rate.limit:
        opens = hits[-rate.limit] + rate.seconds - seconds
        raise TooManyAttempts(
            policy=f"{rate.limit} wrong tries in {rate.seconds} seconds",
            scope=rate.scope,
            limit=rate.limit,
            used=len(hits),
            resets_at=rfc3339(moment + timedelta(seconds=opens)),
            retry_after_seconds=int(opens) + 1,
            alternatives=["Wait, or reset your password."],
        )
    window.hits = [*hits, seconds]
    window.updated_at = moment
    window.save(update_fields=["hits", "updated_at"])
    return seconds


def _key(scope: str, name: str) -> str:
    return salted_hmac(_SALT, f"{scope}:{name}", algorithm="sha256").hexdigest()
