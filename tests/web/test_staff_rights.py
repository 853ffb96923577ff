"""M2: what each group of staff may open, send and do, over every address of the admin.

An address, a table or an action that is new must be given to somebody here, or fails.
"""

import re
from collections.abc import Iterator, Sequence

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver

from accounts.models import AuditEvent
from tests.support.holdings import holdings_of
from tests.support.people import Person

# Of a table: view (its list and rows), add, change, delete.
TABLES = {
    "support": {
        "accounts.user": "vc",
        **dict.fromkeys(("accounts.apikey", "accounts.tokenfamily"), "v"),
        **dict.fromkeys(("accounts.webhook", "accounts.webhookdelivery"), "v"),
        **dict.fromkeys(("billing.tier", "billing.subscription"), "v"),
        **dict.fromkeys(("billing.limitoverride", "billing.usagerecord"), "v"),
        **dict.fromkeys(("billing.refusal", "billing.quota"), "v"),
        **dict.fromkeys(("workspaces.workspace", "workspaces.indexjob"), "v"),
        "assistant.aimodel": "v",
    },
    "billing": {
        "accounts.user": "v",
        "billing.tier": "vac",
        **dict.fromkeys(("billing.subscription", "billing.limitoverride"), "va"),
        **dict.fromkeys(("billing.usagerecord", "billing.usageday"), "v"),
        **dict.fromkeys(("billing.refusal", "billing.quota"), "v"),
        "assistant.aimodel": "vac",
    },
    "admin": {
        "accounts.user": "vac",
        **dict.fromkeys(("accounts.apikey", "accounts.tokenfamily"), "v"),
        **dict.fromkeys(("accounts.webhook", "accounts.webhookdelivery"), "v"),
        **dict.fromkeys(("accounts.auditevent", "accounts.dataexport"), "v"),
        "billing.tier": "vacd",
        **dict.fromkeys(("billing.subscription", "billing.limitoverride"), "va"),
        **dict.fromkeys(("billing.usagerecord", "billing.usageday"), "v"),
        **dict.fromkeys(("billing.refusal", "billing.quota"), "v"),
        "billing.reservation": "v",
        **dict.fromkeys(("workspaces.workspace", "workspaces.indexjob"), "v"),
        **dict.fromkeys(("workspaces.userstorage", "workspaces.tombstone"), "v"),
        **dict.fromkeys(("assistant.conversation",), "v"),
        "assistant.aimodel": "vacd",
    },
    "": {},  # who is no staff
}
_LOOK = {"accounts_user_insights", "user_insights", "upstreams"}
_HELP = {
    *("accounts_user_sign_out_this", "accounts_user_resend_to_this"),
    *("accounts_user_disable_this", "accounts_user_enable_this"),
}
_SELL = {"accounts_user_change_tier", "accounts_user_give_limits"}
# Of the pages beside the tables' own.
PAGES = {
    "support": _LOOK | _HELP,
    "billing": _LOOK | _SELL,
    "admin": _LOOK | _HELP | _SELL | {"accounts_user_impersonate"},
    "": set[str](),
}
# Only superusers: they give a password, or say what a group may.
FOR_SUPERUSERS = {"accounts_user_set_password", "auth_user_password_change"}
# Every member of staff; these hold nothing, or only what the tables above hold.
FOR_ALL = {
    *("index", "login", "logout", "search", "app_list", "jsi18n", "autocomplete"),
    *("view_on_site", "password_change", "password_change_done", None),
}
_PEOPLE = {"disable", "enable", "sign_out", "resend_confirmation"}
_JOBS = {"cancel", "retry", "park", "release"}
_SUPPORT = {
    "accounts.user": _PEOPLE,
    "accounts.apikey": {"revoke"},
    "accounts.tokenfamily": {"revoke"},
    "workspaces.workspace": {"rebuild"},
    "workspaces.indexjob": _JOBS,
}
_BILLING = {"billing.subscription": {"end_now"}, "billing.limitoverride": {"end_now"}}
ACTIONS = {
    "support": _SUPPORT,
    "billing": _BILLING,
    "admin": _SUPPORT
    | _BILLING
    | {
        "accounts.user": _PEOPLE | {"erase"},
        "assistant.aimodel": {"delete_selected"},
    },
}
# The others' pages stay shut after it.
SHUTS = {("accounts_user_impersonate", "POST")}
# What a right opens: the end of an address's name, and how it is asked.
OPENS = {
    "v": {("changelist", "GET"), ("changelist", "POST"), ("change", "GET")},
    "a": {("add", "GET"), ("add", "POST")},
    "c": {("change", "POST")},
    "d": {("delete", "GET"), ("delete", "POST")},
}


def member_of(group: str) -> Person:
    """Return somebody of the group; of none, who is no staff."""
    if not group:
        return Person("Charlie")
    person = Person(group, is_staff=True)
    person.user.groups.add(Group.objects.get(name=group))
    return person


def addresses(
    found: Sequence[URLPattern | URLResolver], before: str = ""
) -> Iterator[tuple[str | None, str]]:
    """Yield the name and the pattern of each."""
    for each in found:
        pattern = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from addresses(each.url_patterns, pattern)
        else:
            yield each.name, pattern


def open_to(group: str) -> set[tuple[str, str]]:
    """Return the names of addresses, and how the group may ask for them."""
    return {(name, how) for name in PAGES[group] for how in ("GET", "POST")} | {
        (f"{table.replace('.', '_')}_{end}", how)
        for table, rights in TABLES[group].items()
        for right in rights
        for end, how in OPENS[right]
    }


def rows(alice: Person) -> dict[str, str]:
    """Return a row's id by the beginning of its table's addresses."""
    holdings_of(alice)
    firsts = {
        f"{model._meta.app_label}/{model._meta.model_name}/": model._default_manager
        for model in admin.site._registry
    }
    found = {path: rows.first() for path, rows in firsts.items()}
    ids = {path: quote(str(row.pk)) if row else "none" for path, row in found.items()}
    # The free tier is what those have who have none: nobody deletes it.
    return ids | {"accounts/user/": alice.user.pk, "billing/tier/": "pro"}


def sent(client: Client, how: str, path: str) -> bool:
    """Ask; whether it was let in."""
    answer = client.generic(how, path, content_type="application/x-www-form-urlencoded")
    assert answer.status_code in (200, 302, 403), path
    to_sign_in = answer.status_code == 302 and "/admin/login/" in answer["Location"]
    return answer.status_code != 403 and not to_sign_in


@pytest.mark.parametrize("group", TABLES)
def test_m2_every_address_asked_in_every_way_opens_to_its_groups_alone(group, alice):
    ids = rows(alice)
    person = member_of(group)
    asked, opened = set(), set()
    for name, pattern in addresses(admin.site.get_urls()):
        if name in FOR_ALL:
            continue
        row = ids.get("/".join(pattern.split("/")[:2]) + "/", "")
        path = re.sub("<[^>]+>", row, f"/admin/{pattern}")
        for how in ("GET", "POST"):
            asked.add((name, how))
            if (name, how) in SHUTS and group == "admin":
                continue
            if sent(person.web, how, path):
                opened.add((name, how))

    assert opened == open_to(group) - SHUTS
    assert set().union(*map(open_to, TABLES)) <= asked


@pytest.mark.parametrize("group", ACTIONS)
def test_m2_a_group_is_offered_the_actions_of_its_work_alone(group, db):
    """What is not offered is not done when it is sent: Django looks it up here."""
    request = RequestFactory().get("/")
    request.user = member_of(group).user
    offered = {
        model._meta.label_lower: set(page.get_actions(request))
        for model, page in admin.site._registry.items()
        if page.has_view_permission(request) and page.get_actions(request)
    }

    assert offered == ACTIONS[group]


def test_m2_an_action_that_is_not_offered_is_not_done_when_it_is_sent(alice):
    billing = member_of("billing")
    body = {"action": "disable", "_selected_action": [alice.user.pk]}
    billing.web.post("/admin/accounts/user/", body)
    alice.user.refresh_from_db()

    assert alice.user.is_active
    assert not AuditEvent.objects.filter(actor_id=billing.user.pk).exclude(
        action="login"
    )
