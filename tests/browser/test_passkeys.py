"""A passkey is made and opens the account, with the browser's virtual authenticator."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD


def test_a_passkey_is_added_and_signs_in(site, browser, complaints):
    # Browsers want a host name for it, not a number.
    home = f"http://localhost:{urlsplit(site).port}"
    page = browser.new_context().new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    devtools = page.context.new_cdp_session(page)
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
    _sign_up(page, home)

    page.goto(f"{home}/accounts/2fa/webauthn/add/")
    if "reauthenticate" in page.url:
        page.fill("main [name=password]", PASSWORD)
        page.click("main button[type=submit]")
    page.fill("main [name=name]", "this laptop")
    page.check("main [name=passwordless]")
    page.click("#mfa_webauthn_add")
    page.wait_for_url(re.compile("/accounts/2fa/(?!webauthn/add)"))
    page.context.clear_cookies()
    page.goto(f"{home}/accounts/login/")
    page.click("#passkey_login")

    expect(page).to_have_url(re.compile("/dashboard/$"))
    page.context.close()


def _sign_up(page, home):
    page.goto(f"{home}/accounts/signup/")
    page.fill("main [name=email]", "passkey@example.test")
    page.fill("main [name=full_name]", "Pass Key")
    page.fill("main [name=password1]", PASSWORD)
    page.click("main button[type=submit]")
    page.goto(f"{home}/mailbox/")
    page.click("main a[href*='confirm-email'] >> nth=0")
    page.click("main button[type=submit]")
    if "/login/" in page.url:
        page.fill("main [name=login]", "passkey@example.test")
        page.fill("main [name=password]", PASSWORD)
        page.click("main button[type=submit] >> nth=0")
    page.wait_for_url(re.compile("/dashboard/$"))
