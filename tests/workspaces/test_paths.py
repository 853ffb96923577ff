"""F2: no path escapes its workspace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workspaces.content.paths import normalise
from workspaces.errors import PathRefused

REFUSED = [
    "",
    "/etc/passwd",
    "//server/share",
    "../x",
    "a/../b",
    "a/..",
    "./../x",
    "a/./b",
    "a//b",
    "a/",
    "C:/windows",
    "c:evil",
    "a\\b",
    "..\\x",
    "a/%2e%2e/b",
    "%2e%2e%2fx",
    "%252e%252e%252fx",
    "%2fetc",
    "a%5cb",
    "a%00b",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a\u202egpj.py",
    "a\u2028b",
    "\ud800.py",
    "x" * 1025,
    "é" * 513,
]


@pytest.mark.parametrize("path", REFUSED)
def test_f2_it_refuses_a_path_that_leads_elsewhere(path):
    with pytest.raises(PathRefused):
        normalise(path)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("src/app.py", "src/app.py"),
        ("./src/app.py", "src/app.py"),
        ("Makefile", "Makefile"),
        ("100%25.md", "100%25.md"),
        ("50%.txt", "50%.txt"),
        ("a b/c d.py", "a b/c d.py"),
        ("...", "..."),
        (".github/x.yml", ".github/x.yml"),
        ("e\u0301.py", "\u00e9.py"),
    ],
)
def test_it_keeps_an_ordinary_path(path, kept):
    assert normalise(path) == kept


@given(st.text(max_size=60))
def test_f2_what_is_kept_is_relative_and_normal(path):
    try:
        kept = normalise(path)
    except PathRefused as error:
        assert error.sentence.isprintable()
        return
    assert not kept.startswith("/")
    assert ".." not in kept.split("/")
    assert normalise(kept) == kept


def test_the_sentence_shows_no_raw_control_character():
    with pytest.raises(PathRefused) as refused:
        normalise("a\x1b[31m\nb")
    assert refused.value.sentence.isprintable()
