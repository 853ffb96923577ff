"""`python -m benchmarks.retrieval --tune`: find the ranking's weights.

Coordinate search on the development half alone: one weight after the other takes the
value that answers best, round after round, until nothing helps. The candidates come
out of the real store once; the ranking and the choice of what is shown are run again.
With `--mode keyword` the weights of an index without vectors. Prints the weights for
`workspaces/finding/ranking.py`; it changes no file.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256

import numpy as np

from benchmarks.retrieval.metrics import N_HITS, judge
from benchmarks.retrieval.product import forget, put_files, scratch_user
from benchmarks.retrieval.queries import Query, Span, queries_of
from benchmarks.retrieval.repositories import REPOSITORIES, open_checkout
from benchmarks.retrieval.vectors import VectorCache
from workspaces.content.secrets import Concealed
from workspaces.finding.intent import Kind, read_intent
from workspaces.finding.ranking import Weights, rank, weight_for
from workspaces.finding.showing import Texts, shown
from workspaces.indexing.embedding import embed_query
from workspaces.indexing.keywords import query_terms
from workspaces.models import Workspace
from workspaces.vectors import get_store
from workspaces.vectors.base import ScoredPoint

_CANDIDATES = 200
_ROUNDS = 2
_LEAST_GAIN = 5e-4
_STEPS: Mapping[str, Sequence[float]] = {
    **dict.fromkeys(("meaning",), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)),
    **dict.fromkeys(
        ("words", "file_meaning", "file_words", "symbol", "exact"),
        (0.0, 0.2, 0.4, 0.6, 1.0, 1.4, 2.0, 3.0),
    ),
    **dict.fromkeys(("neighbour", "path", "named"), (0.0, 0.1, 0.2, 0.4, 0.6)),
    **dict.fromkeys(
        ("tests", "not_tests", "prose", "short"), (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    ),
}
# Hand-written questions count double: they are what people type.
_IMPORTANCE = defaultdict(lambda: 1.0, question=2.0, tests=0.5)


class _Kept(Concealed):
    """Remembers what it has shown: the same passages are looked at again and again."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._kept = cache(super().lines)

    def lines(self, first: int, last: int) -> str:
        return self._kept(first, last)


@dataclass(frozen=True)
class _Case:
    query: Query
    dense: list[ScoredPoint]
    sparse: list[ScoredPoint]
    texts: Texts

    def texts_of(self, shas: AbstractSet[str]) -> Texts:
        return self.texts


def tune(options: argparse.Namespace) -> None:
    """Print the weights found for each kind of query."""
    cases = _cases(options)
    for kind in Kind:
        mine = [c for c in cases if read_intent(c.query.text).kind == kind]
        if not mine:
            continue
        best = weight_for(kind, 0.0 if options.mode == "keyword" else 1.0)
        score = _score(mine, best)
        print(f"{kind}: {len(mine)} queries, {score:.4f} with the present weights")
        for _ in range(_ROUNDS):
            for name, steps in _STEPS.items():
                for step in steps:
                    tried = replace(best, **{name: step})
                    found = _score(mine, tried)
                    if found > score + _LEAST_GAIN:
                        best, score = tried, found
        print(f"{kind}: {score:.4f} with {asdict(best)}", flush=True)


def _cases(options: argparse.Namespace) -> list[_Case]:
    vectors = VectorCache(options.cache / "vectors.sqlite3")
    cases: list[_Case] = []
    with scratch_user() as user:
        for repository in REPOSITORIES:
            if repository.half != "development":
                continue
            checkout = open_checkout(repository, options.repositories, options.cache)
            asked = queries_of(checkout)
            for stripped in (False, True):
                files = asked.stripped if stripped else checkout.files
                workspace = put_files(user, repository.name, files, vectors)
                texts = {
                    sha256(text.encode()).hexdigest(): _Kept(text)
                    for text in files.values()
                }
                cases += [
                    _case(workspace, query, texts, options.mode)
                    for query in asked.queries
                    if (query.kind == "docstring") == stripped
                ]
                forget(user)
    return cases


def _case(workspace: Workspace, query: Query, texts: Texts, mode: str) -> _Case:
    store, name = get_store(), workspace.pk
    dense: list[ScoredPoint] = []
    if mode != "keyword":
        vector = embed_query(query.text)
        dense = store.search_dense(name, vector, generation=1, limit=_CANDIDATES)
    terms = query_terms(query.text)
    sparse = store.search_sparse(name, terms, generation=1, limit=_CANDIDATES)
    return _Case(query, dense, sparse, texts)


def _score(cases: Sequence[_Case], weight: Weights) -> float:
    """Return the mean of a query's metrics, weighed by the query's kind."""
    total = importance = 0.0
    for case in cases:
        intent = read_intent(case.query.text)
        ranked = rank(intent, case.dense, case.sparse, weight=weight)
        hits = shown(intent, ranked, texts_of=case.texts_of, most=N_HITS)
        spans = [
            Span(hit.found.payload.path, hit.start_line, hit.end_line) for hit in hits
        ]
        counts = _IMPORTANCE[case.query.kind]
        total += counts * float(np.nanmean(judge(case.query, spans)))
        importance += counts
    return total / importance
