"""`path_glob`: the patterns of `.gitignore`, whatever their author has in mind."""

import time

import pytest

from aiassist.lib.errors import ValidationFailed
from workspaces.ignoring.globs import MAX_GLOB_CHARS, glob_pattern

PATHS = (
    "README.md",
    "src/app.py",
    "src/net/client.py",
    "src/net/[odd] name.py",
    "lib/src/old.go",
    "tests/net/test_client.py",
)


def matched(glob):
    return [path for path in PATHS if glob_pattern(glob).fullmatch(path)]


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("*.md", [0]),
        ("client.py", [2]),
        ("src/**", [1, 2, 3]),
        ("/src", [1, 2, 3]),
        ("src/", [1, 2, 3, 4]),
        ("./src/*.py", [1]),
        ("src/**/*.py", [1, 2, 3]),
        ("**/net", [2, 3, 5]),
        ("src/net/?lient.py", [2]),
        ("*/net/[a-c]*.py", [2]),
        ("*/net/[!a-c]*.py", [3, 5]),
        (r"*\[odd\]*", [3]),
        ("**", [0, 1, 2, 3, 4, 5]),
        ("/", [0, 1, 2, 3, 4, 5]),
        ("nowhere/", []),
        (".py", []),
    ],
)
def test_a_pattern_means_what_it_means_in_a_gitignore(glob, paths):
    assert matched(glob) == [PATHS[n] for n in paths]


@pytest.mark.parametrize("glob", ["[a", "x\\", "a\nb", "\x00", "*" * 300, "[[:x:]]"])
def test_what_is_no_pattern_is_refused_with_the_field_it_stood_in(glob):
    with pytest.raises(ValidationFailed) as refused:
        glob_pattern(glob)
    assert "path_glob" in str(refused.value.details["errors"])


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("**/" * 80 + "x", "a/" * 400 + "b"),
        ("*a" * 120 + "b", "a" * 900),
        ("*" * MAX_GLOB_CHARS, "a/" * 500),
    ],
)
def test_f1_no_pattern_keeps_a_server_busy(glob, path):
    """Written by one user for paths of their own: others wait for the same process."""
    began = time.process_time()
    for _ in range(50):
        glob_pattern(glob[:MAX_GLOB_CHARS]).fullmatch(path)

    assert time.process_time() - began < 2
