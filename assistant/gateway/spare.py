"""A local model answers when the quota for a paid one is used up.

Off unless the operator allows some calls an hour (`LOCAL_FALLBACK_PER_HOUR`) and the
user wishes it (the preference `local_fallback`). Such a call takes nothing from the
quota, which stays used up: it is counted in a row of its own, by the database alone,
so that it is exact with Redis away, too. Headers and the usage record say `quota`.
"""

from dataclasses import replace

from django.conf import settings
from django.db import transaction

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.db import in_db
from aiassist.lib.errors import AppError, QuotaExceeded
from assistant.catalogue import EXTRACTIVE, Live, live_models, offers_of
from assistant.gateway.plan import Ask, Plan, make_plan
from assistant.models import SpareCalls
from billing.metering.admission import Admission, limits_for, new_call
from billing.metering.limits import DAY, HOUR
from billing.models import Tier

LOCAL = ("ollama", EXTRACTIVE)
PREFERENCE = "local_fallback"


async def admit_spare(
    ask: Ask, plan: Plan, refusal: QuotaExceeded
) -> tuple[Plan, Admission]:
    """Return a plan that asks a local model, and the right to carry it out.

    Raises `refusal` where there is none.
    """
    if not may_have_spare(ask.principal.user, refusal):
        raise refusal
    if plan.offers[0].provider in LOCAL:
        raise refusal  # the quota is meant for these as well
    name = await in_db(_local_model, ask, plan.tier, await live_models())
    try:
        spare = await make_plan(
            replace(ask, model=name, may_fall_back=False), plan.tier
        )
    except AppError:  # it cannot do what is asked, or not so much of it
        raise refusal from None
    return spare, await in_db(_admit, ask, plan.tier, refusal)


def may_have_spare(user: User, refusal: QuotaExceeded) -> bool:
    """Tell whether operator and user wish it, and an hour or a day was refused."""
    return (
        settings.LOCAL_FALLBACK_PER_HOUR > 0
        and refusal.details.get("policy") in (HOUR, DAY)
        and user.preferences.get(PREFERENCE) is True
    )


def _local_model(ask: Ask, tier: Tier, live: Live) -> str:
    """Return the first local model that serves this; at last what quotes code."""
    offers = offers_of(ask.principal.user, tier, live)
    return next(
        o.id
        for o in offers
        if o.provider in LOCAL
        and o.serves(ask.feature)
        and o.provider in (*tier.providers, EXTRACTIVE)
    )


def _admit(ask: Ask, tier: Tier, refusal: QuotaExceeded) -> Admission:
    user = ask.principal.user
    if not _taken(user):
        raise refusal
    call = new_call(
        ask.principal,
        tier=tier,
        feature=ask.feature,
        endpoint=ask.endpoint,
        request_id=ask.request_id,
    )
    # Counted already, and in no window: settling it touches nothing of Redis.
    return Admission(
        call, limits_for(user), clock.now(), by_database=True, of_grant=True
    )


@transaction.atomic
def _taken(user: User) -> bool:
    """Count one in the hour that runs; False: there is none left."""
    hour_start, _ = clock.hour_window(clock.now())
    row = SpareCalls(user=user, hour_start=hour_start)
    SpareCalls.objects.bulk_create([row], ignore_conflicts=True)
    row = SpareCalls.objects.select_for_update().get(user=user)
    if row.hour_start < hour_start:
        row.hour_start, row.used = hour_start, 0
    if row.used >= settings.LOCAL_FALLBACK_PER_HOUR:
        return False
    row.used += 1
    row.save()
    return True
