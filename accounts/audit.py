"""Write the audit log in the transaction of the act; tell a person their part of it."""

from collections.abc import Iterator
from typing import Any, Protocol

from django.http import HttpRequest

from accounts.models import AuditEvent, User
from aiassist.lib.client_ip import client_ip
from aiassist.lib.clock import rfc3339
from aiassist.lib.request_ids import current_request_id


class HasId(Protocol):
    """Anything that lives in a table."""

    pk: str


def record(
    action: str,
    *,
    actor: User | None,
    subject: HasId | str,
    request: HttpRequest | None = None,
    **ids: object,
) -> AuditEvent:
    """Note who (`actor`) did what to whom, from where. Ids, never contents.

    Call it inside the transaction that does the act, so that neither is kept
    without the other.
    """
    return AuditEvent.objects.create(
        action=action,
        actor_id=actor.pk if actor is not None else "",
        subject_id=subject if isinstance(subject, str) else str(subject.pk),
        ip=client_ip(request) if request is not None else None,
        request_id=current_request_id.get()[:64],
        details={name: value for name, value in ids.items() if value is not None},
    )


def told_to(user: User) -> Iterator[dict[str, Any]]:
    """Yield the events of a person's export: nothing in them is of somebody else.

    Of what others did to them, who it was and from where is left out; of what they
    did to others as staff, to whom.
    """
    for event in AuditEvent.objects.about(user.pk).order_by("created_at", "pk"):
        theirs = event.actor_id in (user.pk, "")  # "": nobody was signed in
        to_another = event.subject_id.startswith("user_")
        shown = event.subject_id == user.pk or not to_another
        yield {
            "id": event.pk,
            "created_at": rfc3339(event.created_at),
            "action": event.action,
            "actor_id": event.actor_id if theirs else None,
            "subject_id": event.subject_id if shown else None,
            "ip": event.ip if theirs else None,
            "request_id": event.request_id if theirs else None,
            "details": event.details,
        }
