"""What the assistant's async doors share."""

from collections.abc import Iterable
from typing import Any

from adrf.views import APIView  # type: ignore[import-untyped]
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from accounts.api.base import ScopedView
from accounts.scopes import ASSISTANT
from aiassist.lib.errors import AppError
from assistant.gateway.open import open_turn
from assistant.gateway.plan import Ask
from assistant.gateway.turn import Turn
from billing.metering.requests import endpoint_of, request_id_of


class JsonWhateverIsAccepted(DefaultContentNegotiation):
    """Many clients ask for `text/event-stream` alone; errors are JSON to them too."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class AsyncView(ScopedView, APIView):  # type: ignore[misc]
    """An async DRF view."""

    scope = ASSISTANT
    content_negotiation_class = JsonWhateverIsAccepted
    # Calls that fail cost no quota, so a flood of them is held back here; the
    # counts are shared with the other metered doors.
    throttle_group = "metered"
    throttle_per_user = "1200/m"
    throttle_per_address = "6000/m"

    def call(self) -> dict[str, Any]:
        """Return what an Ask says about the call itself."""
        return {
            "principal": self.principal,
            "endpoint": endpoint_of(self.request),
            "request_id": request_id_of(self.request),
        }


async def collected(ask: Ask) -> tuple[Turn, str]:
    """Run a turn to its end. Errors carry the rate limit headers."""
    turn = await open_turn(ask)
    try:
        deltas = await turn.collect()
    except AppError as error:
        error.details.setdefault("headers", turn.limit_headers())
        raise
    return turn, "".join(delta.text for delta in deltas)
