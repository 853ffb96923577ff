"""Short words for what billing's tests do with a person."""

from datetime import UTC, datetime
from typing import Any

from billing.metering.admission import Admission, admit
from billing.metering.ledger import Settlement, settle
from billing.models import Tier, UsageRecord
from billing.models.ledger import new_reservation_id
from billing.tiers.subscriptions import change_tier
from tests.support.people import Person

# A quiet moment: a Monday, half-way through an hour and a day.
NOON = datetime(2026, 11, 16, 12, 30, tzinfo=UTC)


def ask(person: Person, *, now: datetime | None = None, **changes: Any) -> Admission:
    """Admit one chat of the person's key."""
    call = {"feature": "basic_chat", "endpoint": "POST /chat", "request_id": ""}
    call["request_id"] = new_reservation_id()  # any unique id will do
    return admit(changes.pop("principal", person.principal), now=now, **call | changes)


def use(person: Person, *, now: datetime | None = None, **spent: Any) -> UsageRecord:
    """Admit and settle one chat."""
    request = {k: spent.pop(k) for k in ("feature", "request_id") if k in spent}
    admission = ask(person, now=now, **request)
    assert settle(admission, Settlement(**spent))
    return record_of(admission)


def record_of(admission: Admission) -> UsageRecord:
    """Return the call's record."""
    return UsageRecord.objects.get(reservation_id=admission.reservation_id)


def tier(code: str = "free", **limits: Any) -> Tier:
    """Return the tier after an edit, as staff would do it."""
    Tier.objects.filter(pk=code).update(**limits)
    return Tier.objects.get(pk=code)


def put_on(person: Person, code: str) -> None:
    """Move the person to a tier."""
    change_tier(person.user, Tier.objects.get(pk=code), actor=None)
