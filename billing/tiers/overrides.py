"""Limits for one person: give them, end them.

Every process reads them with the tier, so they bite at once. What takes something
away also bumps the user's epoch, as a move to a smaller tier does (T10).
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.cached_principals import end_cached_principals
from billing.models import LimitOverride, Tier
from billing.models.override import OVERRIDABLE
from billing.tiers.selectors import tier_of
from billing.tiers.subscriptions import locked_tier


@transaction.atomic
def override_limits(
    user: User,
    limits: dict[str, Any],
    actor: User | None,
    *,
    reason: str,
    ends_at: datetime | None = None,
    request: HttpRequest | None = None,
) -> LimitOverride:
    """Put these limits in the place of the tier's; the override that ran ends.

    `limits` maps columns of `Tier` to values. Raises ValidationError.
    """
    before = locked_tier(user)
    moment = clock.now()
    given = LimitOverride(
        user=user, limits=limits, reason=reason, starts_at=moment, ends_at=ends_at
    )
    given.full_clean(validate_constraints=False)
    LimitOverride.objects.for_user(user.pk).running_at(moment).update(ends_at=moment)
    given.save(force_insert=True)
    _note("limits.overridden", user, before, actor, request, sorted(limits))
    return given


@transaction.atomic
def end_override(
    override: LimitOverride,
    actor: User | None,
    *,
    request: HttpRequest | None = None,
) -> None:
    """Let the tier's own limits hold again; one that has ended stays as it is."""
    user = override.user
    before = locked_tier(user)
    moment = clock.now()
    running = LimitOverride.objects.for_user(user.pk).running_at(moment)
    if running.filter(pk=override.pk).update(ends_at=moment):
        _note("limits.restored", user, before, actor, request, sorted(override.limits))


def _note(
    action: str,
    user: User,
    before: Tier,
    actor: User | None,
    request: HttpRequest | None,
    fields: list[str],
) -> None:
    end_cached_principals()
    audit.record(action, actor=actor, subject=user, request=request, fields=fields)
    if _takes_away(before, tier_of(user)):
        user.bump_epoch()


def _takes_away(before: Tier, after: Tier) -> bool:
    """Tell whether any limit is smaller than it was."""
    for name in OVERRIDABLE:
        old, new = getattr(before, name), getattr(after, name)
        if (set(old) - set(new)) if isinstance(old, list) else new < old:
            return True
    return False
