"""What both stores share: Qdrant's engine in this process, and a Qdrant server.

They differ in how a request is spoken, not in what is asked.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from workspaces.vectors.base import (
    ANYWHERE,
    PointFilter,
    PointPayload,
    ScoredPoint,
    SparseVector,
    Vector,
)

# Kept beside the payload, so that a filter costs what it finds.
INTEGER_INDEXES = ("since", "until")
KEYWORD_INDEXES = ("language", "path")
BATCH = 256  # points in one write
SCROLL = 1000  # points in one page
# Vectors are scanned as int8, a quarter of the memory to read, and what is found is put
# in order by the vectors as they are: of 200, the first ten are those of an exact scan.
QUANTILE = 0.99

Filter = TypeVar("Filter")


class EngineStore(ABC, Generic[Filter]):
    """The questions of a VectorStore, put to one engine or the other."""

    def search_dense(
        self,
        workspace_id: str,
        vector: Vector,
        *,
        generation: int,
        limit: int,
        where: PointFilter = ANYWHERE,
    ) -> list[ScoredPoint]:
        return self._search(workspace_id, vector, generation, limit, where)

    def search_sparse(
        self,
        workspace_id: str,
        vector: SparseVector,
        *,
        generation: int,
        limit: int,
        where: PointFilter = ANYWHERE,
    ) -> list[ScoredPoint]:
        if not vector.indices:
            return []
        return self._search(workspace_id, vector, generation, limit, where)

    def _search(
        self,
        workspace_id: str,
        vector: Vector | SparseVector,
        generation: int,
        limit: int,
        where: PointFilter,
    ) -> list[ScoredPoint]:
        """Ask without the filter first: hardly any point is hidden, mostly none.

        Where all that comes back is visible, the filter would have changed nothing, and
        the engine is much quicker without.
        """
        if where == ANYWHERE:
            found = self._nearest(workspace_id, vector, limit, None)
            if all(p.payload.since <= generation < p.payload.until for p in found):
                return found
        return self._nearest(
            workspace_id, vector, limit, self._visible(generation, where)
        )

    def scroll(self, workspace_id: str) -> Iterator[tuple[str, PointPayload]]:
        return self._scroll(workspace_id, None)

    def unsettled(
        self, workspace_id: str, *, visible: int, building: int | None
    ) -> Iterator[tuple[str, PointPayload]]:
        return self._scroll(workspace_id, self._unsettled(visible, building))

    def of_paths(
        self, workspace_id: str, paths: Sequence[str]
    ) -> Iterator[tuple[str, PointPayload]]:
        return self._scroll(workspace_id, self._among(paths))

    @abstractmethod
    def _nearest(
        self,
        workspace_id: str,
        vector: Vector | SparseVector,
        limit: int,
        where: Filter | None,
    ) -> list[ScoredPoint]:
        """Best points by the vector of that kind; [] where there is no collection."""

    @abstractmethod
    def _scroll(
        self, workspace_id: str, where: Filter | None
    ) -> Iterator[tuple[str, PointPayload]]:
        """Every point that passes, in id order."""

    @abstractmethod
    def _visible(self, generation: int, where: PointFilter) -> Filter:
        """Points of the generation that the searcher asked for.

        Said by what they are not: hardly any point is refused, and the engine is
        quicker when it looks for those few.
        """

    @abstractmethod
    def _unsettled(self, visible: int, building: int | None) -> Filter:
        """Points above `visible` or below FOREVER, those of `building` left out."""

    @abstractmethod
    def _among(self, paths: Sequence[str]) -> Filter:
        """Points of these files."""
