"""What is asked, and where the answers are.

Commit subjects, docstrings, names, messages and paths come out of the repositories
themselves; the questions in `questions/` were written by hand, and their lines read.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from benchmarks.retrieval.definitions import Definition, definitions_of
from benchmarks.retrieval.repositories import Checkout
from workspaces.finding.ranking import is_test_path
from workspaces.indexing.languages import language_of

T = TypeVar("T")

_QUESTIONS = Path(__file__).parent / "questions"
_MOST_COMMITS = 1500  # looked at, the latest ones
_PROSE = frozenset({"markdown", "restructuredtext", "text", "html", "yaml", "json"})


@dataclass(frozen=True)
class Span:
    """Lines of a file, 1-based and inclusive."""

    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Answer:
    """The lines with something on them that answer a query."""

    path: str
    lines: frozenset[int]

    @classmethod
    def of(cls, span: Span, text: str) -> "Answer":
        lines = text.split("\n")[span.start - 1 : span.end]
        return cls(
            span.path,
            frozenset(n for n, line in enumerate(lines, span.start) if line.strip()),
        )


@dataclass(frozen=True)
class Query:
    """One query; `answers` is empty where only files are known."""

    kind: str  # docstring, commit, question, tests, identifier, message, path
    text: str
    files: frozenset[str]
    answers: tuple[Answer, ...] = ()

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.kind}\n{self.text}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class QuerySet:
    """A repository's queries, and its files without the asked docstrings."""

    queries: tuple[Query, ...]
    stripped: dict[str, str]  # where docstring queries search


def queries_of(checkout: Checkout) -> QuerySet:
    files = checkout.files
    code = {path: text for path, text in files.items() if _is_code(path, text)}
    definitions = [d for path, text in code.items() for d in definitions_of(path, text)]
    documented = _sample(
        [d for d in definitions if d.is_function and _words(d.summary) >= 5],
        30,
        key=lambda d: f"{d.path}:{d.name}:{d.summary}",
    )
    stripped = _without(files, documented)
    queries = [
        *(_docstring(d, stripped[d.path]) for d in documented),
        *_commits(checkout, code),
        *_written(checkout.repository.key, files),
        *_identifiers(definitions, code),
        *_messages(code),
        *_paths(code),
    ]
    return QuerySet(tuple(_once(queries)), stripped)


def _is_code(path: str, text: str) -> bool:
    language = language_of(path, text[:4096].encode())
    return language not in _PROSE and not is_test_path(path)


def _docstring(definition: Definition, text: str) -> Query:
    return _about(definition, "docstring", definition.summary, text)


def _about(definition: Definition, kind: str, query: str, text: str) -> Query:
    span = Span(definition.path, definition.start, definition.end)
    return Query(kind, query, frozenset({span.path}), (Answer.of(span, text),))


def _without(files: dict[str, str], documented: Iterable[Definition]) -> dict[str, str]:
    """Blank the docstrings' lines, so that all others keep their numbers."""
    stripped = dict(files)
    for definition in documented:
        start, end = definition.doc
        lines = stripped[definition.path].split("\n")
        lines[start - 1 : end] = [""] * (end - start + 1)
        stripped[definition.path] = "\n".join(lines)
    return stripped


_ROUTINE = re.compile(
    r"(?i)^(?:bump|release|version|merge|revert|update (?:changelog|dependenc|readme)"
    r"|prepare|\[pre-commit|chore\(deps|build\(deps|deps|changelog|fix typo|typo)"
)


def _commits(checkout: Checkout, code: dict[str, str]) -> list[Query]:
    queries = []
    for commit in checkout.commits(_MOST_COMMITS):
        subject = re.sub(r"\s*\(#\d+\)$", "", commit.subject).strip()
        paths = [path for path in commit.paths if path in code]
        if not 1 <= len(paths) <= 4 or len(commit.paths) > 8:
            continue
        if _ROUTINE.match(subject) or _words(subject) < 4:
            continue
        queries.append(Query("commit", subject, frozenset(paths)))
    return _sample(queries, 30, key=lambda q: q.text)


def _written(key: str, files: dict[str, str]) -> Iterator[Query]:
    """Yield the questions of `questions/<key>.toml`."""
    file = _QUESTIONS / f"{key}.toml"
    if not file.is_file():
        return
    for entry in tomllib.loads(file.read_text())["question"]:
        spans = [_span(answer, files) for answer in entry["lines"]]
        answers = tuple(Answer.of(span, files[span.path]) for span in spans)
        yield Query(
            entry.get("kind", "question"),
            entry["text"],
            frozenset(answer.path for answer in answers),
            answers,
        )


def _span(written: str, files: dict[str, str]) -> Span:
    path, _, lines = written.rpartition(":")
    start, _, end = lines.partition("-")
    span = Span(path, int(start), int(end or start))
    n_lines = files[path].count("\n") + 1
    if not 1 <= span.start <= span.end <= n_lines:
        raise ValueError(f"{written} is not within the file's {n_lines} lines")
    return span


def _identifiers(
    definitions: Sequence[Definition], code: dict[str, str]
) -> list[Query]:
    """Names defined once, as somebody would paste them."""
    counts = Counter(d.name for d in definitions)
    once = [d for d in definitions if counts[d.name] == 1 and len(d.name) >= 7]
    return [
        _about(d, "identifier", d.name, code[d.path])
        for d in _sample(once, 12, key=lambda d: d.name)
    ]


_RAISED = re.compile(
    r"(?i)(?:raise|throw|error|fail|fatal|panic|exception|bail|warn|abort|jv_string)"
)
_STRING = re.compile(r'"((?:[^"\\]|\\.){20,120})"|\'((?:[^\'\\]|\\.){20,120})\'')
_HOLE = re.compile(r"%[-+#0-9.]*[a-zA-Z]|\{[^{}]*\}|\$\{[^{}]*\}|#\{[^{}]*\}|\\.")


def _messages(code: dict[str, str]) -> list[Query]:
    """Texts of errors as a user meets them: with something in their holes."""
    queries = []
    for path, text in code.items():
        for number, line in enumerate(text.split("\n"), start=1):
            found = _STRING.search(line)
            if found is None or not _RAISED.search(line):
                continue
            message = _HOLE.sub("foo", found.group(1) or found.group(2)).strip()
            if len(re.findall(r"(?<!\S)[A-Za-z]{2,}", message)) < 4:
                continue
            answer = Answer(path, frozenset({number}))
            queries.append(Query("message", message, frozenset({path}), (answer,)))
    counts = Counter(query.text for query in queries)
    once = [query for query in queries if counts[query.text] == 1]
    return _sample(once, 12, key=lambda q: q.text)


def _paths(code: dict[str, str]) -> list[Query]:
    """A file's name, or its last folder and name, where that tells it."""
    queries = []
    for number, path in enumerate(sorted(code, key=_shuffled)):
        parts = PurePosixPath(path).parts
        text = "/".join(parts[-1 - number % 2 :])
        if sum(f"/{other}".endswith(f"/{text}") for other in code) == 1:
            queries.append(Query("path", text, frozenset({path})))
    return queries[:8]


def _words(text: str) -> int:
    return len(re.findall(r"[A-Za-z]{2,}", text))


def _shuffled(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sample(items: Iterable[T], most: int, *, key: Callable[[T], str]) -> list[T]:
    """Take some, the same ones every time."""
    return sorted(items, key=lambda item: _shuffled(key(item)))[:most]


def _once(queries: Iterable[Query]) -> Iterator[Query]:
    seen: set[str] = set()
    for query in queries:
        if query.id not in seen:
            seen.add(query.id)
            yield query
