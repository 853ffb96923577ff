"""A query's kind, and what it asks for besides."""

import pytest

from workspaces.finding.intent import Kind, read_intent


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("retry_delay_ms", Kind.IDENTIFIER),
        ("EdgeStore.upsert()", Kind.IDENTIFIER),
        ("std::vector", Kind.IDENTIFIER),
        ("valid?", Kind.IDENTIFIER),
        ("app.py", Kind.PATH),
        ("src/flask/app.py", Kind.PATH),
        ("lib/", Kind.PATH),
        ("where is the retry delay computed?", Kind.WORDS),
        ("KeyError: 'name'", Kind.WORDS),
        ("größe", Kind.IDENTIFIER),
        ("???", Kind.WORDS),
    ],
)
def test_it_tells_names_paths_and_words_apart(text, kind):
    assert read_intent(text).kind == kind


@pytest.mark.parametrize(
    "text", ["which test covers refunds?", "specs for the parser", "pytest fixtures"]
)
def test_it_hears_that_tests_are_asked_for(text):
    assert read_intent(text).asks_for_tests


def test_it_hears_that_documentation_is_asked_for():
    assert read_intent("installation guide").asks_for_docs
    assert not read_intent("where is the token checked").asks_for_docs
    assert not read_intent("the latest contest").asks_for_tests
