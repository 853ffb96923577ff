"""Give back what Redis was granted and has not spent, before it is stopped.

A Redis that comes back is another one to us (`admission`), so what it still
held would stay counted. Each call is taken out of Redis first and counted back once
after that, so this may run at any time, also while calls are admitted.
"""

from django.db import transaction

from aiassist.lib.redis import RedisDown, client
from billing.metering import windows
from billing.metering.windows import Kept
from billing.models import Quota


def return_grants() -> int:
    """Return every user's unspent calls to the database; how many there were."""
    n_returned = 0
    try:
        for key in list(client().scan_iter("quota:{*}", count=500)):
            user_id = str(key).removeprefix("quota:{").removesuffix("}")
            kept = windows.recall(user_id)
            if kept is not None and kept.lease:
                n_returned += _count_back(user_id, kept)
    except RedisDown as error:
        windows.note_failure(error)
    return n_returned


@transaction.atomic
def _count_back(user_id: str, kept: Kept) -> int:
    quota = Quota.objects.select_for_update().filter(pk=user_id).first()
    if quota is None or quota.lease != kept.lease:
        return 0
    if quota.hour_start == kept.hour_start:
        quota.hour_used = max(0, quota.hour_used - kept.left)
    if quota.day_start == kept.day_start:
        quota.day_used = max(0, quota.day_used - kept.left - kept.back)
    # Nothing is lost with this lease any more.
    quota.lease = ""
    quota.save()
    return kept.left
