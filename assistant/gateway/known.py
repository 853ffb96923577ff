"""What an event loop knows without asking: the catalogue, and users' own keys.

A call that needs no more is judged in the loop itself (`plan.plan_in_loop`), without a
thread and without the database. What is known is read again when it is too old: the
enabled rows and the providers' lists after CATALOGUE_CACHE_SECONDS, a user's own keys
after a second, as long as a cached principal may live (`billing.metering.entry`). Keys
are kept as the database has them, sealed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from operator import is_not
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings

from accounts.models import User
from aiassist.lib.db import in_background
from assistant.catalogue import (
    Live,
    Offer,
    entered_offers,
    live_models,
    offers_from,
    own_keys_of,
    uses_own_keys,
    with_own_keys,
)
from assistant.models import ProviderKey
from billing.models import Tier

OWN_KEYS_SECONDS = 1.0
MOST_USERS = 1000  # whose keys are kept at one time

T = TypeVar("T")


class _Kept(Generic[T]):
    """What was read last. One reads when it is too old; who comes meanwhile waits."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._read_at = float("-inf")
        self._reading: asyncio.Task[T] | None = None
        self._value: T | None = None

    async def get(self, seconds: float) -> T:
        """Return the value, at most so many seconds old."""
        if self._value is not None and time.monotonic() < self._read_at + seconds:
            return self._value
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._renewed())
        return await asyncio.shield(self._reading)

    async def _renewed(self) -> T:
        asked_at = time.monotonic()
        self._value = value = await in_background(self._read)
        self._read_at = asked_at
        return value


class _Offers:
    """Offers that are made anew when what they are made of has changed."""

    def __init__(self) -> None:
        self._parts: tuple[object, ...] = ()
        self._made: Sequence[Offer] = ()

    def made(
        self, make: Callable[[], Sequence[Offer]], *parts: object
    ) -> Sequence[Offer]:
        """Return what `make` makes of the parts."""
        if not self._parts or any(map(is_not, parts, self._parts)):
            self._made, self._parts = make(), parts
        return self._made


class _Mine:
    """One user's own keys, and what they open."""

    def __init__(self, user: User) -> None:
        self.keys: _Kept[tuple[ProviderKey, ...]] = _Kept(partial(own_keys_of, user))
        self.offers = _Offers()


class _Known:
    def __init__(self) -> None:
        self.rows = _Kept(entered_offers)
        self.live: Live = {}
        self.live_until = 0.0
        self.offers = _Offers()
        self.users: dict[str, _Mine] = {}


_known_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Known] = (
    WeakKeyDictionary()
)


async def known_offers(user: User, tier: Tier) -> Sequence[Offer]:
    """Return what the user can ask now, by their own keys where they have any.

    Others go on with the old lists while one asks the providers.
    """
    loop, kept_seconds = asyncio.get_running_loop(), settings.CATALOGUE_CACHE_SECONDS
    known = _known_by_loop.get(loop)
    if known is None:
        known = _known_by_loop[loop] = _Known()
    rows = await known.rows.get(kept_seconds)
    now = time.monotonic()
    if now >= known.live_until:
        known.live_until = now + kept_seconds
        known.live = await live_models()
    live = known.live
    offers = known.offers.made(lambda: offers_from(rows, live), rows, live)
    if not uses_own_keys(user, tier):
        return offers
    mine = known.users.get(user.id)
    if mine is None:
        if len(known.users) >= MOST_USERS:
            known.users.clear()
        mine = known.users[user.id] = _Mine(user)
    keys = await mine.keys.get(OWN_KEYS_SECONDS)
    return mine.offers.made(
        lambda: with_own_keys(keys, rows, offers), keys, rows, offers
    )
