"""The audit log: who did what to whom, when and from where. Append-only."""

from typing import Any, NoReturn, Self

from django.db import models
from django.db.models import Q

from aiassist.lib.clock import now
from aiassist.lib.ids import new_id


class AuditLogIsAppendOnly(Exception):
    """Somebody tried to change or delete what the audit log holds."""


def new_event_id() -> str:
    return new_id("audit")


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def about(self, user_id: str) -> Self:
        """What this person did, and what was done to them."""
        return self.filter(Q(actor_id=user_id) | Q(subject_id=user_id))

    def forget_addresses_of(self, user_id: str) -> int:
        """Forget from where an erased person acted; what they did stays."""
        theirs = self.filter(actor_id=user_id)
        tried = self.filter(actor_id="", subject_id=user_id)  # failed sign-ins
        # `update` of this class is shut.
        return super(AuditEventQuerySet, theirs | tried).update(ip=None)

    def update(self, **kwargs: Any) -> NoReturn:
        raise AuditLogIsAppendOnly

    def delete(self) -> NoReturn:
        raise AuditLogIsAppendOnly


class AuditEvent(models.Model):
    """One sensitive act. Holds ids, never contents; outlives those it names.

    A trigger in the database refuses UPDATE and DELETE as well, save that the
    addresses of an erased person are forgotten.
    """

    id = models.CharField(
        max_length=40, primary_key=True, default=new_event_id, editable=False
    )
    created_at = models.DateTimeField(default=now, db_index=True)
    action = models.CharField(max_length=64, db_index=True)  # such as "key.created"
    # No foreign keys: the log must survive the erasure of a person.
    actor_id = models.CharField(max_length=40, blank=True, db_index=True)  # "": nobody
    subject_id = models.CharField(max_length=64, blank=True, db_index=True)
    ip = models.GenericIPAddressField(null=True)  # None: not from a request
    request_id = models.CharField(max_length=64, blank=True)
    details = models.JSONField(default=dict)  # ids and codes

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert. Raises AuditLogIsAppendOnly for a row that exists."""
        if not self._state.adding:
            raise AuditLogIsAppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditLogIsAppendOnly
