"""Would this call be allowed? The evaluators of the real one; nothing is spent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from accounts.models import User
from aiassist.lib.errors import LimitRefused
from aiassist.lib.registry import limit_judges
from billing.metering.admission import limits_for
from billing.metering.gates import (
    require_feature,
    require_own_provider_keys,
    require_provider,
)
from billing.metering.limits import LimitsSnapshot, refusal_of
from billing.models import FEATURES


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody would like to do; None: not asked."""

    feature: str | None = None
    provider: str | None = None
    file_bytes: int | None = None
    own_provider_keys: bool = False
    # Of one workspace, of one prompt, and more of what is there already.
    files: int | None = None
    context_tokens: int | None = None
    workspaces: int | None = None
    storage_bytes: int | None = None
    requests: int = 1


def reasons_against(user: User, wish: Wish) -> list[LimitRefused]:
    """Return every refusal that the wish would meet, none if it is allowed."""
    found: list[LimitRefused] = []
    for require in _evaluators(user, limits_for(user), wish):
        try:
            require()
        except LimitRefused as refusal:
            found.append(refusal)
    return found


def _evaluators(
    user: User, limits: LimitsSnapshot, wish: Wish
) -> Iterator[Callable[[], None]]:
    # Search is metered, yet no tier gates it.
    if wish.feature in FEATURES:
        yield partial(require_feature, limits.tier, wish.feature)
    if wish.provider is not None:
        yield partial(require_provider, limits.tier, wish.provider)
    if wish.own_provider_keys:
        yield partial(require_own_provider_keys, limits.tier)
    for name, judge in limit_judges.items():
        if (n := getattr(wish, name)) is not None:
            yield partial(judge, user, limits.tier, n)
    if wish.requests:
        yield partial(_require_requests, limits, wish.requests)


def _require_requests(limits: LimitsSnapshot, requests: int) -> None:
    if refusal := refusal_of(limits, requests=requests):
        raise refusal
