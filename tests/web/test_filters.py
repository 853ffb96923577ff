"""Numbers as people read them."""

import pytest

from aiassist.templatetags.pages import duration, sentence, span

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (1234, "1.23 s"), (83_000, "83 s")],
)
def test_a_duration(milliseconds, said):
    assert duration(milliseconds) == said.replace(" ", SPACE)


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1 second"), (89, "89 seconds"), (90, "2 minutes")]
)
def test_how_long_something_still_takes(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("allauths", "ours"),
    [
        ("\n  Two-Factor Authentication\n", "Two-factor authentication"),
        ("Sign In", "Sign in"),
        ("GitHub Sign In by OIDC", "GitHub sign in by OIDC"),
        ("Continue with GitHub", "Continue with GitHub"),
        ("", ""),
    ],
)
def test_title_case_becomes_a_sentence(allauths, ours):
    assert sentence(allauths) == ours
