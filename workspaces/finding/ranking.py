"""Order what two searches found.

`rank` takes ScoredPoints as the vector store returns them and needs nothing but their
payloads. A passage's evidence is how near its meaning is, how well its words match,
how much of both its file and its neighbours hold, and how many of the query's words
name it. Code comes before tests and prose, unless these are asked for; and of passages
about equally good, one of each file before more of the same file.

The weights were found by coordinate search on the development half of the retrieval
benchmark (`python -m benchmarks.retrieval --tune`), never on its test half.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath

import msgspec

from workspaces.finding.intent import Intent, Kind
from workspaces.indexing.keywords import query_words
from workspaces.vectors.base import PointPayload, ScoredPoint

# Cormack, Clarke, Büttcher: Reciprocal Rank Fusion (SIGIR 2009). They use k = 60; on
# code a small k, which trusts the first places more, finds more.
RRF_K = 10
_FILE_BEST = 3  # passages of a file that speak for it
_FURTHER = 0.97  # factor for each passage of the same file that is better
_NEIGHBOUR_GAP = 8  # lines between passages that still belong together
_SHORT_LINES = 4  # a passage with fewer says little


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each kind of evidence counts; the factors multiply."""

    meaning: float  # cosine, from the worst candidate's (0) to the best's (1)
    words: float  # BM25, as a share of the best candidate's
    file_meaning: float  # the nearness of the file's best passages
    file_words: float  # and their places by BM25: 11 / (10 + place)
    neighbour: float  # the meaning of the passage just before or after
    path: float  # share of the query's words in the path
    symbol: float  # share of the query's words in the symbol
    named: float  # share of the symbol's words in the query
    exact: float  # the query is the symbol's last name, or the path's end
    tests: float  # factor for tests, where they are not asked for
    not_tests: float  # factor for the rest, where tests are asked for
    prose: float  # factor for documentation, data and build files, likewise
    short: float  # factor for passages of very few lines


_WORDS = Weights(
    meaning=2.5,
    words=1.0,
    file_meaning=0.4,
    file_words=0.6,
    neighbour=0.2,
    path=0.0,
    symbol=1.2,
    named=0.4,
    exact=0.0,
    tests=0.55,
    not_tests=0.7,
    prose=0.55,
    short=0.9,
)
WEIGHTS: Mapping[Kind, Weights] = {
    Kind.WORDS: _WORDS,
    Kind.IDENTIFIER: replace(_WORDS, file_meaning=0.0, exact=1.0),
    Kind.PATH: replace(_WORDS, path=0.1, exact=3.0),
}

# Where nothing has a vector, found in the same way: how well the words match tells more
# than where they stand.
_BY_WORDS: Mapping[Kind, Weights] = {
    kind: replace(weight, meaning=0.0, file_meaning=0.0, neighbour=0.0)
    for kind, weight in {
        **WEIGHTS,
        Kind.WORDS: replace(_WORDS, words=3.0, file_words=0.2),
    }.items()
}

_PROSE = frozenset(
    """markdown restructuredtext text html yaml json xml toml ini csv gettext latex
    diff dockerfile makefile cmake""".split()
)
_TEST_FILE = re.compile(r"(?:^|[._-])(?:tests?|spec|specs)(?:[._-]|$)|Tests?$|Spec$")
_WORD = re.compile(r"\w+")
_QUOTE_WORDS = 4
_MEMBER = re.compile(r"\.|::|->|#")
_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "testing"})


_Passage = tuple[int, int, str]  # first line, last line, point id


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A passage in its place; `served_by` is "meaning", "keywords" or "both"."""

    id: str
    score: float
    payload: PointPayload
    served_by: str


def rank(
    intent: Intent,
    dense: Sequence[ScoredPoint],
    sparse: Sequence[ScoredPoint],
    *,
    coverage: float = 1.0,
    weight: Weights | None = None,
) -> list[Ranked]:
    """Merge both lists, best first, each point once, scores in (0, 1].

    `coverage` is the share of passages that have a vector: the fewer, the less the
    nearest of them say against all that have none yet. `weight` is given by whoever
    looks for better ones. Equal inputs give equal outputs, whatever order equals came
    in.
    """
    weight = weight or weight_for(intent.kind, coverage if dense else 0.0)
    points = {point.id: point.payload for point in (*sparse, *dense)}
    evidence = _Evidence(intent, weight, points, dense, sparse)
    factor = _factors(intent, weight)
    # Words alone never score as high as words and meaning together.
    best = _best_possible(WEIGHTS[intent.kind])
    scores = {
        point_id: evidence.of(point_id, payload) * factor(payload) / best
        for point_id, payload in points.items()
    }
    if not intent.asks_for_tests:  # these stand together
        scores = _spread(evidence.files, scores)
    ranked = [
        Ranked(
            id=point_id,
            score=scores[point_id],
            payload=payload,
            served_by=evidence.served_by(point_id),
        )
        for point_id, payload in points.items()
    ]
    return sorted(ranked, key=_order)


@lru_cache(maxsize=16_384)
def is_test_path(path: str) -> bool:
    """Tell whether a path looks like a test's in any of the usual layouts."""
    pure = PurePosixPath(path)
    if _TEST_FILE.search(pure.stem):
        return True
    return any(part.lower() in _TEST_FOLDERS for part in pure.parts[:-1])


def is_prose(language: str) -> bool:
    """Tell documentation, data and build files from code."""
    return language in _PROSE


def quoted_share(intent: Intent, text: str) -> float:
    """Return how much of the query stands in the text word for word, in one piece.

    0 where that is no more than half, or fewer than four words: these say nothing.
    """
    wanted = _WORD.findall(intent.text.lower())
    if len(wanted) < _QUOTE_WORDS:
        return 0.0
    lowered = text.lower()
    if wanted[len(wanted) // 2] not in lowered:  # which more than half would hold
        return 0.0
    there = f" {' '.join(_WORD.findall(lowered))} "
    longest = len(wanted) // 2
    for start in range(len(wanted)):
        end = start + max(longest + 1, _QUOTE_WORDS)
        while end <= len(wanted) and f" {' '.join(wanted[start:end])} " in there:
            longest = end - start
            end += 1
    return longest / len(wanted) if longest > len(wanted) // 2 else 0.0


def weight_for(kind: Kind, coverage: float) -> Weights:
    """Return the weights for so large a share of passages with vectors."""
    if coverage >= 1.0:
        return WEIGHTS[kind]
    parts = zip(astuple(_BY_WORDS[kind]), astuple(WEIGHTS[kind]), strict=True)
    return Weights(*(words * (1 - coverage) + w * coverage for words, w in parts))


class _Evidence:
    """What speaks for each point, from 0 to 1 a piece."""

    def __init__(
        self,
        intent: Intent,
        weight: Weights,
        points: Mapping[str, PointPayload],
        dense: Sequence[ScoredPoint],
        sparse: Sequence[ScoredPoint],
    ) -> None:
        self._intent = intent
        self._weight = weight
        self._n_words = max(len(intent.words), 1)
        self._meaning = _nearness(dense)
        self._words = _matches(sparse)
        self._places = _places(sparse)
        self.files = _by_file(points)
        self._file_meaning = _per_file(self.files, self._meaning)
        self._file_words = _per_file(self.files, self._places)
        self._neighbours = _neighbours(self.files, self._meaning)
        # A file has many passages, and a definition some: names are read once.
        self._of_path = {path: self._path_evidence(path) for path in self.files}
        symbols = {payload.symbol for payload in points.values()}
        self._of_symbol = {name: self._symbol_evidence(name) for name in symbols}

    def of(self, point_id: str, payload: PointPayload) -> float:
        weight = self._weight
        return (
            weight.meaning * self._meaning.get(point_id, 0.0)
            + weight.words * self._words.get(point_id, 0.0)
            + weight.neighbour * self._neighbours.get(point_id, 0.0)
            + self._of_path[payload.path]
            + self._of_symbol[payload.symbol]
        )

    def served_by(self, point_id: str) -> str:
        if point_id not in self._places:
            return "meaning"
        return "both" if point_id in self._meaning else "keywords"

    def _path_evidence(self, path: str) -> float:
        weight, intent = self._weight, self._intent
        evidence = (
            weight.file_meaning * self._file_meaning[path]
            + weight.file_words * self._file_words[path]
        )
        if weight.path:
            evidence += weight.path * self._share_said(path)
        if intent.kind == Kind.PATH:
            evidence += weight.exact * _ends_path(intent, path)
        return evidence

    def _symbol_evidence(self, symbol: str) -> float:
        weight, intent = self._weight, self._intent
        if not symbol:
            return 0.0
        evidence = weight.symbol * self._share_said(symbol)
        evidence += weight.named * _share_named(intent, symbol)
        if intent.kind == Kind.IDENTIFIER:
            evidence += weight.exact * _is_name_of(intent, symbol)
        return evidence

    def _share_said(self, name: str) -> float:
        """Return how many of the query's words the name holds."""
        return len(self._intent.words & _stems(name)) / self._n_words


def _nearness(dense: Sequence[ScoredPoint]) -> dict[str, float]:
    if not dense:
        return {}
    scores = [point.score for point in dense]
    low, high = min(scores), max(scores)
    if high - low < 1e-9:
        return dict.fromkeys((point.id for point in dense), 1.0)
    return {point.id: (point.score - low) / (high - low) for point in dense}


def _matches(sparse: Sequence[ScoredPoint]) -> dict[str, float]:
    best = max((point.score for point in sparse), default=0.0)
    return {point.id: point.score / best for point in sparse if best > 0}


def _places(sparse: Sequence[ScoredPoint]) -> dict[str, float]:
    ordered = sorted(sparse, key=_place_order)
    return {
        point.id: (RRF_K + 1) / (RRF_K + place)
        for place, point in enumerate(ordered, start=1)
    }


def _by_file(points: Mapping[str, PointPayload]) -> Mapping[str, list[_Passage]]:
    """Return each file's passages, in their order there."""
    found: defaultdict[str, list[_Passage]] = defaultdict(list)
    for point_id, payload in points.items():
        passage = payload.start_line, payload.end_line, point_id
        found[payload.path].append(passage)
    for passages in found.values():
        passages.sort()
    return found


def _per_file(
    files: Mapping[str, list[_Passage]], scores: Mapping[str, float]
) -> dict[str, float]:
    """Return the mean of each file's best passages; missing ones count as 0."""
    found: dict[str, float] = {}
    for path, passages in files.items():
        values = sorted((scores.get(p[2], 0.0) for p in passages), reverse=True)
        found[path] = sum(values[:_FILE_BEST]) / _FILE_BEST
    return found


def _neighbours(
    files: Mapping[str, list[_Passage]], scores: Mapping[str, float]
) -> dict[str, float]:
    """Return the better score of the passages right before and after, if found."""
    found: dict[str, float] = {}
    for passages in files.values():
        for (_, end, one), (start, _, other) in pairwise(passages):
            if start - end <= _NEIGHBOUR_GAP:
                found[one] = max(found.get(one, 0.0), scores.get(other, 0.0))
                found[other] = max(found.get(other, 0.0), scores.get(one, 0.0))
    return found


def _spread(
    files: Mapping[str, list[_Passage]], scores: Mapping[str, float]
) -> dict[str, float]:
    """Lower each file's second best passage a little, its third a little more."""
    return {
        point_id: scores[point_id] * _FURTHER**n_better
        for passages in files.values()
        for n_better, (_, _, point_id) in enumerate(
            sorted(passages, key=lambda passage: -scores[passage[2]])
        )
    }


def _factors(intent: Intent, weight: Weights) -> Callable[[PointPayload], float]:
    tests, others = weight.tests, 1.0
    if intent.asks_for_tests:
        tests, others = 1.0, weight.not_tests
    prose = 1.0 if intent.asks_for_docs else weight.prose

    def factor(payload: PointPayload) -> float:
        n_lines = payload.end_line - payload.start_line + 1
        return (
            (tests if is_test_path(payload.path) else others)
            * (prose if is_prose(payload.language) else 1.0)
            * (weight.short if n_lines < _SHORT_LINES else 1.0)
        )

    return factor


def _share_named(intent: Intent, symbol: str) -> float:
    """Return how much of the innermost name the query says."""
    name = _stems(symbol.rpartition(".")[2])
    return len(intent.words & name) / len(name) if name else 0.0


def _is_name_of(intent: Intent, symbol: str) -> bool:
    name = _MEMBER.split(intent.text.lower().removesuffix("()"))[-1]
    symbols = symbol.lower().split(", ")
    return any(each.rpartition(".")[2] == name for each in symbols)


def _ends_path(intent: Intent, path: str) -> bool:
    return f"/{path.lower()}".endswith(f"/{intent.text.lower().strip('/')}")


@lru_cache(maxsize=65_536)
def _stems(name: str) -> frozenset[str]:
    return query_words(name)


def _best_possible(weight: Weights) -> float:
    """Return the score of a point that is first in every respect."""
    return (
        weight.meaning
        + weight.words
        + weight.file_meaning
        + weight.file_words
        + weight.neighbour
        + weight.path
        + weight.symbol
        + weight.named
        + weight.exact
    )


def _position(payload: PointPayload) -> tuple[str, int]:
    return payload.path, payload.start_line


def _place_order(point: ScoredPoint) -> tuple[float, str, int, str]:
    return (-point.score, *_position(point.payload), point.id)


def _order(ranked: Ranked) -> tuple[float, str, int, str]:
    """Best first; ties by place in the code, then by id."""
    return (-ranked.score, *_position(ranked.payload), ranked.id)
