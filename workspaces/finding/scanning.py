"""Keyword search in the stored files themselves, where the index cannot serve.

Cutting thousands of files takes a while; looking for a few words in their bytes does
not. So an upload can be searched at once, and every file while the vector database is
away: first whole files are judged by how often they hold the query's words (BM25),
then the best ones are cut into windows of lines. Time is bounded, and the answer says
how much was looked at.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from workspaces.content.storage import unpack
from workspaces.content.texts import MAX_TEXT_BYTES, NotIndexable, indexable_text
from workspaces.indexing.keywords import (
    K1,
    B,
    passage_terms,
    query_terms,
    query_words,
)
from workspaces.indexing.languages import language_of
from workspaces.models import Blob, IndexedFile, SourceFile, Workspace
from workspaces.vectors.base import PointPayload, ScoredPoint

SECONDS = 1.5  # a search that takes longer feels broken
_WINDOW_LINES = 30  # about three passages, as there is no syntax to cut along
_STEP_LINES = 15  # half of it, so that no few lines are always cut apart
_BEST_FILES = 40
_BEST_WINDOWS = 2  # of one file
_ROWS = 200  # contents in memory at once
_AVERAGE_BYTES = 8000  # of a file; fixed, so that a score needs no second pass


@dataclass(frozen=True, slots=True)
class Scan:
    """Windows of lines as a search by words would return passages, best first."""

    points: list[ScoredPoint]
    n_files: int  # that the index has not read
    n_scanned: int  # of these, as far as the time went


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    sha256: str
    language: str


@dataclass(frozen=True, slots=True)
class _Match:
    file: _File
    counts: tuple[int, ...]  # of each word
    n_bytes: int


def scan(
    workspace: Workspace,
    text: str,
    *,
    generation: int,
    limit: int,
    language: str = "",
    paths: Sequence[str] = (),
    seconds: float = SECONDS,
) -> Scan:
    """Look for the query's words in what the index of this generation cannot find.

    Of a first index that is being made: the files that it has not read. Of a visible
    one: all files as it shows them, as its points are out of reach.
    """
    words = sorted(query_words(text))
    only = set(paths)
    files = [
        file
        for file in _files(workspace, generation)
        if (not language or file.language == language)
        and (not only or file.path in only)
    ]
    if not words or not files:
        return Scan([], len(files), len(files))
    matches, n_scanned = _matches(workspace, files, words, seconds)
    rarity = _rarity(matches, len(words), n_scanned)
    best = sorted(matches, key=lambda m: (-_score(m, rarity), m.file.path))
    points = _windows(workspace, best[:_BEST_FILES], text, rarity)
    return Scan(points[:limit], len(files), n_scanned)


def _files(workspace: Workspace, generation: int) -> list[_File]:
    if generation and generation == workspace.generation:
        shown = IndexedFile.objects.visible(workspace).order_by("path")
        return [
            _File(path, sha, language_of(path))
            for path, sha in shown.values_list("path", "sha256")
        ]
    files = SourceFile.objects.for_workspace(workspace).searched().order_by("path")
    if generation:
        read = IndexedFile.objects.of_generation(workspace, generation)
        files = files.exclude(Exists(read.filter(path=OuterRef("path"))))
    return [_File(*row) for row in files.values_list("path", "sha256", "language")]


def _matches(
    workspace: Workspace, files: list[_File], words: list[str], seconds: float
) -> tuple[list[_Match], int]:
    """Count the words in each file, until the time is over."""
    ends = time.monotonic() + seconds
    needles = [_needle(word) for word in words]
    found: list[_Match] = []
    n_scanned = 0
    for start in range(0, len(files), _ROWS):
        some = files[start : start + _ROWS]
        contents = dict(_contents(workspace, {file.sha256 for file in some}))
        for file in some:
            data = contents.get(file.sha256, b"").lower()
            # A name says as much as a word inside.
            name = file.path.lower().encode("utf-8", "replace")
            counts = tuple(data.count(n) + name.count(n) for n in needles)
            if any(counts):
                found.append(_Match(file, counts, len(data)))
        n_scanned += len(some)
        if time.monotonic() > ends:
            break
    return found, n_scanned


def _needle(stem: str) -> bytes:
    """Return what every form of the word holds: retry, retries, retried."""
    cut = stem[:-1] if stem.endswith("y") and len(stem) > 3 else stem
    return cut.encode("utf-8", "replace")


def _contents(workspace: Workspace, shas: set[str]) -> Iterator[tuple[str, bytes]]:
    rows = Blob.objects.for_workspace(workspace).filter(
        sha256__in=shas, n_bytes__lte=MAX_TEXT_BYTES
    )
    for sha, packed, n_bytes in rows.values_list("sha256", "content", "n_bytes"):
        if n_bytes:
            yield sha, unpack(packed, n_bytes)


def _rarity(matches: list[_Match], n_words: int, n_files: int) -> list[float]:
    """Return each word's inverse document frequency."""
    holding = [sum(bool(m.counts[i]) for m in matches) for i in range(n_words)]
    return [math.log(1 + (n_files - n + 0.5) / (n + 0.5)) for n in holding]


def _score(match: _Match, rarity: list[float]) -> float:
    norm = K1 * (1 - B + B * match.n_bytes / _AVERAGE_BYTES)
    return sum(
        weight * n * (K1 + 1) / (n + norm)
        for n, weight in zip(match.counts, rarity, strict=True)
    )


def _windows(
    workspace: Workspace, matches: list[_Match], text: str, rarity: list[float]
) -> list[ScoredPoint]:
    """Cut the files, secrets hidden first, and keep the best windows of each."""
    contents = dict(_contents(workspace, {m.file.sha256 for m in matches}))
    wanted = dict(zip(query_terms(text).indices, query_terms(text).values, strict=True))
    typical = sum(rarity) / len(rarity)
    points: list[ScoredPoint] = []
    for match in matches:
        try:
            readable = indexable_text(contents.get(match.file.sha256, b""))
        except NotIndexable:
            continue
        points += _best_windows(match.file, readable.split("\n"), wanted, typical)
    return sorted(points, key=lambda p: (-p.score, p.payload.path, p.id))


def _best_windows(
    file: _File, lines: list[str], wanted: dict[int, float], typical: float
) -> list[ScoredPoint]:
    found: list[ScoredPoint] = []
    for start in range(0, len(lines), _STEP_LINES):
        window = lines[start : start + _WINDOW_LINES]
        terms = passage_terms("\n".join(window), file.path, "")
        score = typical * sum(
            weight * wanted[index]
            for index, weight in zip(terms.indices, terms.values, strict=True)
            if index in wanted
        )
        if score:
            found.append(_point(file, start, len(window), score))
    found.sort(key=lambda point: (-point.score, point.payload.start_line))
    chosen: list[ScoredPoint] = []
    for point in found:
        if len(chosen) < _BEST_WINDOWS and not any(
            _overlap(point.payload, other.payload) for other in chosen
        ):
            chosen.append(point)
    return chosen


def _overlap(one: PointPayload, other: PointPayload) -> bool:
    return one.start_line <= other.end_line and other.start_line <= one.end_line


def _point(file: _File, start: int, n_lines: int, score: float) -> ScoredPoint:
    return ScoredPoint(
        id=f"{file.sha256}:{file.path}:{start}",
        score=score,
        payload=PointPayload(
            path=file.path,
            start_line=start + 1,
            end_line=start + n_lines,
            language=file.language,
            symbol="",
            sha256=file.sha256,
            since=0,
        ),
    )
