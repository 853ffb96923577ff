"""Qdrant's engine in this process: one shard, in one folder, per workspace.

A shard locks its folder, so one process at a time may use it: this is the embedded
default's store, where the worker is a thread of the server. Writes go through the
engine's write-ahead log, so a killed process loses nothing that was acknowledged.

Source: https://qdrant.tech/documentation/edge/
"""

import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import qdrant_edge as edge

from workspaces.errors import VectorsUnavailable
from workspaces.vectors.base import (
    DENSE,
    EMBEDDING_DIM,
    FOREVER,
    SPARSE,
    Point,
    PointFilter,
    PointPayload,
    ScoredPoint,
    SparseVector,
    Vector,
    checked,
    payload_from,
    payload_to,
)
from workspaces.vectors.engine import (
    BATCH,
    INTEGER_INDEXES,
    KEYWORD_INDEXES,
    QUANTILE,
    SCROLL,
    EngineStore,
)

# Each index of an open shard takes megabytes, so there is none that nobody asks.
_INDEXES: dict[str, edge.IntegerIndexParams | edge.PayloadSchemaType] = {
    **dict.fromkeys(INTEGER_INDEXES, edge.IntegerIndexParams(lookup=False, range=True)),
    **dict.fromkeys(KEYWORD_INDEXES, edge.PayloadSchemaType.Keyword),
}
# Segments of more than so many KB (13,000 vectors) are kept as int8 besides. Scanning
# 100,000 of these takes a few ms, so that no graph is needed: building one takes both
# cores for a minute, and its answers are not quite the exact ones.
_QUANTISED_FROM_KB = 20_000
_NO_GRAPH = edge.HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10**9)
_OPTIMISE_FROM = 10_000  # points written since the last time, and a third of them all
_VACUUM_FROM = 5000  # deleted points between two clean-ups of a shard
# An open shard maps some 16 MB of files however small it is, and has threads.
_MOST_OPEN = 24
_DROPPED = ".dropped-"
_EXACTLY = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True))


@dataclass
class _Shard:
    """An open shard and the threads inside it."""

    engine: edge.EdgeShard
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    written: int = 0  # points since the engine last put its segments in order
    deleted: int = 0
    # One writer at a time: two would mix the parts of their batches.
    writing: threading.Lock = field(default_factory=threading.Lock)


class EdgeStore(EngineStore[edge.Filter]):
    """Shards are opened on first use; the longest unused ones are closed."""

    def __init__(
        self,
        folder: Path,
        *,
        most_open: int = _MOST_OPEN,
        idle_seconds: float = 600,
        optimise_from: int = _OPTIMISE_FROM,
    ) -> None:
        self._folder = folder
        self._most_open = most_open
        self._idle_seconds = idle_seconds
        self._optimise_from = optimise_from
        self._shards: OrderedDict[str, _Shard] = OrderedDict()
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_DROPPED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def ensure(self, workspace_id: str) -> None:
        path = self._path(workspace_id)
        with self._lock, _engine_errors():
            if not self._is_whole(path):
                self._create(path)

    def exists(self, workspace_id: str) -> bool:
        return self._is_whole(self._path(workspace_id))

    def upsert(self, workspace_id: str, points: Sequence[Point]) -> None:
        with self._write(workspace_id) as shard:
            for start in range(0, len(points), BATCH):
                batch = [_to_engine(p) for p in points[start : start + BATCH]]
                shard.engine.update(edge.UpdateOperation.upsert_points(batch))
            shard.written += len(points)
            if shard.written >= self._optimise_from:
                _optimise_if_grown(shard)

    def set_until(self, workspace_id: str, ids: Sequence[str], until: int) -> None:
        with self._write(workspace_id) as shard:
            for start in range(0, len(ids), SCROLL):
                # By filter, since by id the engine refuses a batch with unknown ids.
                known = edge.Filter(
                    must=[edge.HasIdCondition(set(ids[start : start + SCROLL]))]
                )
                shard.engine.update(
                    edge.UpdateOperation.set_payload_by_filter(known, {"until": until})
                )

    def delete(self, workspace_id: str, ids: Sequence[str]) -> None:
        with self._write(workspace_id) as shard:
            for start in range(0, len(ids), SCROLL):
                batch: list[int | UUID | str] = list(ids[start : start + SCROLL])
                shard.engine.update(edge.UpdateOperation.delete_points(batch))
            shard.deleted += len(ids)
            if shard.deleted >= _VACUUM_FROM:
                shard.engine.optimize()
                shard.deleted = 0

    def settle(self, workspace_id: str) -> None:
        """Quantise what came last too: as it is, it takes longer than all the rest.

        The engine knows what is not in order yet, whoever wrote it and when; where
        nothing is, this costs nothing.
        """
        with self._write(workspace_id) as shard:
            _optimise(shard)

    def _scroll(
        self, workspace_id: str, where: edge.Filter | None
    ) -> Iterator[tuple[str, PointPayload]]:
        offset: int | UUID | str | None = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=SCROLL,
                filter=where,
                with_payload=True,
                with_vector=False,
            )
            with self._read(workspace_id) as shard:
                if shard is None:
                    return
                records, offset = shard.engine.scroll(request)
            for record in records:
                yield str(record.id), payload_from(record.payload or {})
            if offset is None:
                return

    def count(self, workspace_id: str) -> int:
        with self._read(workspace_id) as shard:
            return shard.engine.count(edge.CountRequest(exact=True)) if shard else 0

    def drop(self, workspace_id: str) -> None:
        """Rename, then remove: a crash between leaves no half collection."""
        path = self._path(workspace_id)
        with self._lock:
            shard = self._shards.pop(workspace_id, None)
            if shard is not None:
                _close(shard)
            if not path.exists():
                return
            grave = self._folder / f"{_DROPPED}{uuid4().hex}"
            path.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def collections(self) -> Iterable[str]:
        return sorted(
            path.name
            for path in self._folder.glob("workspace_*")
            if self._is_whole(path)
        )

    def ping(self) -> None:
        if not self._folder.is_dir():
            raise VectorsUnavailable()

    def close(self) -> None:
        with self._lock:
            shards = list(self._shards.values())
            self._shards.clear()
            for shard in shards:
                _close(shard)

    def _path(self, workspace_id: str) -> Path:
        return self._folder / checked(workspace_id)

    @staticmethod
    def _is_whole(path: Path) -> bool:
        return (path / "edge_config.json").is_file()

    def _create(self, path: Path) -> None:
        """Build the shard beside its place and move it there whole."""
        building = self._folder / f"{_DROPPED}{uuid4().hex}"
        engine = edge.EdgeShard.create(str(building), _config())
        for name, kind in _INDEXES.items():
            engine.update(edge.UpdateOperation.create_field_index(name, kind))
        engine.flush()
        engine.close()
        if path.exists():
            shutil.rmtree(path)
        building.rename(path)

    def _nearest(
        self,
        workspace_id: str,
        vector: Vector | SparseVector,
        limit: int,
        where: edge.Filter | None,
    ) -> list[ScoredPoint]:
        with self._read(workspace_id) as shard:
            if shard is None:
                return []
            found = shard.engine.query(
                edge.QueryRequest(
                    limit=limit,
                    query=_query(vector),
                    filter=where,
                    with_payload=True,
                    params=_EXACTLY,
                )
            )
        return [
            ScoredPoint(str(p.id), p.score, payload_from(p.payload or {}))
            for p in found
        ]

    def _visible(self, generation: int, where: PointFilter) -> edge.Filter:
        hidden: list[edge.ConditionType] = [
            edge.FieldCondition("since", range=edge.RangeFloat(gt=generation)),
            edge.FieldCondition("until", range=edge.RangeFloat(lte=generation)),
        ]
        wanted: list[edge.ConditionType] = []
        if where.language:
            match = edge.MatchValue(where.language)
            wanted.append(edge.FieldCondition("language", match=match))
        if where.paths:
            any_path = edge.MatchAny(list(where.paths))
            wanted.append(edge.FieldCondition("path", match=any_path))
        return edge.Filter(must=wanted, must_not=hidden)

    def _unsettled(self, visible: int, building: int | None) -> edge.Filter:
        own: list[edge.ConditionType] = []
        if building is not None:
            own.append(_since(gte=building, lte=building))
        doomed = edge.FieldCondition("until", range=edge.RangeFloat(lt=FOREVER))
        return edge.Filter(should=[_since(gt=visible), doomed], must_not=own)

    def _among(self, paths: Sequence[str]) -> edge.Filter:
        these = edge.FieldCondition("path", match=edge.MatchAny(any=list(paths)))
        return edge.Filter(must=[these])

    @contextmanager
    def _read(self, workspace_id: str) -> Iterator[_Shard | None]:
        """Lend the shard, or None where there is none."""
        path = self._path(workspace_id)
        with _engine_errors():
            with self._lock:
                shard = self._open(workspace_id, path)
                if shard is not None:
                    shard.users += 1
            if shard is None:
                yield None
                return
            try:
                yield shard
            finally:
                with self._lock:
                    shard.users -= 1
                    shard.used_at = time.monotonic()

    @contextmanager
    def _write(self, workspace_id: str) -> Iterator[_Shard]:
        with self._read(workspace_id) as shard:
            if shard is None:
                raise VectorsUnavailable("The workspace has no search index.")
            with shard.writing:
                yield shard

    def _open(self, workspace_id: str, path: Path) -> _Shard | None:
        """Return the shard, opened if need be; called under the lock."""
        shard = self._shards.get(workspace_id)
        if shard is None:
            if not self._is_whole(path):
                return None
            shard = _Shard(edge.EdgeShard.load(str(path), _config()))
            self._shards[workspace_id] = shard
        self._shards.move_to_end(workspace_id)
        self._close_unused(keep=workspace_id)
        return shard

    def _close_unused(self, keep: str) -> None:
        """Close what is idle for long, and the longest unused beyond the most."""
        idle_since = time.monotonic() - self._idle_seconds
        surplus = len(self._shards) - self._most_open
        for name, shard in list(self._shards.items()):
            if name == keep or shard.users:
                continue
            if surplus > 0 or shard.used_at < idle_since:
                del self._shards[name]
                _close(shard)
                surplus -= 1


def _query(vector: Vector | SparseVector) -> edge.Query:
    if isinstance(vector, SparseVector):
        terms = edge.SparseVector(vector.indices, vector.values)
        return edge.Query.Nearest(terms, using=SPARSE)
    return edge.Query.Nearest(vector.tolist(), using=DENSE)


def _optimise_if_grown(shard: _Shard) -> None:
    """Put segments in order, less and less often as the shard grows."""
    if shard.written * 3 >= shard.engine.count(edge.CountRequest(exact=False)):
        _optimise(shard)


def _optimise(shard: _Shard) -> None:
    shard.engine.optimize()
    shard.written = 0


def _close(shard: _Shard) -> None:
    with suppress(VectorsUnavailable), _engine_errors():
        shard.engine.flush()
        shard.engine.close()


def _config() -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={
            DENSE: edge.EdgeVectorParams(
                size=EMBEDDING_DIM,
                distance=edge.Distance.Cosine,
                hnsw_config=_NO_GRAPH,
                quantization_config=edge.ScalarQuantizationConfig(
                    edge.ScalarType.Int8, quantile=QUANTILE, memory=edge.Memory.Cached
                ),
                memory=edge.Memory.Cold,  # else an empty shard maps 32 MB of nothing
            )
        },
        sparse_vectors={
            SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)
        },
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_QUANTISED_FROM_KB),
        max_search_threads=len(os.sched_getaffinity(0)),
    )


def _to_engine(point: Point) -> edge.Point:
    sparse = edge.SparseVector(point.sparse.indices, point.sparse.values)
    vectors: dict[str, edge.NamedVector] = {SPARSE: sparse}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    return edge.Point(
        point.id,
        vectors,
        payload_to(point.payload),
    )


def _since(
    *, gt: float | None = None, gte: float | None = None, lte: float | None = None
) -> edge.FieldCondition:
    return edge.FieldCondition("since", range=edge.RangeFloat(gt=gt, gte=gte, lte=lte))


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn the engine's errors into ours; it raises bare Exception for all."""
    try:
        yield
    except Exception as error:
        if type(error) is Exception or isinstance(error, OSError):
            raise VectorsUnavailable() from error
        raise
