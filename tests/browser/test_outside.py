"""What anybody may see: the front page, prices, guides, ways in, references."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.looks import faults_of

PAGES = [
    *("/", "/pricing/", "/guides/", "/guides/quickstart/", "/styleguide/"),
    *("/legal/terms/", "/legal/privacy/", "/legal/acceptable-use/", "/mailbox/"),
    *("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"),
    "/accounts/confirm-email/",
]


@pytest.fixture(scope="module")
def visitor(site: str, browser: Browser, complaints: list[str]) -> Iterator[Visit]:
    context = browser.new_context()
    yield Visit(site, context, complaints)
    context.close()


def test_the_front_page_shows_the_product_and_what_each_tier_allows(visitor):
    visitor.go("/")
    picture = visitor.page.locator("img.in-light")
    picture.scroll_into_view_if_needed()
    picture.evaluate("(image) => image.decode()")
    visitor.page.click("text=Compare in full")
    tiers = ["Limit", "Free", "Pro", "Enterprise"]

    expect(visitor.page.locator("thead th")).to_have_text(tiers)


def test_the_guides_are_searched_and_their_code_copied(visitor):
    visitor.go("/guides/")
    visitor.submit(q="archive upload")
    visitor.page.click(".guides-list a >> nth=0")
    expect(visitor.page).to_have_url(re.compile("/guides/[a-z-]+/"))
    visitor.go("/guides/quickstart/")
    visitor.page.click("[data-copy] >> nth=0")

    expect(visitor.page.locator("[data-announce]")).to_have_text("Copied.")
    assert visitor.page.locator(".guide-text pre span").count() > 3  # coloured
    visitor.page.locator(".guide-text .anchor").last.click()
    assert "#" in visitor.page.url


def test_the_ways_in_are_those_that_are_configured(visitor):
    """Auth0 is not; by name alone: the others are in other hands."""
    visitor.go("/accounts/login/")
    offered = visitor.page.locator(".providers button").all_text_contents()

    assert {name.removeprefix("Continue with ") for name in offered} == {
        *("GitHub", "Google", "Microsoft", "Single sign-on")
    }


@pytest.mark.parametrize(("path", "part"), [("/docs", ".opblock"), ("/redoc", "h1")])
def test_a_reference_of_the_api_is_drawn(visitor, path, part):
    visitor.go(path)

    # Redoc draws all of it before it shows any.
    expect(visitor.page.locator(part).first).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_for_anybody_is_accessible_and_fits(visitor, path):
    assert faults_of(visitor.page, visitor.site + path) == []


def test_an_address_that_leads_nowhere_says_so(browser, site):
    page = browser.new_page()  # the console tells of the answer's status
    assert faults_of(page, f"{site}/nothing/here/") == []
    expect(page.locator("h1")).to_have_text("There is nothing at this address")
    page.close()


def test_no_page_for_anybody_complained(complaints):
    assert complaints == []
