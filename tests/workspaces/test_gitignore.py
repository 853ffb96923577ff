"""Our reading of ignore files is git's own, tried against git itself."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from workspaces.ignoring.gitignore import MAX_PATTERN_CHARS, IgnoreFiles

NAMES = ["a", "b", "build", "x.log", "c.py", "a b", "[x]", "-z", "#h", "!n"]
PATTERNS = [
    *("a", "b", "build", "*.log", "*", "a/*", "a/**", "**/b", "/a", "a/b", "build/"),
    *("*/x.log", "a/**/c.py", "?", "[ab]", "x.*", "**", "a*", "**/build/", "/build/*"),
    *("[!a]", "a/**/", "b/**", "a\\ b", "a b  ", "\\#h", "#h", "!n", "\\!n", "a\\"),
    *("[[:alpha:]]", "[]x]", "[a-", "[^[:digit:]]*", "*[x]*", "\\", "[--0]z", "a**b"),
    *("**/**/b", "***", "/**/b", "a/**/b/**", "x\\.log", "\\[x\\]", "[[]x]", "[\\]]"),
    *("**a", "*/*", "[[:bogus:]]", "[z-a]", "./a", "a//b", "/", "//", "[x", "]", "-z/"),
    *("[!-]*", "a/./b", "**/", "/**", "*!", "[[:upper:]a-c]", "x.log/", "a/b/"),
]


def some_tree(chance: random.Random, root: Path) -> list[str]:
    paths = set()
    for _ in range(16):
        path = "/".join(chance.choice(NAMES) for _ in range(chance.randint(1, 4)))
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch(exist_ok=False)
        except OSError:
            continue  # a file stands where a folder should
        paths.add(path)
    return sorted(paths)


def some_ignore_files(chance: random.Random, root: Path) -> dict[str, str]:
    folders = ["", *(f"{p.relative_to(root)}/" for p in root.rglob("*") if p.is_dir())]
    files = {}
    for folder in chance.sample(folders, min(len(folders), 3)):
        lines = [
            ("!" if chance.random() < 0.35 else "") + chance.choice(PATTERNS)
            for _ in range(chance.randint(1, 4))
        ]
        files[f"{folder}.gitignore"] = "\n".join(lines) + "\n"
    return files


def ignored_by_git(root: Path, paths: list[str]) -> set[str]:
    asked = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--stdin", "-z", "--no-index"],
        input="\0".join(paths).encode(),
        capture_output=True,
        check=False,
    )
    assert asked.returncode in (0, 1), asked.stderr
    return set(asked.stdout.decode().split("\0")) - {""}


@pytest.mark.parametrize("seed", range(4))
def test_it_ignores_what_git_ignores(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    for number in range(25):
        root = tmp_path / str(number)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        paths = some_tree(chance, root)
        files = some_ignore_files(chance, root)
        for path, text in files.items():
            (root / path).write_text(text)

        ignore = IgnoreFiles(files)
        ours = {p for p in paths if (match := ignore.match(p)) and match.ignored}

        assert ours == ignored_by_git(root, paths), (seed, number, files)


def test_it_names_the_line_that_decides():
    ignore = IgnoreFiles({"src/.gitignore": "# made\n\n/out/\n"})

    match = ignore.match("src/out/deep/a.js")

    assert match is not None
    assert (match.file, match.line, match.pattern) == ("src/.gitignore", 3, "/out/")
    assert ignore.match("out/a.js") is None


@pytest.mark.parametrize(
    "line", ["*a" * 250 + "b", "a*" * 250, "**/" * 160 + "b", "[a-z]*" * 80 + "!"]
)
def test_f5_a_hostile_pattern_takes_no_time(line: str):
    began = time.process_time()

    IgnoreFiles({".gitignore": f"{line[:MAX_PATTERN_CHARS]}\n" * 50}).match("a" * 500)

    assert time.process_time() - began < 2


def test_f5_a_long_file_and_a_deep_path_are_read_within_bounds():
    began = time.process_time()
    ignore = IgnoreFiles({".gitignore": "".join(f"/x{n}/*.py\n" for n in range(9999))})

    assert ignore.match("x1/" * 300 + "a.py") is None
    assert ignore.match("x1999/a.py") is not None
    assert ignore.match("x2001/a.py") is None, "lines beyond the limit are not read"
    assert time.process_time() - began < 3
