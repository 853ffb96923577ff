"""Ways in beside the password: a passkey, a real OpenID provider, a scripted GitHub."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser import provider
from tests.browser.conftest import PASSWORD
from tests.browser.looks import violations
from tests.fakes.github import FakeGitHub
from tests.support.ports import wait_for
from tests.support.processes import ROOT, Process, python

OURS = {True: "passkey@example.test", False: "waiting@example.test"}
# What the provider says of whom: `name-True` has a verified address there.
PEOPLE = {
    f"{name}-{verified}": {
        "email": email,
        "email_verified": verified,
        "name": name.title(),
    }
    for name, email in {
        "confirmed": OURS[True],
        "waiting": OURS[False],
        "new": "new@example.test",
        "shy": "shy@example.test",
    }.items()
    for verified in (True, False)
}
BACK = "http://127.0.0.1:53682/callback"  # where an editor listens
DASHBOARD = re.compile("/dashboard/$")


@pytest.fixture(scope="module")
def identity_provider(
    site: str, provider_urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("provider")
    issuer = provider_urls["OIDC_ISSUER"]
    env = {**os.environ, "ISSUER": issuer, "PEOPLE": json.dumps(PEOPLE)}
    env["DATABASE"] = str(home / "provider.sqlite3")
    back = "/accounts/oidc/oidc/login/callback/"
    env["REDIRECT_URI"] = f"{site}{back} {_by_name(site)}{back}"
    process = Process(
        python("-m", "tests.browser.provider"),
        log=home / "provider.log",
        env=env,
        cwd=Path(ROOT),
    )
    with process:
        wait_for(
            lambda: process.alive and _answers(issuer), seconds=30, what="the provider"
        )
        yield issuer


@pytest.fixture(scope="module")
def github(provider_urls: dict[str, str]) -> Iterator[FakeGitHub]:
    port = urlsplit(provider_urls["GITHUB_URL"]).port
    assert port is not None
    fake = FakeGitHub(
        port, client_id=provider.CLIENT_ID, client_secret=provider.CLIENT_SECRET
    ).start()
    yield fake
    fake.stop()


@pytest.fixture
def visitor(browser: Browser, site: str, complaints: list[str]) -> Iterator[Page]:
    """Somebody whom neither the site nor a provider knows yet."""
    context = browser.new_context(base_url=site)
    context.set_default_timeout(20_000)
    page = context.new_page()
    _listen(page, site, complaints)
    yield page
    context.close()


@pytest.fixture(scope="module")
def owner(site: str, browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """Somebody with a confirmed address, at a browser with a platform authenticator."""
    context = browser.new_context(base_url=_by_name(site))
    page = context.new_page()
    _listen(page, _by_name(site), complaints)
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    _sign_up(page, OURS[True])
    page.goto("/mailbox/")
    page.click("main a[href*='confirm-email'] >> nth=0")
    page.click("main button[type=submit]")
    if "/login/" in page.url:
        page.fill("main [name=login]", OURS[True])
        page.fill("main [name=password]", PASSWORD)
        page.click("main button[type=submit] >> nth=0")
    page.wait_for_url(DASHBOARD)
    yield page
    context.close()


def test_a_passkey_is_added_and_signs_in(owner):
    owner.goto("/accounts/2fa/webauthn/add/")
    if "reauthenticate" in owner.url:
        _say_the_password(owner)
    owner.fill("main [name=name]", "this laptop")
    owner.check("main [name=passwordless]")
    owner.click("#mfa_webauthn_add")
    owner.wait_for_url(re.compile("/accounts/2fa/(?!webauthn/add)"))
    _sign_in_by_passkey(owner)

    expect(owner).to_have_url(DASHBOARD)


def test_somebody_signs_up_and_does_not_confirm(visitor):
    _sign_up(visitor, OURS[False])

    expect(visitor.locator("h1")).to_have_text("Check your mail")


@pytest.mark.parametrize("theirs_verified", [True, False])
@pytest.mark.parametrize("ours_verified", [True, False])
def test_u13_an_address_links_to_no_account(
    visitor, identity_provider, ours_verified, theirs_verified
):
    name = "confirmed" if ours_verified else "waiting"
    _come_from_provider(visitor, f"{name}-{theirs_verified}")

    _is_nobody(visitor)


def test_u13_a_verified_new_person_is_in_at_once_and_again(visitor, identity_provider):
    for _ in range(2):
        _come_from_provider(visitor, "new-True")
        expect(visitor).to_have_url(DASHBOARD)
        expect(visitor.locator("h1")).to_have_text("Hello, New")
        visitor.context.clear_cookies(name="sessionid")


def test_u13_an_unverified_new_person_must_confirm_first(visitor, identity_provider):
    _come_from_provider(visitor, "shy-False")

    expect(visitor.locator("h1")).to_have_text("Check your mail")
    _is_nobody(visitor)


def test_a_provider_is_connected_opens_the_account_and_is_let_go(
    owner, visitor, identity_provider
):
    _sign_in_by_passkey(owner)
    owner.goto("/accounts/3rdparty/")
    _sign_in_at_provider(owner, "shy-True")
    # A cookie alone is not enough to let another account in.
    _say_the_password(owner)
    let_go = owner.get_by_role("button", name="Disconnect")
    expect(let_go).to_be_visible()
    assert violations(owner) == []

    _come_from_provider(visitor, "shy-True")
    # In, and asked for the passkey that this account has.
    expect(visitor).to_have_url(re.compile("/accounts/2fa/authenticate/"))
    owner.goto("/accounts/3rdparty/")
    let_go.click()
    expect(let_go).to_have_count(0)
    visitor.context.clear_cookies()
    _come_from_provider(visitor, "shy-True")
    expect(visitor.locator("h1")).not_to_have_text("Hello, Pass")


def test_github_lets_a_new_person_in_and_links_nobody(visitor, github):
    github.person = {"id": 7, "login": "octo", "name": "Octo Cat", "email": None}
    github.emails = [{"email": OURS[True], "verified": True, "primary": True}]
    _come_from_github(visitor)
    _is_nobody(visitor)

    github.emails = [
        {"email": "later@example.test", "verified": False, "primary": False},
        {"email": "octo@example.test", "verified": True, "primary": True},
    ]
    _come_from_github(visitor)
    expect(visitor.locator("h1")).to_have_text("Hello, Octo")
    assert set(github.scopes[-1].split()) == {"user:email", "read:user"}


def test_a_terminal_is_connected_by_its_code_and_disconnected(owner, site):
    asked = urlencode({"client_id": "aiassist-cli"}).encode()
    with urlopen(f"{site}/identity/o/api/device/code", asked) as answer:
        code = json.load(answer)["user_code"]
    _sign_in_by_passkey(owner)
    owner.goto("/identity/o/device")
    assert violations(owner) == []
    owner.fill("main [name=code]", code)
    owner.click("text=Go on")
    expect(owner.locator("main")).to_contain_text(code)
    assert violations(owner) == []
    owner.get_by_role("button", name="Allow").click()
    expect(owner.locator("h1")).to_contain_text("is connected")
    owner.goto("/dashboard/settings/sessions/")
    let_go = owner.get_by_role("button", name="Disconnect")
    let_go.click()

    expect(owner.locator(".messages")).to_contain_text("signed out")
    expect(let_go).to_have_count(0)


def test_an_editor_asks_for_consent_and_gets_its_code(owner):
    wish = {
        "client_id": "aiassist-editor",
        "response_type": "code",
        "state": "s",
        "redirect_uri": BACK,
        "scope": "openid",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    owner.route(f"{BACK}**", lambda route: route.fulfill(body="Back in the editor"))
    owner.goto(f"/identity/o/authorize?{urlencode(wish)}")
    expect(owner.locator("h1")).to_have_text("Connect Editor?")
    assert violations(owner) == []
    owner.get_by_role("button", name="Allow").click()

    # The content policy lets the form lead back to the editor.
    expect(owner.locator("body")).to_have_text("Back in the editor")
    assert "code=" in owner.url and "state=s" in owner.url


def test_no_sign_in_page_complained(complaints):
    assert complaints == []


def _come_from_provider(page: Page, name: str) -> None:
    page.goto("/accounts/login/")
    _sign_in_at_provider(page, name)


def _sign_in_at_provider(page: Page, name: str) -> None:
    page.get_by_role("button", name="Single sign-on").click()
    if page.locator("[name=username]").count():
        page.fill("[name=username]", name)
        page.fill("[name=password]", provider.PASSWORD)
        page.click("text=Sign in at the provider")
    page.click("[name=allow]")
    page.wait_for_url(re.compile("/(dashboard|accounts)/"))


def _come_from_github(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_role("button", name="GitHub").click()
    page.click("text=Authorize")


def _is_nobody(page: Page) -> None:
    page.goto("/dashboard/")
    expect(page).to_have_url(re.compile("/accounts/login/"))


def _by_name(site: str) -> str:
    # Browsers want a host name for passkeys, not a number.
    return f"http://localhost:{urlsplit(site).port}"


def _sign_up(page: Page, email: str) -> None:
    page.goto("/accounts/signup/")
    page.fill("main [name=email]", email)
    page.fill("main [name=full_name]", "Pass Key")
    page.fill("main [name=password1]", PASSWORD)
    page.click("main button[type=submit] >> nth=0")
    page.wait_for_load_state()


def _sign_in_by_passkey(page: Page) -> None:
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.click("#passkey_login")
    page.wait_for_url(DASHBOARD)


def _say_the_password(page: Page) -> None:
    page.fill("main [name=password]", PASSWORD)
    page.click("main button[type=submit]")


def _listen(page: Page, site: str, complaints: list[str]) -> None:
    """Note what the site's own pages say; the provider's are not ours."""

    def note(said: ConsoleMessage) -> None:
        where = str(said.location.get("url"))
        if said.type in ("error", "warning") and where.startswith(site):
            complaints.append(f"{where}: {said.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))


def _answers(issuer: str) -> bool:
    try:
        with urlopen(f"{issuer}/.well-known/openid-configuration", timeout=2) as told:
            return bool(told.status == 200)
    except (URLError, OSError):
        return False
