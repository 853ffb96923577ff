"""One run: every design on every query, then the tables."""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from accounts.models import User
from benchmarks.retrieval.baselines import Baselines, Ranking
from benchmarks.retrieval.metrics import NAMES, Scores, difference, judge, table
from benchmarks.retrieval.product import forget, product, put_files, scratch_user
from benchmarks.retrieval.queries import queries_of
from benchmarks.retrieval.repositories import REPOSITORIES, Repository, open_checkout
from benchmarks.retrieval.vectors import VectorCache

# What a person types in; the other kinds are shown beside it.
_MAIN_KINDS = ("docstring", "commit", "question")
_PRODUCT = "the product"
Row = tuple[str, str, str]  # half, kind, query id


class Run:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._kinds = set(filter(None, options.kinds.split(",")))
        self._vectors = VectorCache(options.cache / "vectors.sqlite3")
        self._scores: defaultdict[str, dict[Row, list[float]]] = defaultdict(dict)

    def measure(self) -> None:
        with scratch_user() as user:
            for repository in REPOSITORIES:
                if self._options.half not in ("both", repository.half):
                    continue
                parts = self._options.only.split(",")
                if any(part in repository.name for part in parts):
                    self._measure(user, repository)

    def report(self) -> None:
        rows = {row for scores in self._scores.values() for row in scores}
        for half in sorted({row[0] for row in rows}):
            kinds = sorted({row[1] for row in rows if row[0] == half})
            main = [kind for kind in _MAIN_KINDS if kind in kinds]
            self._print(half, "all of " + ", ".join(main), main)
            for kind in kinds:
                self._print(half, kind, [kind])
        self._compare()

    def _measure(self, user: User, repository: Repository) -> None:
        checkout = open_checkout(
            repository, self._options.repositories, self._options.cache
        )
        queries = queries_of(checkout)
        wanted = [
            query
            for query in queries.queries
            if not self._kinds or query.kind in self._kinds
        ]
        for stripped in (False, True):
            asked = [q for q in wanted if (q.kind == "docstring") == stripped]
            if not asked:
                continue
            files = queries.stripped if stripped else checkout.files
            designs = self._designs(user, f"{repository.name} {stripped}", files)
            print(
                f"{repository.name}: {len(files)} files, {len(asked)} queries"
                f"{' without docstrings' if stripped else ''}",
                file=sys.stderr,
            )
            for query in asked:
                row = (repository.half, query.kind, f"{repository.name} {query.id}")
                for name, design in designs.items():
                    self._scores[name][row] = judge(query, design(query.text))
            forget(user)

    def _designs(
        self, user: User, name: str, files: dict[str, str]
    ) -> dict[str, Ranking]:
        workspace = put_files(user, name, files, self._vectors)
        designs: dict[str, Ranking] = {}
        if not self._options.product_only:
            designs |= Baselines(files, self._vectors).designs()
        without = self._options.without
        designs = {n: d for n, d in designs.items() if not without or without not in n}
        return designs | {_PRODUCT: product(workspace, self._options.mode)}

    def _print(self, half: str, title: str, kinds: list[str]) -> None:
        found: dict[str, Scores] = {}
        for name, scores in self._scores.items():
            chosen = [
                v for row, v in scores.items() if row[0] == half and row[1] in kinds
            ]
            if chosen:
                found[name] = np.array(chosen)
        n_queries = len(next(iter(found.values()), []))
        print(f"\n### {half}: {title} ({n_queries} queries)\n")
        for line in table(found):
            print(line)

    def _compare(self) -> None:
        product_scores = self._scores[_PRODUCT]
        if self._options.save:
            _save(self._options.save, product_scores)
        others: dict[str, dict[Row, list[float]]] = {
            name: scores for name, scores in self._scores.items() if name != _PRODUCT
        }
        if self._options.against:
            others["the kept scores"] = _load(self._options.against)
        for name, scores in others.items():
            print(f"\nthe product minus: {name}")
            for half in sorted({row[0] for row in product_scores}):
                for kinds in (
                    _MAIN_KINDS,
                    *((kind,) for kind in _kinds(product_scores)),
                ):
                    rows = [
                        row
                        for row in product_scores
                        if row in scores and row[0] == half and row[1] in kinds
                    ]
                    if rows:
                        one = np.array([product_scores[row] for row in rows])
                        other = np.array([scores[row] for row in rows])
                        label = kinds[0] if len(kinds) == 1 else "main"
                        print(f"- {half}, {label}: {difference(one, other)}")


def _kinds(scores: dict[Row, list[float]]) -> list[str]:
    return sorted({row[1] for row in scores})


def _save(file: Path, scores: dict[Row, list[float]]) -> None:
    file.write_text(
        json.dumps([[*row, *_plain(values)] for row, values in scores.items()])
    )


def _load(file: Path) -> dict[Row, list[float]]:
    return {
        (row[0], row[1], row[2]): [np.nan if v is None else v for v in row[3:]]
        for row in json.loads(file.read_text())
    }


def _plain(values: list[float]) -> list[float | None]:
    assert len(values) == len(NAMES)
    return [None if np.isnan(value) else value for value in values]
