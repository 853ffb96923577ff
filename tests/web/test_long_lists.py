"""Lists and pages that stay quick: the same queries for one row as for many.

`python -m benchmarks.lists` tells the times over a full database.
"""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import audit, keys
from accounts.staff import among
from aiassist.lib.clock import now
from assistant.models import Conversation
from billing.models import Quota, UsageDay, UsageRecord
from billing.tiers.overrides import override_limits
from tests.factories import UserFactory
from workspaces.models import IndexJob, Workspace

pytestmark = pytest.mark.django_db

LISTS = [
    reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for model in admin.site._registry
]
PAGES = [
    *("/dashboard/", "/dashboard/usage/", "/dashboard/limits/", "/dashboard/keys/"),
    *("/dashboard/workspaces/", "/dashboard/chat/", "/dashboard/connect/"),
    *("/dashboard/settings/sessions/", "/dashboard/why/", "/pricing/"),
    "/dashboard/webhooks/",
]
# What a page may ask the database; each is what it asks today, and a little.
MOST_OF_A_LIST, MOST_OF_A_PAGE = 10, 22


def some_rows(n):
    """Make n people, with a row of theirs in every table that grows."""
    moment = now() - timedelta(days=n)
    for i in range(n):
        user = UserFactory.create()
        keys.create_key(user, "laptop")
        one_persons_rows(user, f"{n}_{i}", moment)
        override_limits(user, {"max_workspaces": 9}, actor=None, reason="trial")
        audit.record("login", actor=user, subject=user)


def one_persons_rows(user, tag, moment, code="abc"):
    workspace = Workspace.objects.create(user=user, name=f"w{tag}")
    IndexJob.objects.create(
        workspace=workspace, user=user, state="succeeded", generation=1
    )
    talk = Conversation.objects.create(user=user, title=code)
    talk.messages.create(role="user", content=code)
    Quota.objects.get_or_create(
        user=user, defaults={"hour_start": moment, "day_start": moment}
    )
    UsageDay.objects.create(
        user=user, day=moment.date(), feature="search", model=tag,
        requests=1, tokens_in=1, tokens_out=1, cost_usd_micros=1, errors=0,
    )  # fmt: skip
    UsageRecord.objects.create(
        user=user,
        reservation_id=f"res_{user.pk}_{tag}",
        request_id=f"req_{tag}",
        tier_code="free",
        endpoint="POST /v1/chat/completions",
        feature="basic_chat",
        status="ok",
        admitted_at=moment,
        created_at=moment,
    )


def asked(person, path):
    """Return what the page asks when nothing is kept from an earlier view."""
    cache.clear()
    with CaptureQueriesContext(connection) as queries:
        assert person.web.get(path).status_code == 200
    return len(queries)


def test_no_list_of_the_admin_asks_once_a_row(stella):
    stella.web.get("/admin/")  # what a process learns once
    some_rows(2)
    few = {path: asked(stella, path) for path in LISTS}
    some_rows(5)
    many = {path: asked(stella, path) for path in LISTS}

    assert {p: (few[p], many[p]) for p in LISTS if many[p] > few[p]} == {}
    assert {p: n for p, n in many.items() if n > MOST_OF_A_LIST} == {}


def test_no_page_of_the_dashboard_asks_once_a_row(alice):
    one_persons_rows(alice.user, "a", now())
    keys.create_key(alice.user, "one")
    alice.web.get("/dashboard/")
    few = {path: asked(alice, path) for path in PAGES}
    for i in range(6):
        one_persons_rows(alice.user, f"b{i}", now())
        keys.create_key(alice.user, f"key {i}")
    many = {path: asked(alice, path) for path in PAGES}

    assert {p: (few[p], many[p]) for p in PAGES if many[p] > few[p]} == {}
    assert {p: n for p, n in many.items() if n > MOST_OF_A_PAGE} == {}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_searched_without_an_error(stella, path):
    assert stella.web.get(f"{path}?q=x").status_code == 200


def test_rows_are_found_by_part_of_an_address_and_by_a_whole_id(stella, alice, charlie):
    one_persons_rows(alice.user, "a", now())
    one_persons_rows(charlie.user, "c", now())
    ledger = "/admin/billing/usagerecord/"

    def found(query):
        page = stella.web.get(f"{ledger}?q={query}")
        return [row.user.full_name for row in page.context["cl"].result_list]

    assert found("ALICE@") == ["Alice"]
    assert found(charlie.user.pk) == ["Charlie"]
    assert found("req_a") == ["Alice"]
    assert found("req_") == []
    assert sorted(found("")) == ["Alice", "Charlie"]


def test_a_filter_offers_known_values_and_asks_no_table(stella, alice):
    one_persons_rows(alice.user, "a", now())
    ledger = "/admin/billing/usagerecord/"
    chat = stella.web.get(f"{ledger}?feature=basic_chat").context["cl"]
    search = stella.web.get(f"{ledger}?feature=search").context["cl"]
    offered = among("feature", ["basic_chat"])

    assert (len(chat.result_list), len(search.result_list)) == (1, 0)
    assert offered.title == "feature"


def test_days_are_added_up_for_a_month_unless_a_day_is_chosen(stella, alice):
    one_persons_rows(alice.user, "old", now() - timedelta(days=90))
    one_persons_rows(alice.user, "new", now() - timedelta(days=1))
    days = "/admin/billing/usageday/"

    assert len(stella.web.get(days).context["sums"]) == 1
    assert len(stella.web.get(f"{days}?day__gte=2000-01-01").context["sums"]) == 2
