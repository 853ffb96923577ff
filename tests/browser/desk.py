"""Somebody of the staff at work in the admin."""

import time
from typing import Any

from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import PASSWORD, Visit
from tests.browser.furnish import SECRET
from tests.browser.looks import violations

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


class Desk(Visit):
    """Somebody of the staff at work, in a window of their own."""

    def __init__(self, site: str, browser: Browser, complaints: list[str]) -> None:
        context = browser.new_context(**WIDE)
        context.set_default_timeout(20_000)
        super().__init__(site, context, complaints)

    def sign_in_with_code(self, who: str) -> None:
        self.go("/accounts/login/?next=/admin/")
        self.submit(login=f"{who}@example.test", password=PASSWORD)
        self.submit(code=code_of(SECRET))
        self.page.wait_for_url("**/admin/")

    def person(self, user_id: str, act: str) -> None:
        """Open somebody's page and choose one of the acts there."""
        self.go(f"/admin/accounts/user/{user_id}/change/")
        chosen = self.page.get_by_role("link", name=act, exact=True)
        if not chosen.is_visible():
            self.page.get_by_role("button", name="More").press("Enter")
        chosen.click()

    def tick(self, *words: str) -> None:
        """Choose rows of the list, each by a word of it."""
        for word in words:
            row = self.page.locator("#result_list tr").filter(has_text=word)
            row.locator("[name=_selected_action]").check()

    def run(self, action: str) -> None:
        """Run one of the list's actions on the chosen rows."""
        self.page.select_option("[name=action]", label=action)
        self.page.get_by_role("button", name="Run").click()

    def press(self, name: str) -> None:
        self.page.locator("main, #main").get_by_role(
            "button", name=name, exact=True
        ).click()

    @property
    def main(self) -> Locator:
        return self.page.locator("#main")

    def must_say(self, *words: str) -> None:
        for each in words:
            expect(self.main).to_contain_text(each)

    def must_be_clean(self) -> None:
        # The admin's own script names the landmark once all is built.
        self.page.wait_for_selector("main, #main[role=main]")
        found = violations(self.page)
        assert not found, found

    def status_of(self, path: str, **form: str) -> int:
        """Ask outside the page, whose console would complain of a refusal."""
        if not form:
            return self.page.request.get(self.site + path).status
        token = self.context.cookies()
        (csrf,) = [each["value"] for each in token if each["name"] == "csrftoken"]
        answer = self.page.request.post(
            self.site + path,
            form={"csrfmiddlewaretoken": csrf, **form},
            headers={"Referer": self.site},
        )
        return answer.status


def code_of(secret: str) -> str:
    """Return what the authenticator app shows; not one about to run out."""
    while time.time() % 30 > 27:
        time.sleep(0.1)
    counter = next(yield_hotp_counters_from_time())
    return str(format_hotp_value(hotp_value(secret, counter)))
