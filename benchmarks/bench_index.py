"""Splitting, embedding and searching the project's own sources.

`python -m benchmarks` prints one line per figure. What is measured twice is given as
the best of both runs, since other processes only ever make it slower.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np

from aiassist.lib.tokens import count_many
from workspaces.finding.intent import read_intent
from workspaces.finding.ranking import rank
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.embedding import (
    MODEL_NAME,
    embed_passages,
    embed_query,
    n_cores,
)
from workspaces.indexing.keywords import passage_terms, query_terms
from workspaces.indexing.splitting import split
from workspaces.vectors.base import EMBEDDING_DIM, Point, PointPayload, Vector
from workspaces.vectors.edge import EdgeStore

T = TypeVar("T")

_APPS = ("aiassist", "accounts", "billing", "workspaces", "assistant", "tests")
_EMBEDDED = 400
_POINTS = 20_000
_QUERIES = 50
_QUESTIONS = (
    "where is a token counted",
    "how are keys rotated",
    "EdgeStore",
    "which generation does a search see",
    "refuse an archive that is too large",
)


def main() -> None:
    """Print the figures."""
    print(f"embedding model {MODEL_NAME}, {n_cores()} cores")
    chunks = _split_own_sources()
    _embed([chunk.embedded_text for chunk in chunks])
    _search(chunks)


def _split_own_sources() -> list[Chunk]:
    root = Path(__file__).resolve().parents[1]
    files = [
        (str(path.relative_to(root)), path.read_text())
        for app in _APPS
        for path in sorted((root / app).rglob("*.py"))
    ]
    split(*files[0])  # load the tokenizer and the grammar
    seconds, chunks = _timed(lambda: [c for file in files for c in split(*file)])
    sizes = count_many([chunk.embedded_text for chunk in chunks])
    print(
        f"split: {len(files)} files into {len(chunks)} chunks of {np.mean(sizes):.0f} "
        f"tokens in {seconds:.2f} s ({len(chunks) / seconds:.0f} chunks/s)"
    )
    return chunks


def _embed(texts: list[str]) -> None:
    step = max(len(texts) // _EMBEDDED, 1)
    sample = texts[::step][:_EMBEDDED]
    embed_passages(sample[:16])
    seconds, vectors = min(
        (_timed(lambda: embed_passages(sample)) for _ in range(2)),
        key=lambda run: run[0],
    )
    alone = np.stack([embed_passages([text])[0] for text in sample[::8]])
    print(f"embed: {len(sample) / seconds:.1f} chunks/s ({len(sample)} chunks)")
    difference = np.abs(alone - vectors[::8])
    likeness = (alone * vectors[::8]).sum(axis=1)
    print(
        f"embed: alone against in a batch: cosine at least {likeness.min():.7f}, "
        f"largest difference {difference.max():.1e}"
    )
    times = [_timed(partial(embed_query, f"question {i}"))[0] for i in range(20)]
    print(f"embed: one query {np.median(times) * 1000:.1f} ms")


def _search(chunks: list[Chunk]) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((_POINTS, EMBEDDING_DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = [
        _point(number, vectors[number], chunks[number % len(chunks)])
        for number in range(_POINTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeStore(Path(folder))
        store.ensure("workspace_bench")
        seconds, _ = _timed(lambda: store.upsert("workspace_bench", points))
        print(f"store: {_POINTS} points written in {seconds:.1f} s")
        times = []
        for i in range(_QUERIES):
            question = f"{_QUESTIONS[i % len(_QUESTIONS)]} {i}"
            times.append(_timed(partial(_ask, store, question))[0])
        p50, p95 = np.percentile(times, [50, 95]) * 1000
        print(
            f"search: hybrid over {_POINTS} points, query embedding included: "
            f"p50 {p50:.1f} ms, p95 {p95:.1f} ms ({_QUERIES} queries)"
        )
        store.close()


def _ask(store: EdgeStore, question: str) -> None:
    name, vector, terms = (
        "workspace_bench",
        embed_query(question),
        query_terms(question),
    )
    dense = store.search_dense(name, vector, generation=1, limit=50)
    sparse = store.search_sparse(name, terms, generation=1, limit=50)
    rank(read_intent(question), dense, sparse)


def _point(number: int, vector: Vector, chunk: Chunk) -> Point:
    return Point(
        id=str(UUID(int=number)),
        dense=vector,
        sparse=passage_terms(chunk.text, chunk.path, chunk.symbol),
        payload=PointPayload(
            path=f"{number // 5000}/{chunk.path}",
            start_line=chunk.start_line,
            end_line=chunk.end_line,
            language=chunk.language,
            symbol=chunk.symbol,
            sha256="0" * 64,
            since=1,
        ),
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
