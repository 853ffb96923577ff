"""The admin as staff see it: each journey, and each page without a complaint."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from django.contrib import admin
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PASSWORD, Visit, embedded_site, run_beside
from tests.browser.desk import WIDE, Desk, code_of
from tests.browser.looks import violations
from tests.fakes.providers import FakeProvider, failure
from tests.support.ports import wait_for

FURNISH = "from tests.browser import furnish; print(furnish.furnish())"
NARROW: dict[str, Any] = {
    "viewport": {"width": 390, "height": 800},
    "color_scheme": "dark",
}
# Of the admin, beside each table's list and its first row.
STAFF_PAGES = [
    *("/admin/", "/admin/?period=day", "/admin/upstreams/"),
    *("/admin/billing/tier/pro/delete/", "/admin/accounts/user/?q=nobody"),
    *("{person}insights/", "{person}impersonate/", "{person}sign-out/"),
    *("{person}password/", "/admin/accounts/user/add/", "/admin/auth/group/add/"),
    *("/admin/billing/tier/add/", "/admin/billing/subscription/add/"),
    *("/admin/billing/limitoverride/add/", "/admin/assistant/aimodel/add/"),
]
# One of each kind, which axe looks at, too; wide and light ones the journeys show it.
KINDS = [
    *("/admin/", "/admin/upstreams/", "{person}insights/", "{person}change/"),
    *("/admin/billing/tier/pro/change/", "/admin/billing/usagerecord/"),
    *("/admin/assistant/aimodel/", "/admin/billing/subscription/add/"),
]
# Whatever a row holds, its page fits: an id or a name is a word without a break.
FILL = """document.querySelectorAll(".readonly").forEach(
  (shown) => { shown.textContent = "W".repeat(160); })"""


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, provider_urls: dict[str, str]
) -> Iterator[str]:
    """A site of their own: what staff change shows on every page of the others'."""
    with embedded_site(tmp_path_factory.mktemp("staffed"), provider_urls) as address:
        yield address


@pytest.fixture(scope="module")
def staff(site: str) -> dict[str, Any]:
    """What there is to work on, by name; each table has rows."""
    told = json.loads(run_beside("manage.py", "shell", "-v0", "-c", FURNISH))
    key = told["key"]
    call(f"{site}/api/v1/assistant/chat", key, b'{"message": "What is here?"}')
    # It is written down off the hot path.
    wait_for(
        lambda: call(f"{site}/api/v1/usage/records", key)["results"],
        what="a record of a real call",
    )
    return dict(told)


@pytest.fixture(scope="module")
def desk(
    site: str, browser: Browser, staff: dict[str, Any], complaints: list[str]
) -> Iterator[Desk]:
    """Stella, a superuser, signed in with her second factor."""
    stella = Desk(site, browser, complaints)
    stella.sign_in_with_code("stella")
    yield stella
    stella.context.close()


@pytest.fixture
def alice(
    site: str, browser: Browser, staff: dict[str, Any], complaints: list[str]
) -> Iterator[Visit]:
    """Somebody the staff look after, signed in at a browser of their own."""
    visit = Visit(site, browser.new_context(**WIDE), complaints)
    visit.go("/accounts/login/?next=/dashboard/limits/")
    visit.submit(login="alice@example.test", password=PASSWORD)
    expect(visit.page.locator("h1")).to_be_visible()
    yield visit
    visit.context.close()


@pytest.fixture
def openai(provider_urls: dict[str, str]) -> Iterator[FakeProvider]:
    """Who answers at the address of the settings."""
    port = urlsplit(provider_urls["OPENAI_BASE_URL"]).port
    assert port is not None
    fake = FakeProvider().start(port)
    yield fake
    fake.stop()


def call(url: str, key: str, body: bytes | None = None) -> Any:
    told = {"X-API-Key": key, "Content-Type": "application/json"}
    with urlopen(Request(url, body, told)) as answer:
        return json.load(answer)


def opens(site: str, key: str) -> bool:
    """Whether an API key still opens something."""
    try:
        call(f"{site}/api/v1/me", key)
    except HTTPError as refused:
        assert refused.code == 401
        return False
    return True


def test_m1_the_admin_opens_with_a_second_factor_alone(
    site, browser, staff, complaints
):
    newcomer = Desk(site, browser, complaints)
    newcomer.go("/accounts/login/?next=/admin/")
    newcomer.submit(login="newcomer@example.test", password=PASSWORD)
    expect(newcomer.page.locator("body")).to_contain_text("needs a second factor")
    newcomer.page.get_by_role("link", name="Set up").click()
    newcomer.submit(password=PASSWORD)
    newcomer.must_be_clean()
    secret = newcomer.page.input_value("[id$=authenticator_secret]")
    newcomer.submit(code=code_of(secret))
    newcomer.go("/admin/")
    newcomer.submit(code=code_of(secret))

    newcomer.page.wait_for_url("**/admin/")
    expect(newcomer.main).to_contain_text("Time to answer")
    newcomer.context.close()


SIDE = {  # what the side bar offers a group, beside what it offers them all
    "support": {"API keys", "Token sign-ins", "Webhooks", "Deliveries"}
    | {"Workspaces", "Index jobs"},
    "billing": {"Usage by day"},
    "admin": {"API keys", "Token sign-ins", "Webhooks", "Deliveries", "Usage by day"}
    | {"Workspaces", "Index jobs", "Data exports", "Conversations", "Storage"}
    | {"Tombstones", "Audit log"},
}
FOR_ALL = {
    *("Overview", "Users", "Tiers", "Subscriptions", "Limit overrides"),
    *("Usage records", "Refusals", "Quotas now", "Models and prices", "Upstreams"),
}
SHUT = {  # one page each that belongs to others
    "support": "/admin/billing/subscription/add/",
    "billing": "/admin/accounts/apikey/",
    "admin": "/admin/auth/group/",
}
ACTS = {  # what stands on somebody's page
    "support": {"How they work", "Sign out everywhere", "Disable", "Enable again"}
    | {"Send the confirmation mail again"},
    "billing": {"How they work", "Change the tier", "Give other limits"},
}
ACTS["admin"] = ACTS["support"] | ACTS["billing"] | {"Look at the site as this person"}


@pytest.mark.parametrize("group", SIDE)
def test_m2_a_group_sees_what_its_work_asks_for(
    site, browser, staff, complaints, group
):
    person = Desk(site, browser, complaints)
    person.sign_in_with_code(group)
    side = person.page.locator("#nav-sidebar-apps a[href^='/admin/']")
    # Each begins with the name of its icon.
    offered = {text.split(None, 1)[1].strip() for text in side.all_text_contents()}
    assert offered == SIDE[group] | FOR_ALL
    person.must_be_clean()
    assert person.status_of(SHUT[group]) == 403

    person.go(f"/admin/accounts/user/{staff['alice']}/change/")
    acts = person.page.locator(f"a[href*='/admin/accounts/user/{staff['alice']}/']")
    shown = {text.strip() for text in acts.all_text_contents()}
    assert ACTS[group] <= shown
    assert not shown & (ACTS["admin"] - ACTS[group])
    person.context.close()


def test_a_tiers_draft_is_previewed_over_real_calls_before_it_is_saved(desk, site):
    desk.go("/admin/billing/tier/pro/change/")
    desk.must_be_clean()
    desk.page.fill("[name=requests_per_hour]", "1")
    desk.page.fill("[name=requests_per_day]", "2")
    desk.press("Preview the draft")
    expect(desk.page.locator("h1")).to_contain_text("Pro")
    desk.must_say("1 user holds Pro now")
    refused = desk.page.get_by_role("row", name="Would have been refused")
    today, draft = refused.get_by_role("cell").all_text_contents()
    assert today == "0" and int(draft) > 10
    desk.must_say("quota_exceeded (day)", "ada@example.test")
    desk.must_be_clean()
    desk.page.get_by_role("link", name="Throw the draft away").click()
    expect(desk.page.locator("[name=requests_per_day]")).to_have_value("2000")

    desk.page.fill("[name=monthly_price_usd_micros]", "19.90")
    desk.press("Preview the draft")
    desk.must_say("monthly price", "not told", "$19.90")
    desk.press("Save these limits")
    desk.must_say("was changed successfully")
    desk.go("/pricing/")
    expect(desk.page.locator("main")).to_contain_text("$19.90 a month")


def test_a_person_gets_another_tier_for_a_reason_and_a_time(desk, site, staff):
    def tier() -> str:
        return str(call(f"{site}/api/v1/limits", staff["key"])["tier"]["code"])

    desk.go("/admin/accounts/user/?q=alice@")
    desk.page.click("#result_list tbody a")
    desk.must_be_clean()
    desk.page.get_by_role("link", name="Change the tier").click()
    desk.must_say("alice@example.test")
    desk.page.select_option("[name=tier]", "pro")
    desk.page.fill("[name=reason]", "trial")
    desk.page.fill("[name=ends_at_0]", "2099-01-31")
    desk.page.fill("[name=ends_at_1]", "12:00:00")
    desk.must_be_clean()
    desk.press("Save")
    desk.must_say("was added successfully", "2099", "trial")
    assert tier() == "pro"

    desk.tick("trial")
    desk.run("End the chosen subscriptions now")
    expect(desk.main).not_to_contain_text("2099")
    assert tier() == "free"


def test_a_person_gets_limits_of_their_own(desk, site, staff):
    def per_hour() -> int:
        return int(call(f"{site}/api/v1/limits", staff["key"])["windows"][0]["limit"])

    assert per_hour() == 50
    desk.person(staff["alice"], "Give other limits")
    desk.page.fill("[name=reason]", "a hackathon")
    desk.page.fill("[name=requests_per_hour]", "77")
    desk.must_be_clean()
    desk.press("Save")
    desk.must_say("was added successfully", "requests_per_hour: 77")
    assert per_hour() == 77

    desk.tick("a hackathon")
    desk.run("End the chosen overrides now")
    wait_for(lambda: per_hour() == 50, what="the tier's own limit")


def test_t10_disabled_is_out_at_once_and_enabled_comes_back(desk, site, staff, alice):
    desk.person(staff["alice"], "Disable")
    desk.must_say("stop at once", "The audit log notes it as yours.")
    desk.must_be_clean()
    desk.press("Disable")
    desk.must_say("Done: disable.")
    assert not opens(site, staff["key"])
    alice.go("/dashboard/")
    expect(alice.page).to_have_url(re.compile("/accounts/login/"))

    desk.person(staff["alice"], "Enable again")
    desk.press("Enable again")
    desk.must_say("Done: enable again.")
    assert opens(site, staff["key"])


def test_somebody_is_signed_out_everywhere_and_their_keys_go_on(
    desk, site, staff, alice
):
    desk.person(staff["alice"], "Sign out everywhere")
    desk.press("Sign out everywhere")
    desk.must_say("Done: sign out everywhere.")
    alice.go("/dashboard/")
    expect(alice.page).to_have_url(re.compile("/accounts/login/"))
    assert opens(site, staff["key"])


def test_a_confirmation_mail_is_sent_again(desk, staff):
    desk.person(staff["waiting"], "Send the confirmation mail again")
    desk.press("Send the confirmation mail again")
    desk.must_say("1 mails sent.")
    desk.go("/mailbox/")
    expect(desk.page.locator("main")).to_contain_text("waiting@example.test")


def test_m4_looking_as_somebody_stands_in_a_banner_and_in_the_log(desk, staff):
    desk.person(staff["alice"], "Look at the site as this person")
    desk.must_say("For 15 minutes, to read only")
    desk.press("Look as alice@example.test")
    banner = desk.page.locator(".alert-warn")
    for path in ("/dashboard/", "/dashboard/keys/"):
        desk.go(path)
        expect(banner).to_contain_text("You look at the site as alice@example.test")
    desk.must_be_clean()
    assert desk.status_of("/dashboard/chat/") == 403
    banner.get_by_role("button").click()
    desk.go("/admin/accounts/auditevent/?kind=impersonation")
    noted = desk.page.locator("#result_list .field-action").all_text_contents()
    assert {text.strip() for text in noted} == {
        *("impersonation.began", "impersonation.looked", "impersonation.ended")
    }
    desk.must_say("stella@example.test", "alice@example.test")


def test_keys_are_revoked_one_by_one_and_many_at_once(desk, site, staff):
    one, *others = staff["spare"]
    desk.go("/admin/accounts/apikey/?q=alice@")
    desk.must_be_clean()
    desk.tick("spare 0")
    desk.run("Revoke")
    row = desk.page.locator("#result_list tr")
    expect(row.filter(has_text="spare 0")).to_contain_text("revoked")
    assert [opens(site, key) for key in (one, *others)] == [False, True, True]
    desk.tick("spare 1", "spare 2")
    desk.run("Revoke")
    expect(row.filter(has_text="spare 2")).to_contain_text("revoked")
    assert not any(opens(site, key) for key in others)
    assert all(key not in desk.page.content() for key in staff["spare"])


def test_an_upstream_is_tried_and_its_health_is_told(desk, openai):
    desk.go("/admin/upstreams/")
    place = desk.page.get_by_role("row").filter(has_text="openai/gpt-6-sol")
    expect(place).to_contain_text("closed")
    told = desk.page.locator("body")
    for button, answer in (
        ("Test OpenAI", "openai answered in"),
        ("Test openai/gpt-6-sol", "openai/gpt-6-sol answered in"),
        ("Test Ollama (local)", "ollama: "),  # where nobody listens
    ):
        desk.press(button)
        expect(told).to_contain_text(answer)
    openai.will(failure(500))
    desk.press("Test openai/gpt-6-sol")
    expect(told).to_contain_text("openai/gpt-6-sol: ")
    desk.must_be_clean()
    assert "sk-of-nobody" not in desk.page.content()


def test_a_models_price_is_changed(desk):
    desk.go("/admin/assistant/aimodel/?q=gpt-6-sol")
    desk.page.get_by_role("link", name="gpt-6-sol").click()
    desk.page.fill("[name=price_in_usd_micros]", "3.25")
    desk.press("Save")
    desk.must_say("was changed successfully")
    row = desk.page.locator("#result_list tr").filter(has_text="gpt-6-sol")
    expect(row).to_contain_text("3.25")
    desk.must_be_clean()


def test_index_jobs_are_parked_let_go_on_cancelled_and_run_again(desk, staff):
    aside, over = staff["jobs"]

    def act(job: str, action: str, told: str) -> None:
        desk.go(f"/admin/workspaces/indexjob/?q={job}")
        desk.tick(job)
        desk.run(action)
        expect(desk.page.locator("body")).to_contain_text(told)

    act(aside, "Park: put aside what waits or runs, keeping what is done", "1 jobs are")
    expect(desk.page.locator("#result_list")).to_contain_text("parked")
    act(aside, "Let parked jobs go on", "1 jobs go on")
    act(over, "Cancel the selected jobs", "1 jobs are being cancelled")
    expect(desk.page.locator("#result_list")).to_contain_text("cancelled")
    act(over, "Index their workspaces again, where nothing runs", "1 jobs wait")


def test_m3_the_audit_log_is_filtered_and_nothing_edits_it(desk):
    def shown(query: str) -> set[str]:
        desk.go(f"/admin/accounts/auditevent/?{query}")
        acts = desk.page.locator("#result_list .field-action").all_text_contents()
        return {act.strip() for act in acts}

    of_alice = shown("q=alice@")
    assert {"user.disabled", "user.enabled", "subscription.changed"} <= of_alice
    assert "key.revoked" in shown("kind=key")
    assert {act.partition(".")[0] for act in shown("kind=user")} == {"user"}
    expect(desk.page.locator("select[name=action]")).to_have_count(0)
    desk.page.click("#result_list tbody a")
    expect(desk.main.locator("[name]:not([type=hidden])")).to_have_count(0)
    row = desk.page.url.removeprefix(desk.site).partition("?")[0]
    for page in (
        row,
        row.replace("change", "delete"),
        "/admin/accounts/auditevent/add/",
    ):
        assert desk.status_of(page, action="nothing.happened", post="yes") == 403


def test_the_first_page_tells_of_a_period(desk):
    desk.go("/admin/")
    seen = {}
    for period in ("Today", "7 days", "30 days"):
        desk.main.get_by_role("link", name=period, exact=True).click()
        chosen = desk.page.locator(".staff-tabs [aria-current=page]")
        expect(chosen).to_have_text(period)
        card = desk.page.locator(".staff-card").filter(has_text="Requests").first
        seen[period] = int(card.locator(".staff-number").inner_text().replace(",", ""))
        desk.must_say("Error rate", "From sign-up to use", "Users by cost")

    assert 0 < seen["Today"] <= seen["7 days"] < seen["30 days"]


def test_one_persons_habits_are_told(desk, staff):
    desk.person(staff["ada"], "How they work")
    desk.must_say("Favourite features", "The tier that fits:", "Busiest weekday")
    expect(desk.main).not_to_contain_text("no data")
    desk.must_be_clean()


def test_every_page_of_the_admin_fits_and_one_of_each_kind_is_accessible(
    desk, site, browser, staff, complaints
):
    """Narrow and dark."""
    signed_in = desk.context.storage_state()
    narrow = Visit(
        site, browser.new_context(storage_state=signed_in, **NARROW), complaints
    )
    person = f"/admin/accounts/user/{staff['alice']}/"
    kinds = [page.format(person=person) for page in KINDS]
    tables = [
        f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for model in admin.site._registry
    ]
    others = {page.format(person=person) for page in STAFF_PAGES}.union(tables)
    faults = [
        (path, *found)
        for pages, look in ((kinds, violations), (others.difference(kinds), nothing))
        for page in pages
        for path, found in seen(narrow, page, look)
    ]

    assert faults == []
    narrow.context.close()


def nothing(page: Page) -> list[Any]:
    return []


def seen(
    visit: Visit, path: str, look: Callable[[Page], list[Any]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what is wrong with a page and, of a list, with its first row's page."""
    page = visit.page
    visit.go(path)
    # unfold builds what moves after the page has loaded.
    page.wait_for_selector("#main[role=main]")
    row = first_row(page)
    for found in look(page):
        yield path, found
    page.evaluate(FILL)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield path, ("wider than the window",)
    if row and "?" not in path:
        yield from seen(visit, row, look)


def first_row(page: Page) -> str:
    """Return the address of a list's first row, "" where there is none."""
    rows = page.locator("#result_list [href*='/change/']")
    found = rows.first.get_attribute("href") if rows.count() else ""
    return (found or "").partition("?")[0]


def test_no_page_of_the_admin_complained(complaints):
    """No error, no uncaught exception, no report of the content policy."""
    assert complaints == []
