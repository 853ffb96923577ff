"""Data export: every classified field and a person's part of the audit log, as JSON."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import DataExport, User
from aiassist.lib.clock import now, rfc3339
from aiassist.lib.privacy import export_rows
from aiassist.lib.queue import enqueue

KEPT_FOR = timedelta(days=7)
GIVEN_UP_AFTER = timedelta(hours=1)  # what has not been built by then never will be


@transaction.atomic
def ask_for_export(*, user: User, request: HttpRequest | None = None) -> DataExport:
    """Queue an export; one that is under way is returned instead."""
    User.objects.lock(user.pk)
    export = DataExport.objects.for_user(user).queued().first()
    if export is None:
        export = DataExport.objects.create(user=user)
        audit.record("export.requested", actor=user, subject=export, request=request)
    enqueue("accounts.export", export_id=export.pk)
    return export


def latest_export(user: User) -> DataExport | None:
    """Return the user's newest export."""
    return DataExport.objects.for_user(user).order_by("-created_at").first()


def build(export_id: str) -> None:
    """Fill a queued export, the user's only one from then on.

    A second run changes nothing.
    """
    queued = DataExport.objects.queued().select_related("user")
    export = queued.filter(pk=export_id).first()
    if export is None:
        return
    export.pack(collect(export.user))
    # The user, and the export with them, may be gone by now.
    DataExport.objects.filter(pk=export_id).update(
        state=DataExport.State.READY, finished_at=now(), body=export.body
    )
    older = DataExport.objects.for_user(export.user)
    older.filter(created_at__lt=export.created_at).delete()


def collect(user: User) -> dict[str, Any]:
    """Return everything about a user, by app."""
    return {
        "format": "aiassist-export/1",
        "exported_at": rfc3339(now()),
        "tables": dict(export_rows(user.pk)),
        "audit_log": list(audit.told_to(user)),
    }


def forget_old() -> int:
    """Delete exports past their week; returns how many."""
    return DataExport.objects.filter(created_at__lt=now() - KEPT_FOR).delete()[0]


def sweep() -> int:
    """Ask again for exports whose message was lost; returns how many.

    One that fails each time is given up, so that another can be asked for.
    """
    queued = DataExport.objects.queued()
    moment = now()
    queued.filter(created_at__lt=moment - GIVEN_UP_AFTER).update(
        state=DataExport.State.FAILED, finished_at=moment
    )
    waiting = queued.values_list("pk", flat=True)
    for export_id in waiting:
        enqueue("accounts.export", export_id=export_id)
    return len(waiting)
