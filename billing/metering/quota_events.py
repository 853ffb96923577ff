"""Tell users' webhooks that an hour or a day of theirs is nearly, or wholly, used up.

Looked for by the worker, so that no call waits for it. A window that fills and ends
between two looks is not told of.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.models import User, Webhook
from accounts.webhooks.events import emit
from aiassist.lib import clock
from billing.metering.admission import limits_for
from billing.metering.limits import Window

WARN_AT = 0.8  # of a window's limit


def sweep_quotas(*, now: datetime | None = None) -> int:
    """Emit what is due, each window once; return how many windows were found so."""
    moment = now or clock.now()
    listening = Webhook.objects.enabled().filter(user=OuterRef("pk"))
    today, _ = clock.day_window(moment)
    users = User.objects.filter(Exists(listening), quota__day_start__gte=today)
    return sum(_tell(user, moment) for user in users.iterator())


@transaction.atomic
def _tell(user: User, moment: datetime) -> int:
    found = list(_events(user, moment))
    for event_type, window in found:
        assert window.resets_at is not None  # a window of time has an end
        resets_at = clock.rfc3339(window.resets_at)
        emit(
            user_id=user.pk,
            event_type=event_type,
            data={
                "policy": window.policy,
                "limit": window.limit,
                "used": window.used,
                "resets_at": resets_at,
            },
            once=f"{window.policy} until {resets_at}",
        )
    return len(found)


def _events(user: User, moment: datetime) -> Iterator[tuple[str, Window]]:
    limits = limits_for(user, now=moment)
    for window in (limits.hour, limits.day):
        if not limits.enforced or not window.used:
            continue
        if window.used >= window.limit:
            yield "quota.exceeded", window
        elif window.used >= WARN_AT * window.limit:
            yield "quota.warning", window
