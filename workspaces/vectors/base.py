"""The one door to Qdrant: what every vector store can do.

A call always names its workspace, which is also its collection. A point belongs to
the generations `since <= g < until`; searches name the generation that they see, so
that a new index becomes visible, whole, when the workspace's row says so.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from aiassist.lib.errors import NotFound

EMBEDDING_DIM = 384
DENSE, SPARSE = "dense", "sparse"  # the names of a collection's two vectors
FOREVER = 2**53 - 1  # `until` of a point that no generation has dropped

Vector = NDArray[np.float32]  # EMBEDDING_DIM floats, length 1


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term weights of a passage or query: equally long, indices unique (u32)."""

    indices: list[int]
    values: list[float]


# A search reads hundreds of these: as Structs they are made ten times as quickly as
# frozen dataclasses, and the garbage collector has nothing to walk.
class PointPayload(msgspec.Struct, frozen=True, gc=False):
    """What Qdrant keeps beside a vector. The text itself stays in the database."""

    path: str
    start_line: int  # 1-based, inclusive
    end_line: int  # inclusive
    language: str
    symbol: str  # dotted, "" where there is none
    sha256: str  # of the file's raw bytes
    since: int
    until: int = FOREVER
    symbol_start: int = 0  # the symbol's own lines, around these; 0: unknown
    symbol_end: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk as stored; `id` is a UUID, see `workspaces.indexing.pipeline`."""

    id: str
    dense: Vector | None  # None: to be found by its words only, for now
    sparse: SparseVector
    payload: PointPayload


class ScoredPoint(msgspec.Struct, frozen=True, gc=False):
    """A point found, best first; `score` is cosine (dense) or BM25 (sparse)."""

    id: str
    score: float
    payload: PointPayload


@dataclass(frozen=True, slots=True)
class PointFilter:
    """Beside the generation, what the searcher asked for."""

    language: str = ""
    paths: tuple[str, ...] = ()  # exact paths; empty means all


ANYWHERE = PointFilter()


class VectorStore(Protocol):
    """Raises VectorsUnavailable (a ServiceUnavailable) when Qdrant is away."""

    def ensure(self, workspace_id: str) -> None:
        """Create the collection (dense 384 cosine, sparse with IDF) unless there."""

    def exists(self, workspace_id: str) -> bool:
        """Tell whether the collection is there."""

    def upsert(self, workspace_id: str, points: Sequence[Point]) -> None:
        """Write points, durable on return; the same id twice is one point."""

    def set_until(self, workspace_id: str, ids: Sequence[str], until: int) -> None:
        """Set `until` of the points with these ids; unknown ids are ignored."""

    def delete(self, workspace_id: str, ids: Sequence[str]) -> None:
        """Remove points; unknown ids are ignored."""

    def settle(self, workspace_id: str) -> None:
        """Put what was written in order for searching: nothing more comes for now."""

    def search_dense(
        self,
        workspace_id: str,
        vector: Vector,
        *,
        generation: int,
        limit: int,
        where: PointFilter = ANYWHERE,
    ) -> list[ScoredPoint]:
        """Nearest points by cosine; [] where the collection is missing."""

    def search_sparse(
        self,
        workspace_id: str,
        vector: SparseVector,
        *,
        generation: int,
        limit: int,
        where: PointFilter = ANYWHERE,
    ) -> list[ScoredPoint]:
        """Best points by keywords; [] where the collection is missing."""

    def scroll(self, workspace_id: str) -> Iterator[tuple[str, PointPayload]]:
        """Every point's id and payload, in id order; nothing where missing."""

    def unsettled(
        self, workspace_id: str, *, visible: int, building: int | None
    ) -> Iterator[tuple[str, PointPayload]]:
        """As scroll: those with `since` above `visible` or `until` below FOREVER.

        Those with `since == building` are left out. Costs what it finds.
        """

    def of_paths(
        self, workspace_id: str, paths: Sequence[str]
    ) -> Iterator[tuple[str, PointPayload]]:
        """As scroll: those of these files, of all generations. Costs what it finds."""

    def count(self, workspace_id: str) -> int:
        """How many points of all generations; 0 where missing."""

    def drop(self, workspace_id: str) -> None:
        """Remove the collection and its data; a missing one is fine."""

    def collections(self) -> Iterable[str]:
        """Every workspace id that has a collection (for the reconciler)."""

    def ping(self) -> None:
        """Raise VectorsUnavailable unless the engine answers."""

    def close(self) -> None:
        """Flush and release files and sockets."""


_WORKSPACE_ID = re.compile(r"workspace_[a-zA-Z0-9_]{1,100}")


def checked(workspace_id: str) -> str:
    """Return the id, which is about to become a folder or part of a URL.

    Raises NotFound when it is no id: such a workspace cannot exist.
    """
    if not _WORKSPACE_ID.fullmatch(workspace_id):
        raise NotFound()
    return workspace_id


def payload_to(payload: PointPayload) -> dict[str, object]:
    """Return a payload as the engine keeps it."""
    return msgspec.structs.asdict(payload)


def payload_from(values: Mapping[str, Any]) -> PointPayload:
    """Rebuild a payload from what the engine returned."""
    return msgspec.convert(values, PointPayload)
