"""The admin as staff see it: each page accessible, fitting, without a complaint."""

import json
import re
from itertools import cycle
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.contrib import admin

from tests.browser.conftest import PASSWORD, Visit, run_beside
from tests.browser.looks import violations
from tests.support.ports import wait_for

FURNISH = "from tests.browser import furnish; print(furnish.furnish())"
# Of the admin, beside each table's list and its first row.
STAFF_PAGES = [
    *("/admin/", "/admin/?period=day", "/admin/upstreams/"),
    *("/admin/billing/tier/pro/delete/", "/admin/accounts/user/?q=nobody"),
    *("{person}insights/", "{person}impersonate/", "{person}sign-out/"),
    *("{person}password/", "/admin/accounts/user/add/", "/admin/auth/group/add/"),
    *("/admin/billing/tier/add/", "/admin/billing/subscription/add/"),
    *("/admin/billing/limitoverride/add/", "/admin/assistant/aimodel/add/"),
]


@pytest.fixture(scope="module")
def staff(site: str) -> str:
    """The address of somebody who may open the admin, where each table has rows."""
    key = run_beside("manage.py", "shell", "-v0", "-c", FURNISH).strip()
    call(f"{site}/api/v1/assistant/chat", key, b'{"message": "What is here?"}')
    # It is written down off the hot path.
    wait_for(
        lambda: call(f"{site}/api/v1/usage/records", key)["results"],
        what="a record of a real call",
    )
    return "stella@example.test"


def call(url: str, key: str, body: bytes | None = None) -> Any:
    told = {"X-API-Key": key, "Content-Type": "application/json"}
    with urlopen(Request(url, body, told)) as answer:
        return json.load(answer)


def test_every_page_of_the_admin_is_accessible_and_fits(
    site, browser, staff, complaints
):
    """By turns wide and light, narrow and dark: each kind of page is seen as both."""
    wide = browser.new_context(viewport={"width": 1280, "height": 800})
    visit = Visit(site, wide, complaints)
    visit.go("/accounts/login/")
    visit.submit(login=staff, password=PASSWORD)
    visit.page.wait_for_url(re.compile("/dashboard/"))
    narrow = browser.new_context(
        storage_state=wide.storage_state(),
        viewport={"width": 390, "height": 800},
        color_scheme="dark",
    )
    turns = cycle([visit, Visit(site, narrow, complaints)])
    visit.go("/admin/accounts/user/?is_staff__exact=0")
    person = first_row(visit.page)
    pages = [each.format(person=person[: -len("change/")]) for each in STAFF_PAGES]
    for model in admin.site._registry:
        pages.append(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
    faults = [found for path in pages for found in seen(next(turns), path)]

    assert faults == []
    wide.close()
    narrow.close()


def seen(visit, path):
    """Return what is wrong with a page and, of a list, with its first row's page."""
    page = visit.page
    visit.go(path)
    # unfold builds what moves after the page has loaded.
    page.wait_for_selector("#main[role=main]")
    faults = [(path, *found) for found in violations(page)]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        faults.append((path, "wider than the window", ""))
    if "?" not in path and (row := first_row(page)):
        faults += seen(visit, row)
    return faults


def first_row(page):
    """Return the address of a list's first row, "" where there is none."""
    rows = page.locator("#result_list [href*='/change/']")
    return rows.first.get_attribute("href").partition("?")[0] if rows.count() else ""


def test_no_page_of_the_admin_complained(complaints):
    """No error, no uncaught exception, no report of the content policy."""
    assert complaints == []
