"""Simple designs to compare with: they share nothing with the product's ranking.

The last one, "rerank", is the design that this project started from.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.metrics import N_HITS
from benchmarks.retrieval.queries import Span
from benchmarks.retrieval.vectors import VectorCache
from workspaces.indexing.embedding import embed_query
from workspaces.indexing.keywords import passage_terms, query_terms, query_words
from workspaces.indexing.splitting import split
from workspaces.vectors.base import SparseVector

Ranking = Callable[[str], list[Span]]
_WINDOW = 40  # lines
_K = 10
_DENSE_WEIGHT = 1.5


@dataclass(frozen=True)
class Passage:
    span: Span
    symbol: str
    text: str
    embedded_text: str


def windows(files: dict[str, str]) -> list[Passage]:
    found = []
    for path, text in files.items():
        lines = text.split("\n")
        for start in range(0, len(lines), _WINDOW):
            part = "\n".join(lines[start : start + _WINDOW])
            if part.strip():
                end = min(start + _WINDOW, len(lines))
                found.append(Passage(Span(path, start + 1, end), "", part, part))
    return found


def chunks(files: dict[str, str]) -> list[Passage]:
    return [
        Passage(
            Span(chunk.path, chunk.start_line, chunk.end_line),
            chunk.symbol,
            chunk.text,
            chunk.embedded_text,
        )
        for path, text in files.items()
        for chunk in split(path, text)
    ]


class Baselines:
    """The simple designs over one repository's files."""

    def __init__(self, files: dict[str, str], vectors: VectorCache | None) -> None:
        self._windows, self._chunks = windows(files), chunks(files)
        self._window_words = [Counter(_plain_words(p.text)) for p in self._windows]
        self._window_terms = Bm25(
            [passage_terms(p.text, "", "") for p in self._windows]
        )
        self._chunk_terms = Bm25(
            [passage_terms(p.text, p.span.path, p.symbol) for p in self._chunks]
        )
        self._vectors = vectors

    def designs(self) -> dict[str, Ranking]:
        found: dict[str, Ranking] = {
            "keyword match, windows of 40 lines": self._keyword_match,
            "BM25 with split identifiers, windows": self._bm25_windows,
        }
        if self._vectors is None:
            return found
        return found | {
            "MiniLM, windows": self._dense_windows,
            "MiniLM, chunks along the syntax": self._dense_chunks,
            "rank fusion of chunks": self._fused,
            "+ rerank (where this project started)": self._reranked,
        }

    def _keyword_match(self, query: str) -> list[Span]:
        words = set(_plain_words(query))
        scores = np.array(
            [
                len(words & counts.keys()) + 1e-3 * sum(counts[w] for w in words)
                for counts in self._window_words
            ]
        )
        return _spans(self._windows, _best(scores))

    def _bm25_windows(self, query: str) -> list[Span]:
        return _spans(self._windows, _best(self._window_terms.scores(query)))

    def _dense_windows(self, query: str) -> list[Span]:
        return _spans(self._windows, _best(self._cosines(self._windows, query)))

    def _dense_chunks(self, query: str) -> list[Span]:
        return _spans(self._chunks, _best(self._cosines(self._chunks, query)))

    def _fused(self, query: str) -> list[Span]:
        scores = self._rank_fusion(query)
        return _spans(self._chunks, sorted(scores, key=lambda i: -scores[i])[:N_HITS])

    def _reranked(self, query: str) -> list[Span]:
        """Rank fusion × words in path and symbol × hits in the file × tests."""
        scores = self._rank_fusion(query)
        words = query_words(query)
        per_file = Counter(self._chunks[i].span.path for i in scores)
        final = {
            i: score
            * _name_factor(self._chunks[i], words)
            * (1 + 0.04 * min(per_file[self._chunks[i].span.path] - 1, 3))
            * (0.8 if _is_test(self._chunks[i].span.path) else 1.0)
            for i, score in scores.items()
        }
        return _spans(self._chunks, sorted(final, key=lambda i: -final[i])[:N_HITS])

    def _rank_fusion(self, query: str) -> dict[int, float]:
        scores: defaultdict[int, float] = defaultdict(float)
        dense = _best(self._cosines(self._chunks, query), 120)
        sparse = _best(self._chunk_terms.scores(query), 120)
        for ranked, weight in ((dense, _DENSE_WEIGHT), (sparse, 1.0)):
            for rank, i in enumerate(ranked, start=1):
                scores[i] += weight / (_K + rank)
        return dict(scores)

    def _cosines(self, passages: Sequence[Passage], query: str) -> NDArray[np.float32]:
        assert self._vectors is not None
        matrix = self._matrix(passages)
        found: NDArray[np.float32] = matrix @ embed_query(query)
        return found

    def _matrix(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        assert self._vectors is not None
        name = "windows" if passages is self._windows else "chunks"
        cached: dict[str, NDArray[np.float32]] = self.__dict__.setdefault("_cache", {})
        if name not in cached:
            cached[name] = self._vectors.embed([p.embedded_text for p in passages])
        return cached[name]


class Bm25:
    """Postings in memory, with the inverse document frequency that Qdrant uses."""

    def __init__(self, documents: Sequence[SparseVector]) -> None:
        postings: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        for number, document in enumerate(documents):
            for term, weight in zip(document.indices, document.values, strict=True):
                postings[term].append((number, weight))
        self._n = len(documents)
        self._postings = {
            term: (
                np.array([number for number, _ in entries]),
                np.array([weight for _, weight in entries]),
            )
            for term, entries in postings.items()
        }

    def scores(self, query: str) -> NDArray[np.float64]:
        scores = np.zeros(self._n)
        terms = query_terms(query)
        for term, weight in zip(terms.indices, terms.values, strict=True):
            if term in self._postings:
                numbers, weights = self._postings[term]
                n = len(numbers)
                idf = np.log(1 + (self._n - n + 0.5) / (n + 0.5))
                scores[numbers] += weight * idf * weights
        return scores


def _best(scores: NDArray[np.floating], most: int = N_HITS) -> list[int]:
    order = np.argsort(-scores, kind="stable")[:most]
    return [int(i) for i in order if scores[i] > 0]


def _spans(passages: Sequence[Passage], order: Sequence[int]) -> list[Span]:
    return [passages[i].span for i in order]


def _plain_words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"\w+", text) if len(word) > 2]


def _name_factor(passage: Passage, words: frozenset[str]) -> float:
    if not words:
        return 1.0
    in_path = len(words & query_words(passage.span.path)) / len(words)
    in_symbol = len(words & query_words(passage.symbol)) / len(words)
    return 1 + 0.25 * in_path + 0.35 * in_symbol


def _is_test(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return "test" in parts[-1].lower() or any(
        part.lower() in {"test", "tests", "spec", "__tests__"} for part in parts[:-1]
    )
