"""Ignore files as git reads them, in time that grows with the text alone.

Git's rules: the last matching line of a file decides; a deeper file goes before a
higher one; what lies in an ignored folder cannot be brought back. Patterns become
regular expressions for RE2, which never backtracks: with a backtracking engine one
line such as `*a*a*a*a*b` keeps a server busy for minutes.
Source: https://git-scm.com/docs/gitignore and git's wildmatch.c
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import re2

MAX_BYTES = 256 * 1024  # of one ignore file
MAX_LINES = 2000  # patterns of one ignore file
MAX_PATTERN_CHARS = 512
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "cntrl": "\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@[-`{-~",
    "space": "\t-\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_SLASH, _LAST = ord("/"), 0x10FFFF


@dataclass(frozen=True, slots=True)
class Match:
    """The line that decided about a path."""

    ignored: bool  # False: a line with `!` brings it back
    file: str  # path of the ignore file
    line: int  # 1-based
    pattern: str


class BadPattern(ValueError):
    """Git would never match this line."""


@dataclass(frozen=True, slots=True)
class _Rule:
    line: int
    pattern: str  # as written
    negated: bool
    folders_only: bool
    regex: str  # of the whole path, relative to the ignore file's folder


class _File:
    """One ignore file's rules, compiled together."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._rules: list[_Rule] = []
        options = re2.Options()
        options.max_mem = 64 * 1024 * 1024
        options.log_errors = False
        options.dot_nl = True
        self._set = re2.Set.FullMatchSet(options)
        for rule in _rules(text):
            try:
                self._set.Add(rule.regex)
            except re2.error:
                continue
            self._rules.append(rule)
        if self._rules:
            self._set.Compile()

    @property
    def has_rules(self) -> bool:
        return bool(self._rules)

    def match(self, path: str, is_folder: bool) -> Match | None:
        """Return what the last line that fits says; `path` is relative."""
        fitting = (
            index
            for index in self._set.Match(path) or ()
            if is_folder or not self._rules[index].folders_only
        )
        last = max(fitting, default=-1)
        if last < 0:
            return None
        rule = self._rules[last]
        return Match(not rule.negated, self._path, rule.line, rule.pattern)


class IgnoreFiles:
    """All ignore files of one name in a tree, asked about paths of the tree."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files` maps an ignore file's path to its text."""
        read = {path: _File(path, text) for path, text in files.items()}
        self._files = {
            path.rpartition("/")[0]: file
            for path, file in read.items()
            if file.has_rules
        }
        self._folders: dict[str, Match | None] = {"": None}

    def match(self, path: str) -> Match | None:
        """Return the line that decides about this file, None when none does."""
        if not self._files:
            return None
        above = self._folder(path.rpartition("/")[0])
        if above is not None and above.ignored:
            return above
        # A folder that was brought back brings back what lies in it.
        return self._decide(path, is_folder=False) or above

    def _folder(self, folder: str) -> Match | None:
        """Return what decides about a folder, its parents first."""
        # Not by recursion: a path may have 500 folders.
        unknown = []
        while folder not in self._folders:
            unknown.append(folder)
            folder = folder.rpartition("/")[0]
        found = self._folders[folder]
        for below in reversed(unknown):
            if found is None or not found.ignored:
                found = self._decide(below, is_folder=True) or found
            self._folders[below] = found
        return found

    def _decide(self, path: str, *, is_folder: bool) -> Match | None:
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            file = self._files.get(folder)
            if file is not None:
                name = path[len(folder) + 1 :] if folder else path
                if found := file.match(name, is_folder):
                    return found
        return None


def _rules(text: str) -> Iterator[_Rule]:
    lines = text.removeprefix("\ufeff").split("\n")
    for number, line in enumerate(lines[:MAX_LINES], 1):
        try:
            rule = _rule(number, line.removesuffix("\r"))
        except BadPattern:
            continue
        if rule is not None:
            yield rule


def _rule(number: int, line: str) -> _Rule | None:
    pattern = _without_trailing_spaces(line)
    if not pattern or pattern.startswith("#") or len(pattern) > MAX_PATTERN_CHARS:
        return None
    body = pattern.removeprefix("!")
    folders_only = body.endswith("/")
    if folders_only:
        body = body[:-1]
    if not body:
        return None
    return _Rule(
        number, pattern, pattern.startswith("!"), folders_only, path_regex(body)
    )


def _without_trailing_spaces(line: str) -> str:
    bare = line.rstrip(" ")
    n_backslashes = len(bare) - len(bare.rstrip("\\"))
    # An escaped space stays.
    return f"{bare} " if n_backslashes % 2 and bare != line else bare


def path_regex(pattern: str) -> str:
    """Return the expression of whole paths that the pattern names.

    Raises BadPattern.
    """
    if "/" not in pattern:
        return "(?:.*/)?" + _segment(pattern)
    parts = pattern.removeprefix("/").split("/")
    pieces: list[str] = []
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        if part != "**":
            pieces.append(_segment(part) + ("" if is_last else "/"))
        elif is_last:
            # What lies inside, not the folder itself.
            pieces.append(".+")
        elif not (position and parts[position - 1] == "**"):
            pieces.append("(?:.*/)?")
    return "".join(pieces)


def _segment(part: str) -> str:
    """Translate what stands between two slashes."""
    pieces: list[str] = []
    position = 0
    while position < len(part):
        char = part[position]
        position += 1
        if char == "*":
            if not (pieces and pieces[-1] == "[^/]*"):
                pieces.append("[^/]*")
        elif char == "?":
            pieces.append("[^/]")
        elif char == "[":
            piece, position = _bracket(part, position)
            pieces.append(piece)
        elif char == "\\":
            if position == len(part):
                raise BadPattern(part)
            pieces.append(re2.escape(part[position]))
            position += 1
        else:
            pieces.append(re2.escape(char))
    return "".join(pieces)


def _bracket(part: str, position: int) -> tuple[str, int]:
    """Read a class from behind its `[`; return it and where it ends."""
    negated = part[position : position + 1] in ("!", "^")
    position += negated
    spans: list[tuple[int, int]] = []
    first = True
    while first or part[position : position + 1] != "]":
        first = False
        named, position = _named_class(part, position)
        if named is not None:
            spans += named
            continue
        low, position = _member(part, position)
        high = low
        if part[position : position + 1] == "-" and part[
            position + 1 : position + 2
        ] not in ("]", ""):
            high, position = _member(part, position + 1)
        if low <= high:
            spans.append((low, high))
    return _class_of(spans, negated), position + 1


def _member(part: str, position: int) -> tuple[int, int]:
    char = part[position : position + 1]
    if char == "\\":
        position += 1
        char = part[position : position + 1]
    if not char:
        raise BadPattern(part)
    return ord(char), position + 1


def _named_class(part: str, position: int) -> tuple[list[tuple[int, int]] | None, int]:
    if part[position : position + 2] != "[:":
        return None, position
    end = part.find("]", position + 2)
    if end < 0:
        raise BadPattern(part)
    if part[end - 1] != ":" or end - 1 < position + 2:
        return None, position  # an ordinary `[`
    members = _CLASSES.get(part[position + 2 : end - 1])
    if members is None:
        raise BadPattern(part)
    return list(_spans_of(members)), end + 1


def _spans_of(members: str) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            yield ord(members[position]), ord(members[position + 2])
            position += 3
        else:
            yield ord(members[position]), ord(members[position])
            position += 1


def _class_of(spans: Iterable[tuple[int, int]], negated: bool) -> str:
    """Return the class without `/`, which no class ever matches."""
    merged: list[list[int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    if negated:
        merged = _complement(merged)
    kept = [span for low, high in merged for span in _around_slash(low, high)]
    if not kept:
        raise BadPattern("an empty class")
    return "[" + "".join(f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in kept) + "]"


def _complement(merged: list[list[int]]) -> list[list[int]]:
    gaps, start = [], 0
    for low, high in merged:
        if start < low:
            gaps.append([start, low - 1])
        start = high + 1
    if start <= _LAST:
        gaps.append([start, _LAST])
    return gaps


def _around_slash(low: int, high: int) -> Iterator[tuple[int, int]]:
    if not low <= _SLASH <= high:
        yield low, high
        return
    if low < _SLASH:
        yield low, _SLASH - 1
    if high > _SLASH:
        yield _SLASH + 1, high
