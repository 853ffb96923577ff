"""Source in colours, and plain where no colours are known."""

import pytest

from aiassist.lib.highlight import MAX_CHARACTERS, highlight_code, highlight_source


def test_a_known_language_is_coloured_line_by_line():
    lines = highlight_source("def f():\n    return '<b>'\n", "a.py")

    assert len(lines) == 2
    assert '<span class="k">def</span>' in lines[0]
    assert "<b>" not in lines[1]


@pytest.mark.parametrize("path", ["notes.zzz", "LICENCE-of-mine", ""])
def test_an_unknown_file_is_shown_plain_and_escaped(path):
    assert highlight_source("<b>\nx", path) == ["&lt;b&gt;", "x"]


def test_a_very_large_file_is_shown_plain():
    text = "x = 1\n" * (MAX_CHARACTERS // 6 + 1)

    assert highlight_source(text, "a.py")[0] == "x = 1"


def test_an_unknown_language_is_shown_plain():
    assert highlight_code("<b>", "no such language") == "&lt;b&gt;"
