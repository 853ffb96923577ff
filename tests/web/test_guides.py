"""The guides on the site: every link in them leads somewhere."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from aiassist.guides import (
    LEGAL,
    Guide,
    _linker,
    _slugs,
    all_sections,
    get_guide,
    search_guides,
)

GUIDES = [guide for section in all_sections() for guide in section.guides]
PAGES = [*GUIDES, *(get_guide(LEGAL, slug) for slug in _slugs(LEGAL))]
ANCHORS = {
    guide.url: set(re.findall(r'id="([^"]+)"', guide.page.html)) for guide in PAGES
}


@pytest.mark.parametrize("guide", PAGES, ids=lambda guide: guide.url)
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(
    db: None, settings: Any, guide: Guide
):
    settings.DEV_MAILBOX = True  # as with `make run`, which the quickstart tells of
    client = Client()
    for target in map(unescape, re.findall(r'(?:href|src)="([^"]+)"', guide.page.html)):
        place, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        if anchor and (not place or place in ANCHORS):
            assert anchor in ANCHORS[place or guide.url], target
        elif place.startswith("/static/"):
            assert finders.find(place.removeprefix("/static/")), target
        elif place:
            assert place.startswith("/"), f"{target} is no address of the site"
            assert client.get(place).status_code in (200, 302, 401), target


@pytest.mark.parametrize("address", ["/guides/no-such-guide/", "/legal/no-such-page/"])
def test_an_unknown_guide_is_an_unknown_page(client: Client, db: None, address: str):
    assert client.get(address).status_code == 404


def test_a_picture_of_the_docs_comes_from_the_static_files():
    link = _linker("public")

    assert link("../img/screenshot.png") == "/static/docs/screenshot.png"
    assert finders.find("docs/screenshot.png")


def test_a_link_out_of_the_docs_stays_as_it_was_written():
    assert _linker("public")("../../deploy/nginx/aiassist.conf") == (
        "../../deploy/nginx/aiassist.conf"
    )


def test_a_search_reads_no_buttons():
    found = search_guides("quota x-ratelimit-limit-requests")

    assert found
    assert all("Copy" not in each.excerpt for each in found)
