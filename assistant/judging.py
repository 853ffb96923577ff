"""Lets the dry run of limits ask what a prompt would meet."""

from accounts.models import User
from aiassist.lib.registry import limit_judges
from assistant.gateway.context import MIN_ANSWER_TOKENS, room_beside
from billing.models import Tier


def _context(user: User, tier: Tier, n_tokens: int) -> None:
    # A model of a smaller context than the tier's may refuse earlier.
    room_beside(n_tokens, tier, tier.context_tokens, MIN_ANSWER_TOKENS)


limit_judges.register("context_tokens", _context)
