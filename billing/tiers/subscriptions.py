"""A user's hold on a tier: change it, end it.

Every process reads the tier with each request, so a change bites at once. A move
*down* also bumps the user's epoch: access tokens, sessions and streams that began
under the larger tier end (T10); API keys go on under the smaller one. A move *up*
takes nothing away, so nobody is signed out for it.
"""

from datetime import datetime

from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import User
from accounts.webhooks.events import emit
from aiassist.lib import clock
from aiassist.lib.cached_principals import end_cached_principals
from billing.models import Subscription, Tier
from billing.tiers.selectors import tier_of


@transaction.atomic
def change_tier(
    user: User,
    tier: Tier,
    actor: User | None,
    *,
    request: HttpRequest | None = None,
    ends_at: datetime | None = None,
    reason: str = "",
) -> Subscription:
    """End the running subscription and start one on `tier`, until `ends_at` if given.

    The same tier again, as open-ended, changes nothing and leaves no audit event.
    """
    before = locked_tier(user)
    moment = clock.now()
    running = Subscription.objects.for_user(user.pk).running_at(moment)
    same = running.filter(tier=tier, ends_at=ends_at).first()
    if same is not None:
        return same
    running.update(ends_at=moment)
    started = Subscription.objects.create(
        user=user, tier=tier, starts_at=moment, ends_at=ends_at, reason=reason
    )
    _note_change(user, before, tier, actor, request)
    return started


@transaction.atomic
def end_subscription(
    subscription: Subscription,
    actor: User | None,
    *,
    request: HttpRequest | None = None,
) -> Tier:
    """End it now; return the tier that is left, as a rule `free`."""
    user = subscription.user
    before = locked_tier(user)
    moment = clock.now()
    Subscription.objects.for_user(user.pk).running_at(moment).filter(
        pk=subscription.pk
    ).update(ends_at=moment)
    after = tier_of(user)
    if after != before:
        _note_change(user, before, after, actor, request)
    return after


def locked_tier(user: User) -> Tier:
    """Return the user's tier; who else would change it waits until the commit.

    Calls that refer to the user (reservations, records) go on meanwhile.
    """
    User.objects.lock(user.pk)
    return tier_of(user)


def _note_change(
    user: User,
    before: Tier,
    after: Tier,
    actor: User | None,
    request: HttpRequest | None,
) -> None:
    end_cached_principals()
    audit.record(
        "subscription.changed",
        actor=actor,
        subject=user,
        request=request,
        before=before.code,
        after=after.code,
    )
    emit(
        user_id=user.pk,
        event_type="subscription.changed",
        data={"before": before.code, "after": after.code},
    )
    if after.rank < before.rank:
        user.bump_epoch()
