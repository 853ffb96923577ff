"""Which files a workspace keeps: what its owner, its repository and we say.

In this order, the first that speaks decides:

1. secrets and version control: never kept, and nobody can change that (F8);
2. the workspace's `exclude` patterns;
3. the workspace's `include` patterns: kept, whatever follows says;
4. `.aiassistignore` files; a line with `!` keeps, whatever follows says;
5. what everybody leaves out: vendored, generated, minified, locks, binaries;
6. `.gitignore` files, unless the workspace does without them.

Patterns are `.gitignore`'s everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import re2

from aiassist.lib.errors import ValidationFailed
from workspaces.content.paths import shown
from workspaces.ignoring.filters import hard_refusal, soft_refusal
from workspaces.ignoring.gitignore import (
    MAX_BYTES,
    MAX_PATTERN_CHARS,
    BadPattern,
    IgnoreFiles,
    Match,
    path_regex,
)

GITIGNORE = ".gitignore"
OWN_IGNORE = ".aiassistignore"
IGNORE_NAMES = (GITIGNORE, OWN_IGNORE)
MAX_PATTERNS = 100  # of one setting of a workspace
MAX_IGNORE_FILES = 1000  # of one workspace; those nearest to the root count


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about a path."""

    reason: str  # why the file is left out; "": it is kept
    named: bool = False  # kept by name: what is generated stays, too


_KEPT = Verdict("")


class Rules:
    """One workspace's rules, asked about one path after the other."""

    def __init__(
        self,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ignore_files: Mapping[str, str] | None = None,
        use_gitignore: bool = True,
    ) -> None:
        """`ignore_files` maps the paths of ignore files to their texts."""
        chosen = _nearest_the_root(ignore_files or {})
        self._include = IgnoreFiles({"include": "\n".join(include)})
        self._exclude = IgnoreFiles({"exclude": "\n".join(exclude)})
        self._own = IgnoreFiles(_of_name(chosen, OWN_IGNORE))
        self._git = IgnoreFiles(_of_name(chosen, GITIGNORE) if use_gitignore else {})
        self._given: dict[str, Verdict] = {}

    def verdict(self, path: str) -> Verdict:
        """Judge a normalised path; a commit asks twice."""
        found = self._given.get(path)
        if found is None:
            found = self._given[path] = self._judge(path)
        return found

    def _judge(self, path: str) -> Verdict:
        if reason := hard_refusal(path):
            return Verdict(reason)
        if (match := self._exclude.match(path)) and match.ignored:
            return Verdict(
                f"is excluded by this workspace's pattern {shown(match.pattern)}"
            )
        if (match := self._include.match(path)) and match.ignored:
            return Verdict("", named=True)
        if match := self._own.match(path):
            return Verdict(_ignored(match)) if match.ignored else Verdict("", True)
        if reason := soft_refusal(path):
            return Verdict(reason)
        if (match := self._git.match(path)) and match.ignored:
            return Verdict(_ignored(match))
        return _KEPT

    def refusal(self, path: str) -> str:
        """Return why the file is left out, "" when it is kept."""
        return self.verdict(path).reason


def is_ignore_file(path: str) -> bool:
    return path.rpartition("/")[2] in IGNORE_NAMES


def ignore_text(data: bytes) -> str:
    """Return an ignore file's text as far as it is read."""
    return data[:MAX_BYTES].decode("utf-8", "replace")


def checked_patterns(patterns: Iterable[str], *, field: str) -> list[str]:
    """Return a setting's patterns, cleaned. Raises ValidationFailed."""
    cleaned = list(dict.fromkeys(p.strip() for p in patterns if p.strip()))
    if len(cleaned) > MAX_PATTERNS:
        raise _refused(field, f"At most {MAX_PATTERNS} patterns.")
    for pattern in cleaned:
        if len(pattern) > MAX_PATTERN_CHARS or not pattern.isprintable():
            raise _refused(
                field,
                f"{shown(pattern, 60)}: a pattern has at most {MAX_PATTERN_CHARS} "
                "printable characters.",
            )
        try:
            re2.compile(path_regex(pattern.removeprefix("!").removesuffix("/") or "*"))
        except (BadPattern, re2.error):
            raise _refused(
                field, f"{shown(pattern, 60)} cannot be read as a pattern."
            ) from None
    return cleaned


def _ignored(match: Match) -> str:
    return f"is ignored by {shown(match.file)}, line {match.line}: {match.pattern[:80]}"


def _nearest_the_root(files: Mapping[str, str]) -> dict[str, str]:
    paths = sorted(files, key=lambda path: (path.count("/"), path))
    return {path: files[path] for path in paths[:MAX_IGNORE_FILES]}


def _of_name(files: Mapping[str, str], name: str) -> dict[str, str]:
    return {p: text for p, text in files.items() if p.rpartition("/")[2] == name}


def _refused(field: str, detail: str) -> ValidationFailed:
    return ValidationFailed(
        errors=[{"field": field, "code": "invalid", "detail": detail}]
    )
