"""Markdown that a model wrote stays text unless it is safe."""

import pytest

from aiassist.guides import search_guides
from aiassist.lib.highlight import highlight_source
from aiassist.lib.markdown import render_message, render_page


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,hi)",
        "![x](https://example.org/leak?secret)",
        '<img src=x onerror="alert(1)">',
    ],
)
def test_nothing_a_model_writes_runs_or_loads(text):
    html = render_message(text)

    assert "<script" not in html and "<img" not in html
    assert 'href="javascript' not in html and 'href="data' not in html


def test_cited_places_become_links():
    def cite(path, start, end):
        return f"/at/{path or 'n'}/{start}-{end}" if path in ("", "a.py") else ""

    html = render_message("See `a.py:3-9`, a.py:4 and [2], not b.py:1.", cite=cite)

    assert 'href="/at/a.py/3-9"' in html and 'href="/at/a.py/4-4"' in html
    assert 'href="/at/n/2-2"' in html and "b.py:1." in html


def test_headings_of_a_guide_have_anchors_once_each():
    page = render_page("# T\n\nFirst.\n\n## Same\n\n## Same\n")

    assert (page.title, page.summary) == ("T", "First.")
    assert [heading.anchor for heading in page.headings] == ["same", "same-2"]


def test_source_has_one_piece_of_html_for_each_line():
    text = 'x = """\n<b>\n"""\n\n\ny = 1\n'

    lines = highlight_source(text, "a.py")

    assert len(lines) == text.count("\n")
    assert not any("<b>" in line for line in lines)


def test_a_guide_is_found_at_the_section_that_holds_the_words(db):
    found = search_guides("rotate key")
    places = {each.url for each in search_guides("second factor superuser")}

    assert all(each.excerpt for each in found)
    assert "/guides/developer/administration/#who-gets-in" in places
    assert search_guides("no-such-word-anywhere") == []


@pytest.mark.parametrize("text", ["", "# Title", "# Title\n\n- a list\n"])
def test_a_page_that_begins_without_a_paragraph_has_no_summary(text):
    assert render_page(text).summary == ("" if "list" not in text else "a list")
