"""A Qdrant server, spoken to by qdrant-client over REST.

Its address is the operator's (QDRANT_URL), never a user's, so these calls may stay
outside `aiassist.lib.egress`: the client carries its own transport.

Source: https://api.qdrant.tech/api-reference
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ParamSpec, TypeVar

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

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

P = ParamSpec("P")
R = TypeVar("R")

_INDEXES = {
    **dict.fromkeys(INTEGER_INDEXES, models.PayloadSchemaType.INTEGER),
    **dict.fromkeys(KEYWORD_INDEXES, models.PayloadSchemaType.KEYWORD),
}
_QUANTISATION = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(
        type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True
    )
)
# The server builds graphs as it sees fit; so wide a search finds what a scan would.
_EXACTLY = models.SearchParams(
    hnsw_ef=400,
    quantization=models.QuantizationSearchParams(rescore=True),
)
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.2


def connect(url: str, *, api_key: str, timeout_seconds: int) -> QdrantClient:
    """Return a client that has asked the server nothing yet."""
    return QdrantClient(
        url=url,
        api_key=api_key or None,
        timeout=timeout_seconds,
        prefer_grpc=False,
        check_compatibility=False,
    )


class ServerStore(EngineStore[models.Filter]):
    """One collection per workspace. Every call may be repeated, so we retry."""

    def __init__(
        self,
        client: QdrantClient,
        *,
        attempts: int = _ATTEMPTS,
        pause: float | None = None,
    ) -> None:
        self._client = client
        self._attempts = attempts
        self._pause_seconds = _PAUSE_SECONDS if pause is None else pause

    def ensure(self, workspace_id: str) -> None:
        name = checked(workspace_id)
        if self._call(self._client.collection_exists, name):
            return
        self._call(self._create, name)
        for key, kind in _INDEXES.items():
            self._call(self._index, name, key, kind)

    def exists(self, workspace_id: str) -> bool:
        name = checked(workspace_id)
        return self._call(self._client.collection_exists, name)

    def upsert(self, workspace_id: str, points: Sequence[Point]) -> None:
        name = checked(workspace_id)
        for start in range(0, len(points), BATCH):
            batch = [_to_engine(p) for p in points[start : start + BATCH]]
            self._call(self._client.upsert, name, batch, wait=True)

    def set_until(self, workspace_id: str, ids: Sequence[str], until: int) -> None:
        name = checked(workspace_id)
        for batch in _batches(ids):
            # By filter, since by id the engine refuses a batch with unknown ids.
            known = models.Filter(must=[models.HasIdCondition(has_id=batch)])
            self._call(
                self._client.set_payload, name, {"until": until}, known, wait=True
            )

    def delete(self, workspace_id: str, ids: Sequence[str]) -> None:
        name = checked(workspace_id)
        for batch in _batches(ids):
            these = models.PointIdsList(points=batch)
            self._call(self._client.delete, name, these, wait=True)

    def settle(self, workspace_id: str) -> None:
        """A server does so by itself."""

    def _scroll(
        self, workspace_id: str, where: models.Filter | None
    ) -> Iterator[tuple[str, PointPayload]]:
        name = checked(workspace_id)
        offset: models.ExtendedPointId | None = None
        while True:
            page = self._unless_missing(
                self._client.scroll,
                name,
                scroll_filter=where,
                limit=SCROLL,
                offset=offset,
            )
            records, offset = page or ([], None)
            for record in records:
                yield str(record.id), payload_from(record.payload or {})
            if offset is None:
                return

    def count(self, workspace_id: str) -> int:
        name = checked(workspace_id)
        result = self._unless_missing(self._client.count, name, exact=True)
        return result.count if result else 0

    def drop(self, workspace_id: str) -> None:
        name = checked(workspace_id)
        self._unless_missing(self._client.delete_collection, name)

    def collections(self) -> Iterable[str]:
        names = self._call(self._client.get_collections).collections
        return sorted(c.name for c in names if c.name.startswith("workspace_"))

    def ping(self) -> None:
        _once(self._client.get_collections)

    def close(self) -> None:
        self._client.close()

    def _create(self, name: str) -> bool:
        try:
            return self._client.create_collection(
                name,
                vectors_config={
                    DENSE: models.VectorParams(
                        size=EMBEDDING_DIM,
                        distance=models.Distance.COSINE,
                        quantization_config=_QUANTISATION,
                    )
                },
                sparse_vectors_config={
                    SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
            )
        except (UnexpectedResponse, ValueError):
            # Two workers may create it at once; the second finds it there.
            if self._client.collection_exists(name):
                return True
            raise

    def _index(self, name: str, key: str, kind: models.PayloadSchemaType) -> None:
        self._client.create_payload_index(name, key, field_schema=kind, wait=True)

    def _nearest(
        self,
        workspace_id: str,
        vector: Vector | SparseVector,
        limit: int,
        where: models.Filter | None,
    ) -> list[ScoredPoint]:
        query: models.SparseVector | list[float]
        if isinstance(vector, SparseVector):
            using = SPARSE
            query = models.SparseVector(indices=vector.indices, values=vector.values)
        else:
            using, query = DENSE, vector.tolist()
        found = self._unless_missing(
            self._client.query_points,
            checked(workspace_id),
            query=query,
            using=using,
            limit=limit,
            query_filter=where,
            search_params=_EXACTLY if using == DENSE else None,
            with_payload=True,
        )
        return [
            ScoredPoint(str(p.id), p.score, payload_from(p.payload or {}))
            for p in (found.points if found else [])
        ]

    def _visible(self, generation: int, where: PointFilter) -> models.Filter:
        hidden: list[models.Condition] = [
            models.FieldCondition(key="since", range=models.Range(gt=generation)),
            models.FieldCondition(key="until", range=models.Range(lte=generation)),
        ]
        wanted: list[models.Condition] = []
        if where.language:
            match = models.MatchValue(value=where.language)
            wanted.append(models.FieldCondition(key="language", match=match))
        if where.paths:
            wanted.append(_one_of(where.paths))
        return models.Filter(must=wanted, must_not=hidden)

    def _unsettled(self, visible: int, building: int | None) -> models.Filter:
        own: list[models.Condition] = []
        if building is not None:
            match = models.MatchValue(value=building)
            own = [models.FieldCondition(key="since", match=match)]
        return models.Filter(
            should=[
                models.FieldCondition(key="since", range=models.Range(gt=visible)),
                models.FieldCondition(key="until", range=models.Range(lt=FOREVER)),
            ],
            must_not=own,
        )

    def _among(self, paths: Sequence[str]) -> models.Filter:
        return models.Filter(must=[_one_of(paths)])

    def _unless_missing(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R | None:
        """Return None where the collection is missing."""
        try:
            return self._call(call, *args, **kwargs)
        except _Missing:
            return None

    def _call(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call, trying again when the server was away. Raises VectorsUnavailable."""
        for attempt in range(1, self._attempts):
            try:
                return _once(call, *args, **kwargs)
            except _Missing:
                raise
            except VectorsUnavailable:
                time.sleep(self._pause_seconds * attempt)
        return _once(call, *args, **kwargs)


class _Missing(VectorsUnavailable):
    """The collection is not there."""

    message = "The workspace has no search index."


def _once(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return call(*args, **kwargs)
    except UnexpectedResponse as error:
        if error.status_code == 404:
            raise _Missing() from None
        # The answer may quote what was sent, so it stays out of our error's chain.
        raise VectorsUnavailable(status=error.status_code) from None
    except (ApiException, ResponseHandlingException, OSError) as error:
        raise VectorsUnavailable() from error
    except ValueError as error:
        # What qdrant-client's local mode raises instead of a 404.
        if "not found" in str(error):
            raise _Missing() from None
        raise


def _batches(ids: Sequence[str]) -> Iterator[list[models.ExtendedPointId]]:
    for start in range(0, len(ids), SCROLL):
        yield list(ids[start : start + SCROLL])


def _to_engine(point: Point) -> models.PointStruct:
    sparse = models.SparseVector(
        indices=point.sparse.indices, values=point.sparse.values
    )
    vectors: dict[str, models.Vector] = {SPARSE: sparse}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    return models.PointStruct(
        id=point.id,
        vector=vectors,
        payload=payload_to(point.payload),
    )


def _one_of(paths: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key="path", match=models.MatchAny(any=list(paths)))
