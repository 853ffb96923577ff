"""T4: no write takes what it does not document.

Each write of the OpenAPI document is sent once as it should be and with every
column of every table of ours beside it, in body and query. What was smuggled is
looked for by its value, wherever it may have landed.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from rest_framework.test import APIClient

from accounts.keys import create_key
from accounts.models import User
from accounts.scopes import ALL_SCOPES
from aiassist.lib import privacy
from billing.models import Subscription, Tier
from billing.tiers.subscriptions import change_tier
from tests.support.holdings import holdings_of
from tests.support.openapi import EXAMPLES, Operation, operations
from tests.support.people import Person

OURS = ("accounts", "billing", "workspaces", "assistant")
WRITES = [
    o
    for o in operations()
    if o.method in ("POST", "PUT", "PATCH")
    if "/hooks/" not in o.path  # read by code hosts' signature alone
]
NUMBER, MOMENT, TEXT = 1_777_777_777, datetime(2001, 2, 3, tzinfo=UTC), "smuggled"
# What people try first; the columns of our tables come on top.
POPULAR: dict[str, Any] = {
    **dict.fromkeys(("owner", "owner_id", "user", "user_id", "id", "pk"), TEXT),
    **dict.fromkeys(("tier", "plan", "subscription", "email", "password"), TEXT),
    **dict.fromkeys(("role", "roles", "groups", "user_permissions"), [TEXT]),
    **dict.fromkeys(("is_staff", "is_superuser", "is_admin", "verified"), True),
    **dict.fromkeys(("quota", "limit", "epoch", "requests_total"), NUMBER),
}
# What a person may do; a call may change the rest of the row (totals, last sign-in).
RIGHTS = ("email", "password", "is_active", "is_staff", "is_superuser", "epoch")


def tables() -> Iterator[type[models.Model]]:
    for label in OURS:
        yield from apps.get_app_config(label).get_models()


def contraband() -> dict[str, Any]:
    """Return a recognisable value for each column of each table."""
    values = dict(POPULAR)
    for table in tables():
        for field in table._meta.concrete_fields:
            values[field.name] = values[field.attname] = value_for(field)
    return values


def value_for(field: Any) -> Any:
    if isinstance(field, models.BooleanField):
        return not field.get_default()
    if isinstance(field, models.IntegerField):
        return NUMBER
    if isinstance(field, models.DateField):
        return MOMENT.isoformat()
    if isinstance(field, models.JSONField):
        return {TEXT: NUMBER}
    return TEXT


def rows() -> dict[str, dict[str, Any]]:
    """Return every row of ours, by table and key."""
    return {
        f"{table._meta.label} {row[pk_of(table)]}": row
        for table in tables()
        for row in table._base_manager.values()
    }


def pk_of(table: type[models.Model]) -> str:
    return str(table._meta.pk.attname)


def belongings(person: Person) -> list[dict[str, Any]]:
    """Return every row that is a person's."""
    found: list[dict[str, Any]] = []
    for table in tables():
        classified = privacy.of_model(table)
        if classified and classified.owner:
            mine = {classified.owner: person.user.pk}
            found += table._base_manager.filter(**mine).order_by("pk").values()
    return found


def rights(person: Person) -> list[Any]:
    return [
        User.objects.filter(pk=person.user.pk).values(*RIGHTS).get(),
        *Subscription.objects.order_by("pk").values(),
        *Tier.objects.order_by("pk").values(),
    ]


def holds_contraband(row: dict[str, Any]) -> bool:
    text = json.dumps(row, default=str)
    return any(str(sign) in text for sign in (NUMBER, TEXT, MOMENT.date()))


@pytest.fixture
def his_api(charlie: Person) -> APIClient:
    """Charlie with every scope and feature: what is refused is the contraband."""
    change_tier(charlie.user, Tier.objects.get(pk="enterprise"), actor=None)
    _, secret = create_key(charlie.user, "all", ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client


@pytest.mark.parametrize("operation", WRITES, ids=lambda o: o.name)
def test_t4_a_write_takes_nothing_but_what_it_documents(
    alice: Person,
    charlie: Person,
    his_api: APIClient,
    queue: object,
    operation: Operation,
):
    holdings_of(alice)
    his = holdings_of(charlie)
    documented = {name for where, name in operation.fields if where == "body"}
    documented |= EXAMPLES.get(operation.name, {}).keys()
    extra = {k: v for k, v in contraband().items() if k not in documented}
    extra["user_id"] = extra["owner_id"] = alice.user.pk
    asked = {name for _, name in operation.parameters}
    hers, might = belongings(alice), rights(charlie)

    answer = operation.send(
        his_api,
        his,
        body=extra,
        query={k: v for k, v in extra.items() if k not in asked},
    )

    # Refused by the name of what was smuggled in is as good as ignored.
    refused = any(f'"{name}"'.encode() in answer.content for name in extra)
    assert answer.status_code in (200, 201, 202, 204) or (
        answer.status_code == 400 and refused
    ), answer.content
    assert [name for name, row in rows().items() if holds_contraband(row)] == []
    assert belongings(alice) == hers
    assert rights(charlie) == might
