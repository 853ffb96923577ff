"""Numbers as people read them."""

import pytest

from aiassist.templatetags.pages import duration, span

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
