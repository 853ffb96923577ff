"""The admin as staff see it: each page accessible, fitting, without a complaint."""

import json
import re
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.contrib import admin

from tests.browser.conftest import PASSWORD, Visit, run_beside
from tests.browser.looks import violations
from tests.support.ports import wait_for

FURNISH = "from tests.browser import furnish; print(furnish.furnish())"
WIDE = {"viewport": {"width": 1280, "height": 800}}
NARROW = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
# Of the admin, beside each table's list and its first row.
STAFF_PAGES = [
    *("/admin/", "/admin/?period=day", "/admin/upstreams/"),
    *("/admin/billing/tier/pro/delete/", "/admin/accounts/user/?q=nobody"),
    *("{person}insights/", "{person}impersonate/", "{person}sign-out/"),
    *("{person}password/", "/admin/accounts/user/add/", "/admin/auth/group/add/"),
    *("/admin/billing/tier/add/", "/admin/billing/subscription/add/"),
    *("/admin/billing/limitoverride/add/", "/admin/assistant/aimodel/add/"),
]
# One of each kind: in a wide window and light they differ alike from narrow and dark.
KINDS = [
    *("/admin/", "/admin/upstreams/", "{person}insights/", "{person}change/"),
    *("/admin/billing/tier/pro/change/", "/admin/billing/usagerecord/"),
    *("/admin/assistant/aimodel/", "/admin/billing/subscription/add/"),
]
# Whatever a row holds, its page fits: an id or a name is a word without a break.
FILL = """document.querySelectorAll(".readonly").forEach(
  (shown) => { shown.textContent = "W".repeat(160); })"""


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
    """Each narrow and dark; one of each kind wide and light, too."""
    wide = Visit(site, browser.new_context(**WIDE), complaints)
    wide.go("/accounts/login/")
    wide.submit(login=staff, password=PASSWORD)
    wide.page.wait_for_url(re.compile("/dashboard/"))
    wide.go("/admin/accounts/user/?is_staff__exact=0")
    person = first_row(wide.page)[: -len("change/")]
    signed_in = wide.context.storage_state()
    narrow = Visit(
        site, browser.new_context(storage_state=signed_in, **NARROW), complaints
    )
    tables = [
        f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for model in admin.site._registry
    ]
    faults = [
        (path, *found)
        for visit, pages in ((narrow, [*STAFF_PAGES, *tables]), (wide, KINDS))
        for page in pages
        for path, found in seen(visit, page.format(person=person))
    ]

    assert faults == []
    wide.context.close()
    narrow.context.close()


def seen(visit, path):
    """Yield what is wrong with a page and, of a list, with its first row's page."""
    page = visit.page
    visit.go(path)
    # unfold builds what moves after the page has loaded.
    page.wait_for_selector("#main[role=main]")
    row = first_row(page)
    for found in violations(page):
        yield path, found
    page.evaluate(FILL)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield path, ("wider than the window",)
    if row and "?" not in path:
        yield from seen(visit, row)


def first_row(page):
    """Return the address of a list's first row, "" where there is none."""
    rows = page.locator("#result_list [href*='/change/']")
    return rows.first.get_attribute("href").partition("?")[0] if rows.count() else ""


def test_no_page_of_the_admin_complained(complaints):
    """No error, no uncaught exception, no report of the content policy."""
    assert complaints == []
