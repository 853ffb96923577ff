"""One's own account in a browser: settings, mails, keys for providers, ways in and out.

Told in order."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD, Visit, run_beside
from tests.browser.desk import code_of
from tests.browser.looks import violations

EMAIL = "grace@example.test"
PROMOTE = f"from tests.browser import later; later.promote({EMAIL!r})"
NEW_PASSWORD = f"{PASSWORD}, renewed"


@pytest.fixture(scope="module")
def grace(site: str, browser: Browser, complaints: list[str]) -> Iterator[Visit]:
    context = browser.new_context()
    visit = Visit(site, context, complaints)
    visit.sign_up("Grace")
    yield visit
    context.close()


def test_a_name_and_a_theme_are_kept(grace):
    grace.go("/dashboard/settings/")
    grace.page.select_option("main [name=theme]", "dark")
    grace.submit(full_name="Rear Admiral")

    expect(grace.page.locator(".messages")).to_have_text("Saved.")
    expect(grace.page.locator("html")).to_have_attribute("data-theme", "dark")
    grace.go("/dashboard/")
    expect(grace.page.locator("h1")).to_have_text("Hello, Rear")


def test_mails_are_chosen(grace):
    wanted = grace.page.locator("[name=mail_key_expiry]")
    for is_wanted in (False, True):
        grace.go("/dashboard/settings/notifications/")
        wanted.set_checked(is_wanted)
        grace.submit()
        grace.page.reload()

        expect(wanted).to_be_checked(checked=is_wanted)


def test_a_key_about_to_end_is_told_of_by_mail_and_in_the_list(grace):
    grace.go("/dashboard/settings/provider-keys/")
    expect(grace.page.locator(".alert-warn")).to_contain_text("Pro does")
    grace.go("/dashboard/keys/new/")
    grace.page.select_option("[name=days]", "7")
    grace.submit(name="short-lived")
    run_beside("manage.py", "shell", "-v0", "-c", PROMOTE)
    grace.go("/mailbox/")
    mail = grace.page.locator("article").filter(has_text="short-lived")
    expect(mail).to_contain_text(EMAIL)

    grace.go("/dashboard/keys/")
    expect(grace.page.locator(".badge-warn")).to_contain_text("Expires")


def test_a_key_for_a_provider_is_kept_out_of_sight_and_forgotten(grace):
    grace.go("/dashboard/settings/provider-keys/")
    grace.page.click("summary:has-text('Add a key') >> nth=0")
    grace.page.fill("[name=openai-key]", "sk-proj-0123456789abcdef")
    grace.page.click("text=Keep the key")
    expect(grace.page.locator(".messages")).to_contain_text("The key is kept")
    expect(grace.page.locator(".facts")).to_contain_text("ends in cdef")
    assert "0123456789abcdef" not in grace.page.content()
    assert violations(grace.page) == []
    grace.page.click("text=Remove")

    expect(grace.page.locator(".facts")).to_have_count(0)


def test_every_other_session_is_ended_at_once(site, browser, grace, complaints):
    context = browser.new_context(storage_state=grace.context.storage_state())
    elsewhere = Visit(site, context, complaints)
    elsewhere.go("/dashboard/limits/")
    grace.sign_in("Grace")
    grace.go("/dashboard/settings/sessions/")
    told = grace.page.locator("main .list li").last
    for words in ("Chrome on", "127.0.0.1, since", "last seen"):
        expect(told).to_contain_text(words)
    grace.page.click("text=Sign out everywhere else")
    expect(grace.page.locator(".messages")).to_contain_text("Signed out in")
    elsewhere.go("/dashboard/limits/")

    expect(elsewhere.page).to_have_url(re.compile("/accounts/login/"))
    context.close()


def test_a_forgotten_password_is_replaced_by_mail(grace):
    grace.page.click("text=Sign out >> visible=true")
    expect(grace.page).to_have_url(f"{grace.site}/")
    grace.go("/accounts/password/reset/")
    grace.submit(email=EMAIL)
    grace.go("/mailbox/")
    grace.page.click("main a[href*='password/reset/key'] >> nth=0")
    grace.submit(password1=NEW_PASSWORD, password2=NEW_PASSWORD)
    grace.sign_in("Grace", NEW_PASSWORD)

    expect(grace.page).to_have_url(re.compile("/dashboard/$"))


def test_an_authenticator_app_is_set_up_and_its_loss_survived(grace):
    grace.go("/accounts/2fa/totp/activate/")
    grace.submit(password=NEW_PASSWORD)  # what opens an account is asked for anew
    secret = grace.page.input_value("#authenticator_secret")
    grace.submit(code=code_of(secret))
    spare = grace.page.input_value("#recovery_codes").split()
    assert len(spare) == 10 and violations(grace.page) == []
    grace.sign_in("Grace", NEW_PASSWORD)
    expect(grace.page).to_have_url(re.compile("/2fa/authenticate/"))
    assert violations(grace.page) == []
    grace.submit(code=spare[0])

    expect(grace.page).to_have_url(re.compile("/dashboard/$"))
    grace.go("/accounts/2fa/")
    expect(grace.page.locator("main")).to_contain_text("9 of 10 left")


def test_an_account_is_deleted_only_by_its_address(grace):
    grace.go("/dashboard/settings/delete/")
    grace.submit(password=NEW_PASSWORD)
    for typed in ("ada@example.test", EMAIL):
        grace.submit(email=typed)

    expect(grace.page.locator(".messages")).to_contain_text("Your account is deleted")


def test_no_page_of_the_account_complained(complaints):
    assert complaints == []
