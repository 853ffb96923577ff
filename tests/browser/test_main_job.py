"""The main job and what surrounds it, in a browser: from sign-up to a cited answer,
then each page. Told in order."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD, Visit
from tests.browser.files import a_folder, a_tar, a_zip, drop
from tests.browser.looks import faults_of

PAGES = [
    *("/dashboard/", "/dashboard/chat/all/", "/dashboard/keys/"),
    *("/dashboard/keys/new/", "/dashboard/usage/", "/dashboard/limits/"),
    *("/dashboard/settings/", "/accounts/email/", "/accounts/password/change/"),
    *("/accounts/2fa/", "/accounts/2fa/webauthn/add/", "/accounts/3rdparty/"),
    *("/dashboard/settings/sessions/", "/dashboard/settings/notifications/"),
    *("/dashboard/settings/provider-keys/", "/dashboard/settings/data/"),
    *("/dashboard/connect/", "/dashboard/connect/vscode/", "/dashboard/why/"),
    *("/dashboard/why/quota_exceeded/", "/dashboard/usage/?period=day"),
    *("/dashboard/workspaces/", "/dashboard/workspaces/new/", "/dashboard/chat/"),
    *("/dashboard/webhooks/", "/dashboard/webhooks/new/", "webhook"),
    *("workspace", "workspace search", "workspace files", "workspace rules"),
    *("workspace import", "source", "conversation"),
]
TIMEOUT = 120_000  # the first index loads the model


@contextmanager
def refusing(complaints: list[str]) -> Iterator[None]:
    """Here the console tells of an answer that is no success, and of nothing else."""
    known = len(complaints)
    yield
    told = complaints[known:]
    assert [each for each in told if not re.search("load resource|htmx", each)] == []
    del complaints[known:]


def test_signing_up_leads_by_the_mailbox_to_the_dashboard(member):
    member.sign_up("Ada")

    expect(member.page).to_have_url(re.compile("/dashboard/$"))
    expect(member.page.locator("h1")).to_have_text("Hello, Ada")


def test_a_key_with_scopes_and_an_end_is_shown_once_and_ticks_the_first_step(
    site, browser, member, complaints
):
    signed_in = browser.new_context(storage_state=member.context.storage_state())
    overview = Visit(site, signed_in, complaints)
    overview.page.clock.install()
    overview.go("/dashboard/")
    member.go("/dashboard/keys/new/")
    member.page.select_option("[name=days]", "30")
    member.page.uncheck("[value=workspaces]")
    member.submit(name="laptop")
    secret = member.page.text_content("#new-key")
    assert secret.startswith("aia_") and len(secret) == 40
    member.page.click("[data-copy=new-key]")
    expect(member.page.locator("[data-announce]")).to_have_text("Copied.")

    member.go("/dashboard/keys/")
    assert secret not in member.page.content()
    listed = member.page.locator(".key-list li")
    expect(listed).to_contain_text("expires")
    expect(listed).not_to_contain_text("workspaces")
    # Nobody reloads the overview either.
    overview.page.clock.run_for(10_000)
    expect(overview.page.locator("#steps + span")).to_have_text("1 of 4 done")
    expect(overview.page.locator("[data-announce]")).to_have_text("1 of 4 done")
    signed_in.close()


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
    left_out = job.get_by_role("row", name=".env")
    expect(left_out).to_contain_text("may hold secrets")
    expect(member.page.locator("[data-announce]")).to_have_text("Indexed")
    member.addresses["workspace"] = member.page.url
    member.addresses["workspace files"] = f"{member.page.url}files/"
    member.addresses["workspace rules"] = f"{member.page.url}rules/"
    member.addresses["workspace import"] = f"{member.page.url}import/"
    member.addresses["source"] = f"{member.page.url}source/paths.py/?start=3&end=5"
    member.addresses["workspace search"] = (
        f"{member.page.url}search/?q=normalise&mode=keyword"
    )


def test_a_search_finds_lines_and_opens_them(member):
    member.go(f"{member.addresses['workspace']}search/")
    member.submit(q="which paths are refused")
    expect(member.page.locator("[data-announce]")).to_contain_text("passages in")
    member.page.click(".hit .citation >> nth=0")

    expect(member.page.locator(".source-line.is-cited").first).to_be_visible()
    expect(member.page.locator(".source-line .kn").first).to_have_text("import")


def test_a_search_is_narrowed_by_filters(member):
    member.go(member.addresses["workspace search"])
    member.page.click("text=Filters")
    member.page.select_option("[name=mode]", "semantic")
    member.submit(path="que*.py", language="python")
    hits = member.page.locator(".hit .citation")
    expect(hits.first).to_contain_text("queue.py")

    assert {hit.partition(":")[0] for hit in hits.all_text_contents()} == {"queue.py"}


def test_a_line_and_a_range_have_addresses_and_are_marked(member):
    member.go(f"{member.addresses['workspace']}source/paths.py/")
    marked = member.page.locator(".source-line.is-cited")
    member.page.click("#L2 .source-number")
    expect(marked).to_have_count(1)
    member.page.click("#L4 .source-number", modifiers=["Shift"])

    expect(marked).to_have_count(3)
    assert member.page.url.endswith("#L2-L4")


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

    # The kept answer has taken the streamed one's place; its code is coloured, and its
    # end in sight.
    expect(member.page.locator(".turn-meta")).to_be_in_viewport()
    expect(member.page.locator(".turn-answer pre .nf").first).to_be_visible()
    expect(member.page.locator(".turn-answer")).to_have_count(1)
    expect(member.page.locator("#message")).to_be_focused()
    member.page.click("[data-copy-value]")
    expect(member.page.locator("[data-announce]")).to_have_text("Copied.")


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


@pytest.mark.parametrize(("make", "n"), [(a_folder, 1), (a_zip, 2), (a_tar, 3)])
def test_what_is_dropped_on_a_workspace_is_indexed(member, tmp_path, make, n):
    member.go("/dashboard/workspaces/")
    member.page.click("main a:has-text('folder')")
    workspace = member.page.url
    drop(member.page, make(tmp_path))
    # Nobody reloads: what is there is told when it is indexed.
    expect(member.page.locator("#workspace-facts")).to_contain_text(
        re.compile(rf"Files\s*{n}\b"), timeout=TIMEOUT
    )
    expect(member.page.locator("#workspace-status")).to_have_text("Ready")

    member.go(f"{workspace}files/?dir=lib")
    expect(member.page.locator(".file-list")).to_contain_text(f"from_{make.__name__}")


@pytest.mark.parametrize("client", ["curl", "Any MCP agent"])
def test_a_client_is_connected_and_its_first_call_is_seen(member, client):
    member.go("/dashboard/connect/")
    member.page.get_by_role("link", name=client, exact=True).click()
    member.page.click("text=Make the key and fill it in")
    secret = member.page.text_content("#new-key")
    expect(member.page.locator(".code").first).to_contain_text(secret)
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


def test_a_key_is_rotated_and_its_successor_revoked(member):
    member.go("/dashboard/keys/")
    expect(member.page.locator(".key-list")).to_contain_text(
        re.compile("used (now|.*ago)")
    )
    member.page.click("text=Rotate")
    member.submit()
    expect(member.page.locator("main")).to_contain_text("works on for 24 hours")
    member.go("/dashboard/keys/")
    expect(member.page.locator(".badge-warn")).to_have_text("Replaced")
    member.page.click("text=Revoke >> nth=0")
    member.submit()

    expect(member.page.locator(".messages")).to_contain_text("is revoked")


def test_a_webhook_is_made_tried_paused_and_removed(member):
    member.go("/dashboard/webhooks/new/")
    member.page.check("text=An index is ready")
    member.submit(url="https://hooks.invalid/told", description="CI")
    assert member.page.text_content("#new-secret").startswith("whsec_")
    member.page.click("text=I have copied it")
    member.addresses["webhook"] = member.page.url
    member.page.click("text=Send a test")
    expect(member.page.locator(".messages")).to_contain_text("did not get through")
    member.page.click("summary:has-text('webhook.test')")
    expect(member.page.locator("main pre")).to_contain_text("webhook_id")
    member.page.click("text=Disable")
    expect(member.page.locator("main")).to_contain_text("You disabled it.")
    member.page.click("button >> text=Enable")
    expect(member.page.locator(".badge-good").first).to_have_text("Enabled")

    member.page.click("text=Delete")
    member.go(member.addresses["webhook"])  # nothing has gone before one says so
    expect(member.page.locator("h1")).to_have_text("CI")


def test_usage_is_told_by_period_as_plots_as_tables_and_as_a_file(member):
    member.go("/dashboard/usage/")
    member.page.click("nav >> text=Today")
    member.page.click("text=As a table >> nth=0")
    expect(member.page.locator(".plot table").first).to_be_visible()
    with member.page.expect_download() as started:
        member.page.click("text=Download CSV")

    lines = started.value.path().read_text().splitlines()
    assert "feature" in lines[0] and len(lines) > 2


def test_a_chat_reads_several_workspaces_and_says_so_afterwards(member):
    member.go("/dashboard/chat/")
    member.page.click("[data-picker] summary")
    for name in ("folder", "project"):
        member.page.check(f"[data-picker] label:has-text('{name}') input")
    expect(member.page.locator("[data-picker-chosen]")).to_have_text("2 workspaces")
    member.page.fill("#message", "Which sizes are there?")
    member.page.click("[data-send]")
    expect(member.page.locator(".chat-head")).to_contain_text("Rename")
    member.page.reload()

    expect(member.page.locator("[data-picker-chosen]")).to_have_text("2 workspaces")


def test_a_conversation_is_renamed_and_deleted(member):
    member.page.click("text=Rename")
    member.submit(title="About sizes")
    expect(member.page.locator("#chat-title")).to_have_text("About sizes")
    member.page.click(".chat-head >> text=Delete")
    member.submit()

    expect(member.page.locator(".chat-list")).not_to_contain_text("About sizes")


def test_models_of_other_tiers_are_shown_with_the_tier_they_need(member):
    member.go("/dashboard/chat/")
    others = member.page.locator("optgroup[label='With the tier Pro']")

    expect(others).to_be_disabled()
    expect(others.locator("option").first).to_contain_text("gpt")


def test_an_answer_is_stopped(member):
    member.go("/dashboard/chat/")
    member.page.route("**/assistant/chat", lambda route: None)  # it never answers
    member.page.fill("#message", "Are you there?")
    member.page.press("#message", "Enter")
    member.page.click("[data-stop]")
    member.page.unroute("**/assistant/chat")

    expect(member.page.locator(".turn-note")).to_have_text("You stopped this answer.")
    expect(member.page.locator("[data-send]")).to_be_visible()


def test_a_limit_is_explained_in_the_chat_and_the_question_asked_again(
    member, complaints
):
    with refusing(complaints):
        refusal = {
            "code": "quota_exceeded",
            "policy": "hour",
            "detail": "All used.",
            "alternatives": ["Wait until 2026-11-23T21:00:00Z."],
        }
        member.page.route(
            "**/assistant/chat",
            lambda route: route.fulfill(status=429, json=refusal),
        )
        member.page.fill("#message", "What is a path?")
        member.page.press("#message", "Enter")
        told = member.page.locator(".turn-problem").first
        expect(told).to_have_text("All used. Wait until 23 Nov, 21:00 UTC.")
        why = member.page.get_by_role("link", name="Why was this refused?")
        expect(why).to_have_attribute("href", "/dashboard/why/quota_exceeded/")
        member.page.unroute("**/assistant/chat")
    member.page.get_by_role("button", name="Ask again").click()

    expect(member.page.locator(".turn-meta")).to_contain_text("tokens")
    expect(member.page.locator(".turn-user")).to_have_count(2)


def test_a_dropped_file_that_is_no_archive_is_told_of(member, complaints):
    with refusing(complaints):
        member.go(member.addresses["workspace"])
        member.page.evaluate("""() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["no archive"], "code.zip"));
            const how = { dataTransfer, bubbles: true, cancelable: true };
            document.querySelector("[data-upload]").dispatchEvent(
              new DragEvent("drop", how));
        }""")
        expect(member.page.locator("[data-upload-errors]")).to_contain_text(".tar.gz")


def test_a_refused_form_leads_to_the_page_that_explains_it(member):
    for number in range(5):  # two are there, and a free account has five
        member.go("/dashboard/workspaces/new/")
        member.submit(name=f"spare {number}")
        if number < 3:
            expect(member.page.locator("h1")).to_have_text(f"spare {number}")
    member.page.click("text=Why was this refused?")

    expect(member.page).to_have_url(re.compile("/why/workspace_limit/$"))
    row = member.page.get_by_role("row", name=re.compile("^Workspaces 5 5 0"))
    expect(row).to_be_visible()
    member.submit(workspaces="1")
    expect(member.page.locator(".alert-bad")).to_contain_text("No: workspace_limit")
    member.submit(workspaces="")
    expect(member.page.locator(".alert-good")).to_contain_text("would be allowed")


def test_a_workspace_is_indexed_again_and_deleted_only_by_its_name(member):
    member.go("/dashboard/workspaces/")
    member.page.click("text=spare 0")
    member.page.click("text=Delete")
    member.submit(name="another")
    expect(member.page.locator(".field-error")).to_contain_text("not the name")
    member.submit(name="spare 0")
    expect(member.page.locator(".messages")).to_contain_text("is deleted")
    member.go(member.addresses["workspace"])
    member.page.click("text=Index again")

    expect(member.page.locator("#job")).to_contain_text("Indexed", timeout=TIMEOUT)


def test_a_server_out_of_reach_is_told_and_the_page_stays(member, complaints):
    member.go(f"{member.addresses['workspace']}search/")
    with refusing(complaints):
        member.context.set_offline(True)
        member.submit(q="paths")
        notice = member.page.locator("[data-notice]")
        expect(notice).to_contain_text("cannot be reached")
        member.context.set_offline(False)
    member.submit(q="paths")

    expect(member.page.locator(".hit").first).to_be_visible()
    expect(notice).to_be_hidden()


def test_a_form_sent_after_the_session_ended_is_there_again(member):
    member.go("/dashboard/keys/new/")
    member.page.uncheck("[value='search']")
    member.context.clear_cookies(name="sessionid")
    member.submit(name="not lost")
    member.submit(login="ada@example.test", password=PASSWORD)

    expect(member.page.locator("[name=name]")).to_have_value("not lost")
    expect(member.page.locator("[value='search']")).not_to_be_checked()
    expect(member.page.locator("[data-notice]")).to_contain_text("look it over")


def test_ones_data_is_handed_out_as_a_file(member):
    member.go("/dashboard/settings/data/")
    member.page.click("text=Make a copy")
    # Nobody reloads: it is shown when it is ready.
    with member.page.expect_download() as started:
        member.page.click("text=Download the copy")

    assert "ada@example.test" in started.value.path().read_text()


def test_all_first_steps_have_ticked_themselves(member):
    member.go("/dashboard/")

    expect(member.page.locator("#quota")).to_be_visible()
    expect(member.page.locator("#steps")).to_have_count(0)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits(member, path):
    address = urljoin(member.site, member.addresses.get(path, path))
    assert faults_of(member.page, address) == []


def test_no_page_complained(complaints):
    """No error, no uncaught exception, no report of the content policy."""
    assert complaints == []
