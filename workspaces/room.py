"""What a tier takes and which one takes more, for the sentences of refusals."""

from collections.abc import Callable
from dataclasses import dataclass

from billing.models import Tier
from billing.tiers.selectors import smallest_tier


@dataclass(frozen=True, slots=True)
class Room:
    """One limit of a tier beside the next one's."""

    sentence: str  # "The tier 'free' takes 1.0 MB, 'pro' 10.0 MB."
    alternatives: list[str]  # "Move to the tier 'pro' (10.0 MB)."


def room_of(
    tier: Tier,
    limit_of: Callable[[Tier], int],
    shown: Callable[[int], str],
    *,
    verb: str = "takes",
) -> Room:
    """Return what the tier takes, and the next one that takes more."""
    limit = limit_of(tier)
    own = f"The tier '{tier.code}' {verb} {shown(limit)}"
    better = smallest_tier(lambda other: limit_of(other) > limit)
    if better is None:
        return Room(f"{own}, as much as any.", [])
    more = shown(limit_of(better))
    return Room(
        f"{own}, '{better.code}' {more}.",
        [f"Move to the tier '{better.code}' ({more})."],
    )
