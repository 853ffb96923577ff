"""Search: what a question finds in one or many workspaces."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from workspaces.content.secrets import Concealed
from workspaces.content.storage import unpack
from workspaces.content.texts import NotIndexable, concealed
from workspaces.errors import VectorsUnavailable
from workspaces.finding.intent import Intent, read_intent
from workspaces.finding.ranking import Ranked, rank
from workspaces.finding.scanning import Scan, scan
from workspaces.finding.serving import Serving, degraded, serving
from workspaces.finding.showing import Shown, shown
from workspaces.ignoring.globs import glob_pattern
from workspaces.indexing.embedding import embed_query
from workspaces.indexing.keywords import query_terms
from workspaces.models import Blob, SourceFile, Workspace
from workspaces.vectors import get_store
from workspaces.vectors.base import (
    PointFilter,
    ScoredPoint,
    SparseVector,
    VectorStore,
)

MODES = ("hybrid", "semantic", "keyword")

# Of each search. What they hold of a file tells about the file: with 100, 2 % fewer of
# the right lines are shown; ranking 1,000 takes five times as long.
_CANDIDATES = 200
_OVERFETCH = 4  # candidates of each search per result asked for
_MOST_CANDIDATES = 400
_MOST_PATHS = 2000  # given to the engine; past that, candidates are sifted here
_SIFTED_CANDIDATES = 1000
_SWITCHES_FOLLOWED = 2  # of the generation, while one search runs


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found. `text` is exactly its lines, with recognised secrets hidden."""

    workspace_id: str
    path: str
    start_line: int  # 1-based, inclusive
    end_line: int
    language: str
    symbol: str
    score: float
    text: str
    sha256: str  # of the file's raw bytes
    generation: int
    served_by: str = "both"  # "keywords", "meaning" or "both"
    changed: bool = False  # the file holds these lines no more (see `citations`)


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Hits, best first, and how much of each workspace the search could see."""

    hits: list[Hit]
    took_ms: int
    indexes: dict[str, Serving] = field(default_factory=dict)  # by workspace id

    @property
    def index(self) -> Serving | None:
        """The index that served, where only one workspace was searched."""
        return next(iter(self.indexes.values())) if len(self.indexes) == 1 else None


@dataclass(frozen=True, slots=True)
class _Query:
    """A query, prepared once for all workspaces."""

    intent: Intent
    by_meaning: bool
    words: SparseVector | None  # None: not to be found by words
    max_results: int
    path_glob: str
    language: str

    @property
    def n_candidates(self) -> int:
        wanted = max(_CANDIDATES, _OVERFETCH * self.max_results)
        return min(wanted, _MOST_CANDIDATES)


def search(
    *,
    workspaces: Sequence[Workspace],
    query: str,
    max_results: int = 10,
    mode: str = "hybrid",
    path_glob: str = "",
    language: str = "",
) -> SearchOutcome:
    """Return the best passages for the query, over all of the workspaces.

    The caller has checked that the user may see them. Raises VectorsUnavailable.
    """
    began = time.perf_counter()
    indexes = {workspace.pk: serving(workspace) for workspace in workspaces}
    indexed = [w for w in workspaces if indexes[w.pk].state != "empty"]
    hits: list[Hit] = []
    if indexed:
        asked = _prepare(query, max_results, mode, path_glob, language)
        store = get_store()
        for workspace in indexed:
            found, index = _search_one(store, workspace, indexes[workspace.pk], asked)
            hits += found
            indexes[workspace.pk] = index
    hits.sort(key=lambda hit: -hit.score)
    took_ms = round((time.perf_counter() - began) * 1000)
    return SearchOutcome(hits[:max_results], took_ms, indexes)


def _prepare(
    query: str, max_results: int, mode: str, path_glob: str, language: str
) -> _Query:
    if path_glob:
        glob_pattern(path_glob)
    intent = read_intent(query)
    return _Query(
        intent=intent,
        by_meaning=mode != "keyword",
        words=None if mode == "semantic" else query_terms(query),
        max_results=max_results,
        path_glob=path_glob,
        language=language,
    )


def _search_one(
    store: VectorStore, workspace: Workspace, index: Serving, query: _Query
) -> tuple[list[Hit], Serving]:
    """Search one workspace; again where a new index was switched in meanwhile.

    Otherwise the points of the generation that was asked for might just be going.
    """
    for _ in range(_SWITCHES_FOLLOWED + 1):
        try:
            ranked = _candidates(store, workspace, index, query)
        except VectorsUnavailable:
            if query.words is None:
                raise
            ranked, index = _without_store(workspace, index, query)
        row = Workspace.objects.living().filter(pk=workspace.pk)
        now = row.values_list("generation", "preview_generation").first()
        if now == (workspace.generation, workspace.preview_generation):
            break
        fresh = row.first()
        if fresh is None:
            return [], index
        workspace, index = fresh, serving(fresh)
    passages = shown(
        query.intent,
        ranked,
        texts_of=partial(_texts, workspace),
        most=query.max_results,
    )
    return [_hit(workspace, index.generation, passage) for passage in passages], index


def _candidates(
    store: VectorStore, workspace: Workspace, index: Serving, query: _Query
) -> list[Ranked]:
    where = PointFilter(language=query.language)
    limit = query.n_candidates
    pattern = None
    if query.path_glob:
        pattern = glob_pattern(query.path_glob)
        paths = _matching_paths(workspace, query.path_glob)
        if not paths:
            return []
        if len(paths) <= _MOST_PATHS:
            where = replace(where, paths=tuple(paths))
        else:
            limit = _SIFTED_CANDIDATES
    sparse: list[ScoredPoint] = []
    if query.words is not None and index.generation:
        sparse = store.search_sparse(
            workspace.pk,
            query.words,
            generation=index.generation,
            limit=limit,
            where=where,
        )
    dense: list[ScoredPoint] = []
    # Another model's vectors stand for nothing: their workspace is being indexed anew.
    if query.by_meaning and index.dense_fits and index.generation:
        dense = store.search_dense(
            workspace.pk,
            embed_query(query.intent.text),
            generation=index.generation,
            limit=limit,
            where=where,
        )
    if query.words is not None and index.state == "building" and index.keywords < 1:
        unread = _scan(workspace, index.generation, query, where)
        sparse = sorted([*sparse, *unread.points], key=lambda point: -point.score)
    # Of an index that is not whole yet, few passages may have a vector.
    coverage = index.meaning if index.state == "building" else 1.0
    ranked = rank(query.intent, dense, sparse, coverage=coverage)
    if pattern is None:
        return ranked
    return [found for found in ranked if pattern.fullmatch(found.payload.path)]


def _without_store(
    workspace: Workspace, index: Serving, query: _Query
) -> tuple[list[Ranked], Serving]:
    """Search the files that the index shows, as its points are out of reach."""
    paths: tuple[str, ...] = ()
    if query.path_glob:
        paths = tuple(_matching_paths(workspace, query.path_glob))
        if not paths:
            return [], index
    where = PointFilter(language=query.language, paths=paths)
    found = _scan(workspace, workspace.generation, query, where)
    share = found.n_scanned / found.n_files if found.n_files else 0.0
    return rank(query.intent, [], found.points), degraded(index, share)


def _scan(
    workspace: Workspace, generation: int, query: _Query, where: PointFilter
) -> Scan:
    return scan(
        workspace,
        query.intent.text,
        generation=generation,
        limit=query.n_candidates,
        language=where.language,
        paths=where.paths,
    )


def _matching_paths(workspace: Workspace, glob: str) -> list[str]:
    pattern = glob_pattern(glob)
    paths = SourceFile.objects.for_workspace(workspace).values_list("path", flat=True)
    return [path for path in paths.iterator() if pattern.fullmatch(path)]


def _texts(workspace: Workspace, shas: Iterable[str]) -> dict[str, Concealed | None]:
    found: dict[str, Concealed | None] = dict.fromkeys(shas)
    blobs = Blob.objects.for_workspace(workspace).filter(sha256__in=list(found))
    for sha, packed, n_bytes in blobs.values_list("sha256", "content", "n_bytes"):
        try:
            found[sha] = concealed(unpack(packed, n_bytes))
        except NotIndexable:
            continue
    return found


def _hit(workspace: Workspace, generation: int, shown: Shown) -> Hit:
    payload = shown.found.payload
    return Hit(
        workspace_id=workspace.pk,
        path=payload.path,
        start_line=shown.start_line,
        end_line=shown.end_line,
        language=payload.language,
        symbol=payload.symbol,
        score=round(shown.found.score, 6),
        text=shown.text,
        sha256=payload.sha256,
        generation=generation,
        served_by=shown.found.served_by,
    )
