"""Mail people before a key of theirs expires: two weeks ahead, and two days."""

from datetime import datetime, timedelta

from django.db import transaction

from accounts.keys import event_data
from accounts.mails import send_mail
from accounts.models import ApiKey
from accounts.models.api_key import EXPIRY_NOTICE
from accounts.webhooks.events import emit
from aiassist.lib.clock import now

LAST_NOTICE = timedelta(days=2)


def warn_of_expiry() -> int:
    """Send what is due; return how many mails went out.

    The row is locked while its mail is sent and marked in the same transaction: two
    runs at once send one mail, and one that could not be sent stays due.
    """
    moment = now()
    due = ApiKey.objects.ending_before(moment + EXPIRY_NOTICE).filter(
        user__is_active=True
    )
    return sum(_warn(key_id, moment) for key_id in due.values_list("pk", flat=True))


@transaction.atomic
def _warn(key_id: str, moment: datetime) -> bool:
    locked = ApiKey.objects.select_for_update(skip_locked=True, of=("self",))
    key = locked.select_related("user").filter(pk=key_id).first()
    if key is None or not _is_due(key, moment):
        return False
    ApiKey.objects.filter(pk=key.pk).update(expiry_warned_at=moment)
    emit(user_id=key.user_id, event_type="key.expiring", data=event_data(key))
    send_mail("key_expiring", to=key.user.email, context={"key": key})
    return True


def _is_due(key: ApiKey, moment: datetime) -> bool:
    wanted = key.user.preferences.get("mail_key_expiry", True)
    if not wanted or key.expires_at is None:
        return False
    last = LAST_NOTICE if moment >= key.expires_at - LAST_NOTICE else EXPIRY_NOTICE
    return key.expiry_warned_at is None or key.expiry_warned_at < key.expires_at - last
