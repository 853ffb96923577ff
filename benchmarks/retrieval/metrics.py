"""How good an answer is, and how sure we may be of a difference.

- file MRR@10: one over the place of the first right file among the files shown;
- file recall@10: how many of the right files are among the first ten files;
- lines@10: the share of the answer's lines that the first ten hits show;
- lines in 200: the same for the first 200 lines shown, which is what fits in a prompt.

Where a query has several answers, the one that is shown best counts.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.queries import Query, Span

NAMES = ("file MRR@10", "file recall@10", "lines@10", "lines in 200")
N_HITS = 30  # asked of each design
_N_FILES = 10
_N_CITED = 10
_N_LINES = 200
_RESAMPLES = 4000

Scores = NDArray[np.float64]  # queries × metrics; NaN where a metric says nothing


def judge(query: Query, hits: Sequence[Span]) -> list[float]:
    """Return the metrics of one answer, in the order of NAMES."""
    files = list(dict.fromkeys(hit.path for hit in hits))[:_N_FILES]
    places = [n for n, path in enumerate(files, start=1) if path in query.files]
    found = len(query.files.intersection(files)) / len(query.files)
    lines = [float("nan")] * 2
    if query.answers:
        shown = _first_lines(hits, _N_LINES)
        lines = [_coverage(query, hits[:_N_CITED]), _coverage(query, shown)]
    return [1 / places[0] if places else 0.0, found, *lines]


def interval(values: Scores) -> tuple[float, float, float]:
    """Return the mean and its 95 % bootstrap interval."""
    known = values[~np.isnan(values)]
    if not len(known):
        return (float("nan"),) * 3
    rng = np.random.default_rng(7)
    picks = rng.integers(0, len(known), (_RESAMPLES, len(known)))
    low, high = np.percentile(known[picks].mean(axis=1), [2.5, 97.5])
    return float(known.mean()), float(low), float(high)


def table(rows: Mapping[str, Scores]) -> Iterable[str]:
    """Yield a Markdown table, a design a row."""
    yield f"| design | {' | '.join(NAMES)} |"
    yield f"| --- |{' --- |' * len(NAMES)}"
    for name, scores in rows.items():
        cells = []
        for column in scores.T:
            mean, low, high = interval(column)
            cells.append(f"{_short(mean)} ± {_short((high - low) / 2)}")
        yield f"| {name} | {' | '.join(cells)} |"


def difference(one: Scores, other: Scores) -> str:
    """Say how much better the first is, on the same queries."""
    cells = []
    for name, column in zip(NAMES, (one - other).T, strict=True):
        mean, low, high = interval(column)
        cells.append(f"{name} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    return ", ".join(cells)


def _short(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}".replace("0.", ".", 1)


def _first_lines(hits: Sequence[Span], most: int) -> list[Span]:
    shown, n_lines = [], 0
    for hit in hits:
        end = min(hit.end, hit.start + most - n_lines - 1)
        if end < hit.start:
            break
        shown.append(Span(hit.path, hit.start, end))
        n_lines += end - hit.start + 1
    return shown


def _coverage(query: Query, hits: Iterable[Span]) -> float:
    shown: dict[str, set[int]] = {}
    for hit in hits:
        shown.setdefault(hit.path, set()).update(range(hit.start, hit.end + 1))
    return max(
        len(answer.lines & shown.get(answer.path, set())) / len(answer.lines)
        for answer in query.answers
    )
