"""Fill a running site's tables, so that staff have something to look at.

`python manage.py shell -c "from tests.browser import furnish; furnish.furnish()"`
on the data of that site.
"""

import json
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group

from accounts.keys import create_key
from accounts.models import DataExport, User, Webhook
from accounts.webhooks.events import TEST, new_event_id
from aiassist.lib.clock import now
from billing.models import LimitOverride
from tests.factories import UserFactory
from tests.support import demo
from tests.support.holdings import holdings_of
from tests.support.people import Person
from workspaces.models import IndexJob
from workspaces.services import create_workspace

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # of each second factor
GROUPS = ("support", "billing", "admin")


def furnish() -> str:
    """Make Stella (staff), Ada and others with calls, and Alice.

    Alice owns one of everything. Return what a test must know of them, as JSON.
    """
    demo.fill(people=3, calls=100)
    alice = Person("Alice")
    held = holdings_of(alice)
    Webhook.objects.get(pk=held["webhook_id"]).deliveries.create(
        event_id=new_event_id(), event_type=TEST, data={}
    )
    DataExport.objects.create(user=alice.user)
    LimitOverride.objects.create(
        user=alice.user,
        limits={"requests_per_hour": 9},
        reason="tried out",
        starts_at=now() - timedelta(days=1),
        ends_at=now(),
    )
    waiting = UserFactory.create(email="waiting@example.test", confirmed=False)
    EmailAddress.objects.create(user=waiting, email=waiting.email, primary=True)
    hire()
    spare = [create_key(alice.user, f"spare {n}")[1] for n in range(3)]
    told: dict[str, Any] = {
        "alice": alice.user.pk,
        "ada": User.objects.get(email="ada@example.test").pk,
        "waiting": waiting.pk,
        "key": alice.key,
        "spare": spare,
        "jobs": [a_job_that_waits(alice, name) for name in ("slow", "slower")],
    }
    return json.dumps(told)


def hire() -> None:
    """Make somebody of each group, and one who has no second factor yet."""
    for name in (*GROUPS, "newcomer"):
        person = UserFactory.create(
            email=f"{name}@example.test", full_name=name.title(), is_staff=True
        )
        group = "support" if name == "newcomer" else name
        person.groups.add(Group.objects.get(name=group))
    coded = User.objects.filter(is_staff=True).exclude(full_name="Newcomer")
    for person in coded:
        TOTP.activate(person, SECRET)


def a_job_that_waits(owner: Person, workspace: str) -> str:
    """Return the id of one that no worker takes before tomorrow."""
    job = IndexJob.objects.create(
        workspace=create_workspace(user=owner.user, name=workspace),
        user=owner.user,
        not_before=now() + timedelta(days=1),
    )
    return job.pk
