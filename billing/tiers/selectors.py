"""Reads that others ask for: which tier a user has, and who has what."""

from collections.abc import Callable

from django.db.models import CharField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.models import User
from aiassist.lib import clock
from billing.models import LimitOverride, Subscription, Tier
from billing.models.override import with_limits

DEFAULT_TIER = "free"


def tier_of(user: User) -> Tier:
    """Return the tier of the running subscription, else `free`.

    Limits that staff gave this one person stand in the place of the tier's. Always
    asks the database, so that an edit or a change bites at once everywhere.
    """
    moment = clock.now()
    running = (
        Subscription.objects.for_user(user.pk)
        .running_at(moment)
        .order_by("-starts_at", "-id")
    )
    code = Coalesce(Subquery(running.values("tier_id")[:1]), Value(DEFAULT_TIER))
    theirs = (
        LimitOverride.objects.for_user(user.pk)
        .running_at(moment)
        .order_by("-starts_at", "-id")
    )
    tier = Tier.objects.annotate(
        their_limits=Subquery(theirs.values("limits")[:1]),
        theirs_end_at=Subquery(theirs.values("ends_at")[:1]),
    ).get(pk=code)
    if tier.their_limits:
        with_limits(tier, tier.their_limits, tier.theirs_end_at)
    return tier


def tiers_by_rank() -> list[Tier]:
    """Return every tier, the smallest first."""
    return list(Tier.objects.order_by("rank"))


def holders_of(tier: Tier) -> QuerySet[User]:
    """Return the living users whose tier this is now; `free` needs no subscription."""
    running = Subscription.objects.running_at(clock.now())
    newest = running.filter(user=OuterRef("pk")).order_by("-starts_at", "-id")
    code = Coalesce(
        Subquery(newest.values("tier_id")[:1]),
        Value(DEFAULT_TIER),
        output_field=CharField(),
    )
    holders = User.objects.living().annotate(held=code).filter(held=tier.code)
    return holders.order_by("email")


def smallest_tier(fits: Callable[[Tier], bool]) -> Tier | None:
    """Return the smallest tier that fits, None when none does."""
    return next(filter(fits, tiers_by_rank()), None)
