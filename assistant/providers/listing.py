"""Which models a server offers: asked for live, and kept for a moment."""

import math
import time
from dataclasses import dataclass

from aiassist.lib.egress import Caps, Destination, EgressError
from aiassist.lib.errors import ProviderError
from assistant.errors import ProviderBusy, ProviderTimeout
from assistant.providers.given import opened
from assistant.providers.wire import (
    as_provider_error,
    objects,
    parse_object,
    refusal,
    text_of,
)

# Asking stands in front of every choice of a model, so it must be quick.
_CAPS = Caps(connect_seconds=0.5, first_byte_seconds=1.0, total_seconds=2.0)
# Somebody has pressed a button and waits for the verdict.
_PATIENT = Caps(connect_seconds=5.0, first_byte_seconds=10.0, total_seconds=15.0)
MAX_MODELS = 500
# A server that was heard of so lately, and is too busy to answer now, keeps its models:
# without them its callers would be told that there are none, for good.
GRACE_SECONDS = 60.0
_SOON_SECONDS = 5.0  # asked again after so long, then


@dataclass(slots=True)
class Listing:
    """One server's list. A server that does not answer any more offers nothing."""

    path: str
    member: str  # of the answer, that holds the list
    name: str  # of the model in an element
    kept_seconds: float
    _names: tuple[str, ...] = ()
    _url: str = ""
    _until: float = 0.0
    _answered_at: float = -math.inf

    async def chatting(self, destination: Destination) -> tuple[str, ...]:
        """Return the models that chat."""
        names = await self.names(destination)
        return tuple(name for name in names if not makes_vectors(name))

    async def embedding(self, destination: Destination) -> tuple[str, ...]:
        """Return the models that make vectors."""
        return tuple(filter(makes_vectors, await self.names(destination)))

    async def names(self, destination: Destination) -> tuple[str, ...]:
        now = time.monotonic()
        if self._url != destination.base_url or now >= self._until:
            # Others go on with the old list while one asks: an address that swallows
            # packets must not hold everybody up.
            self._until = now + self.kept_seconds
            await self._refresh(destination)
        return self._names

    async def _refresh(self, destination: Destination) -> None:
        names, now = await self._ask(destination), time.monotonic()
        self._until = now + self.kept_seconds
        if names is not None:
            self._answered_at = now
        elif self._url == destination.base_url and (
            now < self._answered_at + self.kept_seconds + GRACE_SECONDS
        ):
            self._until = now + _SOON_SECONDS
            return
        self._names, self._url = names or (), destination.base_url

    def forget(self) -> None:
        """Know nothing, and ask at the next call."""
        self._until, self._answered_at = 0.0, -math.inf

    async def _ask(self, destination: Destination) -> tuple[str, ...] | None:
        try:
            return await listed(
                destination, self.path, member=self.member, name=self.name, caps=_CAPS
            )
        except (ProviderTimeout, ProviderBusy):
            return None
        except ProviderError:
            return ()


async def listed(
    destination: Destination,
    path: str,
    *,
    member: str,
    name: str,
    caps: Caps = _PATIENT,
) -> tuple[str, ...]:
    """Return the models' names that a server lists. Raises ProviderError only."""
    try:
        async with opened(destination, "GET", path, caps=caps) as answer:
            if answer.status != 200:
                raise refusal(destination.name, answer)
            models = objects(parse_object(await answer.read()).get(member))
    except EgressError as error:
        raise as_provider_error(destination.name, error) from None
    names = (text_of(model.get(name)) for model in models[:MAX_MODELS])
    return tuple(name for name in names if 0 < len(name) <= 120)


def makes_vectors(name: str) -> bool:
    """Embedding models are listed too, but cannot chat; only their names tell."""
    lowered = name.lower()
    return any(word in lowered for word in ("embed", "minilm", "bge-", "bge:"))
