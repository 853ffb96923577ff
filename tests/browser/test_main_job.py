"""The main job in a browser: from sign-up to a cited answer. Told in order."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, Visit

PAGES = [
    *("/", "/pricing/", "/guides/", "/guides/quickstart/", "/legal/terms/"),
    *("/styleguide/", "/mailbox/", "/dashboard/", "/dashboard/keys/"),
    *("/dashboard/keys/new/", "/dashboard/usage/", "/dashboard/limits/"),
    *("/dashboard/settings/", "/accounts/email/", "/accounts/password/change/"),
    *("/accounts/2fa/", "/accounts/2fa/webauthn/add/", "/accounts/3rdparty/"),
    *("/dashboard/settings/sessions/", "/dashboard/settings/notifications/"),
    "/dashboard/settings/provider-keys/",
    *("/dashboard/connect/", "/dashboard/connect/vscode/", "/dashboard/why/"),
    *("/dashboard/why/quota_exceeded/", "/dashboard/usage/?period=day"),
    *("/dashboard/workspaces/", "/dashboard/workspaces/new/", "/dashboard/chat/"),
    *("workspace", "workspace search", "workspace files", "workspace rules"),
    *("source", "conversation"),
]
# A first page, a list, a list that is edited in place, a form with every widget.
STAFF_PAGES = [
    *("/admin/", "/admin/billing/usagerecord/", "/admin/assistant/aimodel/"),
    *("/admin/billing/limitoverride/add/", "/admin/upstreams/"),
]
ENTRANCES = ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
TIMEOUT = 120_000  # the first index loads the model


def test_signing_up_leads_by_the_mailbox_to_the_dashboard(member):
    member.go("/accounts/signup/")
    member.submit(full_name="Ada", email="ada@example.test", password1=PASSWORD)
    member.page.click("text=Open the mailbox")
    member.page.click("main a[href*='confirm-email']")
    member.page.click("main button[type=submit]")
    if "/login/" in member.page.url:
        member.submit(login="ada@example.test", password=PASSWORD)

    expect(member.page).to_have_url(re.compile("/dashboard/$"))
    expect(member.page.locator("h1")).to_have_text("Hello, Ada")


def test_a_key_is_shown_once_with_a_copy_button(member):
    member.go("/dashboard/keys/new/")
    member.submit(name="laptop")
    secret = member.page.text_content("#new-key")

    assert secret.startswith("aia_") and len(secret) == 40
    expect(member.page.locator("[data-copy=new-key]")).to_be_visible()
    member.go("/dashboard/keys/")
    assert secret not in member.page.content()


def test_an_uploaded_archive_is_indexed_before_ones_eyes(member, archive: Path):
    member.go("/dashboard/workspaces/new/")
    member.submit(name="project")
    member.page.set_input_files("[name=file]", archive)
    member.page.click("text=Upload and index")
    job = member.page.locator("#job")

    # Nobody reloads the page: it follows the job by itself.
    expect(job.get_by_role("heading", name="Indexed")).to_be_visible(timeout=TIMEOUT)
    expect(job.locator("dd").first).to_contain_text("4 of 4")
    # What else the page tells follows too.
    expect(member.page.locator("#workspace-status")).to_have_text("Ready")
    expect(member.page.locator("#workspace-facts")).to_contain_text("Complete")
    job.get_by_text("What was left out, and why").click()
    expect(job.locator("table")).to_contain_text(".env")
    member.addresses["workspace"] = member.page.url
    member.addresses["workspace files"] = f"{member.page.url}files/"
    member.addresses["workspace rules"] = f"{member.page.url}rules/"
    member.addresses["source"] = f"{member.page.url}source/paths.py/?start=3&end=5"
    member.addresses["workspace search"] = f"{member.page.url}search/?q=path"


def test_a_search_finds_lines_and_opens_them(member):
    member.go(f"{member.addresses['workspace']}search/")
    member.submit(q="which paths are refused")
    member.page.click(".hit .citation >> nth=0")

    expect(member.page.locator(".source-line.is-cited").first).to_be_visible()


def test_a_range_in_the_address_is_marked(member):
    member.go(f"{member.addresses['workspace']}source/paths.py/#L2-L4")

    expect(member.page.locator(".source-line.is-cited")).to_have_count(3)


def test_an_answer_streams_and_its_citation_opens_the_lines(member):
    member.go("/dashboard/chat/")
    member.page.fill("#message", "Where is a path that climbs out refused?")
    member.page.press("#message", "Enter")
    expect(member.page.locator(".turn-meta")).to_contain_text("tokens")
    member.page.click(".turn-answer .prose .citation >> nth=0")

    expect(member.page.locator(".chat-source .is-cited").first).to_be_visible()
    expect(member.page).to_have_url(re.compile("/dashboard/chat/conv_"))
    member.addresses["conversation"] = member.page.url


def test_an_answer_is_asked_for_again_and_can_be_copied(member):
    with member.page.expect_response("**/api/v1/assistant/chat"):
        member.page.click("[data-retry]")

    # The kept answer has taken the streamed one's place.
    expect(member.page.locator("[data-copy-value]")).to_be_visible()
    expect(member.page.locator(".turn-answer")).to_have_count(1)


def test_a_search_is_walked_by_the_keyboard(member):
    member.go(member.addresses["workspace search"])
    member.page.keyboard.press("j")
    first = member.page.evaluate("document.activeElement.closest('.hit') !== null")
    member.page.keyboard.press("/")

    assert first
    expect(member.page.locator("#id_q")).to_be_focused()


def test_a_folder_is_packed_and_indexed(member, tmp_path):
    (tmp_path / "app" / "node_modules").mkdir(parents=True)
    (tmp_path / "app" / "node_modules" / "x.js").write_text("left = 'behind'")
    long = tmp_path / "app" / ("deep_" * 12) / ("deeper_" * 10)
    long.mkdir(parents=True)
    (long / "größe.py").write_text("size = 1\n")
    (tmp_path / "app" / "main.py").write_text("print('hello')\n")
    member.go("/dashboard/workspaces/new/")
    member.submit(name="folder")
    member.page.set_input_files("#folder", tmp_path / "app")

    expect(member.page.locator("#workspace-status")).to_have_text(
        "Ready", timeout=TIMEOUT
    )
    member.go(f"{member.page.url}files/")
    expect(member.page.locator(".file-list li")).to_have_count(2)
    member.page.click(".file-list li >> nth=0 >> a")
    member.page.click(".file-list li >> nth=0 >> a")
    expect(member.page.locator(".file-list")).to_contain_text("größe.py")


def test_a_client_is_connected_and_its_first_call_is_seen(member):
    member.go("/dashboard/connect/curl/")
    member.page.click("text=Make the key and fill it in")
    member.page.click("[data-test]")
    expect(member.page.locator("[data-test-result]")).to_contain_text("It works")

    expect(member.page.locator(".connect-seen")).to_contain_text("Connected")


def test_a_conversation_is_there_again_after_a_reload(member):
    member.go(member.addresses["conversation"])

    expect(member.page.locator(".turn-answer .citation").first).to_be_visible()


def test_the_theme_switches_and_stays(member):
    member.go("/dashboard/")
    before = member.page.evaluate("getComputedStyle(document.body).backgroundColor")
    member.page.locator(".side [data-theme-toggle]").click()
    member.page.reload()
    after = member.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert before != after
    member.context.clear_cookies(name="theme")


# Contrast hangs on the scheme and layout on the width: two pairs show all four.
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits(member, path, scheme, width):
    page = member.page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    member.go(member.addresses.get(path, path))

    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", ENTRANCES)
def test_an_entrance_is_accessible_and_fits(site, browser, path):
    for scheme in ("light", "dark"):
        page = browser.new_page(
            viewport={"width": 390, "height": 800}, color_scheme=scheme
        )
        page.goto(site + path)

        assert Axe().run(page).violations_count == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_admin_is_accessible(site, browser, staff, complaints, scheme):
    context = browser.new_context(base_url=site, color_scheme=scheme)
    visit = Visit(site, context, complaints)
    visit.go("/accounts/login/")
    visit.submit(login=staff, password=PASSWORD)
    visit.page.wait_for_url(re.compile("/dashboard/"))
    for path in STAFF_PAGES:
        visit.go(path)
        # unfold builds what moves after the page has loaded.
        visit.page.wait_for_selector("#main[role=main]")
        found = Axe().run(visit.page).response["violations"]
        assert [(path, v["id"], v["nodes"][0]["target"]) for v in found] == []
    context.close()


def test_no_page_complained(complaints):
    """No error, no uncaught exception, no report of the content policy."""
    assert complaints == []
