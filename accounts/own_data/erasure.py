"""Delete a person: gone at once for everybody, erased within a minute.

`delete_user` ends every credential in one transaction and leaves a marked row; the
task takes away what lies outside the database (apps register erasers), then the row
and all that hangs on it. Both may run twice; a sweeper repeats what was lost.
"""

import logging

from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import AuditEvent, User
from accounts.signing_in.sessions import end_browser_sessions
from aiassist.lib.clock import now
from aiassist.lib.queue import enqueue
from aiassist.lib.registry import erasers

logger = logging.getLogger(__name__)


@transaction.atomic
def delete_user(
    user: User, actor: User | None, *, request: HttpRequest | None = None
) -> None:
    """End a user's keys, tokens and sessions, and ask for the erasure."""
    locked = User.objects.select_for_update().filter(pk=user.pk).first()
    if locked is None or locked.deleted_at is not None:
        return
    moment = now()
    User.objects.filter(pk=user.pk).update(is_active=False, deleted_at=moment)
    locked.end_tokens()
    locked.api_keys.filter(revoked_at__isnull=True).update(revoked_at=moment)
    end_browser_sessions(locked)
    audit.record("user.deleted", actor=actor, subject=locked, request=request)
    enqueue("accounts.erase", user_id=user.pk)
    user.refresh_from_db()


def erase(user_id: str) -> None:
    """Take away all that belongs to a deleted user; a second run finds nothing.

    An eraser that raises leaves the row, so that the sweeper tries again.
    """
    user = User.objects.filter(pk=user_id, deleted_at__isnull=False).first()
    if user is None:
        return
    receipt: dict[str, object] = {name: run(user) for name, run in erasers.items()}
    with transaction.atomic():
        # Parallel runs meet here; the second one finds the row gone.
        locked = User.objects.select_for_update().filter(pk=user_id).first()
        if locked is None:
            return
        _, rows = locked.delete()
        receipt["rows"] = sum(rows.values())
        receipt["addresses"] = AuditEvent.objects.forget_addresses_of(user_id)
        AuditEvent.objects.create(
            action="user.erased", subject_id=user_id, details=receipt
        )
    logger.info("user erased", extra={"user_id": user_id})


def sweep() -> int:
    """Ask again for every erasure that has not ended; returns how many."""
    waiting = User.objects.filter(deleted_at__isnull=False).values_list("pk", flat=True)
    for user_id in waiting:
        enqueue("accounts.erase", user_id=user_id)
    return len(waiting)
