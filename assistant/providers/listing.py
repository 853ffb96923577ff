"""Which models a server offers: asked for live, and kept for a moment."""

import time
from dataclasses import dataclass
from typing import Any

from aiassist.lib.egress import Caps, Destination, EgressError, open_destination
from aiassist.lib.errors import ProviderError
from assistant.providers.wire import objects, parse_object, text_of

# Asking stands in front of every choice of a model, so it must be quick.
_CAPS = Caps(connect_seconds=0.5, first_byte_seconds=1.0, total_seconds=2.0)
MAX_MODELS = 500


@dataclass(slots=True)
class Listing:
    """One server's list. A server that does not answer offers nothing."""

    path: str
    member: str  # of the answer, that holds the list
    name: str  # of the model in an element
    kept_seconds: float
    _names: tuple[str, ...] = ()
    _url: str = ""
    _until: float = 0.0

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
            names = await self._ask(destination)
            self._names, self._url = names, destination.base_url
            self._until = time.monotonic() + self.kept_seconds
        return self._names

    def forget(self) -> None:
        """Ask again at the next call."""
        self._until = 0.0

    async def _ask(self, destination: Destination) -> tuple[str, ...]:
        try:
            async with open_destination(
                destination, "GET", self.path, caps=_CAPS
            ) as answer:
                if answer.status != 200:
                    return ()
                listed = objects(parse_object(await answer.read()).get(self.member))
        except (EgressError, ProviderError):
            return ()
        names = map(self._name_of, listed[:MAX_MODELS])
        return tuple(name for name in names if 0 < len(name) <= 120)

    def _name_of(self, model: dict[str, Any]) -> str:
        return text_of(model.get(self.name))


def makes_vectors(name: str) -> bool:
    """Embedding models are listed too, but cannot chat; only their names tell."""
    lowered = name.lower()
    return any(word in lowered for word in ("embed", "minilm", "bge-", "bge:"))
