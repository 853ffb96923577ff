"""Which points belong to which generation, and how leftovers are put right.

Let V be the generation that searches see and G the one being built (G > V, never
given before). Building only adds points with `since=G`; `until=G` is set on points to
be dropped just before the switch, which is one transaction. Whatever stops the work
in between, this holds and `put_right` restores it:

- `since <= V < until`: visible; `until` below FOREVER was set by a build that never
  became visible, so it goes back to FOREVER;
- `since > V`: added by a build that never became visible, removed unless it is G;
- `until <= V`: dropped by a build that became visible, removed.

A settled point is visible and has `until == FOREVER`. The others are few and the
engine finds them by its indexes, so that looking for them costs what they are worth.
What each generation shows of a file is recorded in `IndexedFile`; `drift` compares.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

from workspaces.indexing.chunk import Chunk
from workspaces.indexing.embedding import MODEL_NAME
from workspaces.vectors.base import FOREVER, PointPayload, VectorStore

# Raised when the same file would be cut or embedded in another way than before.
SPLITTER_VERSION = 3
INDEX_VERSION = f"{MODEL_NAME}/{SPLITTER_VERSION}"
_BATCH = 500
_PATHS_ASKED = 100
_MANY_PATHS = 1000  # past that, one walk over everything is quicker

FileKey = tuple[str, str]  # path, sha256
Watch = Callable[[], None]  # called now and then during long work


def model_of(index_version: str) -> str:
    """Return the model that made the vectors of an index."""
    return index_version.rpartition("/")[0]


def put_right(
    store: VectorStore,
    workspace_id: str,
    *,
    visible: int,
    building: int | None,
    watch: Watch,
) -> int:
    """Remove and restore what earlier builds left; return how many points."""
    to_remove: list[str] = []
    to_restore: list[str] = []
    unsettled = store.unsettled(workspace_id, visible=visible, building=building)
    for point_id, payload in _watched(unsettled, watch):
        if payload.since <= visible < payload.until:
            to_restore.append(point_id)
        elif payload.since != building:
            to_remove.append(point_id)
    for ids in batches(to_remove):
        watch()
        store.delete(workspace_id, ids)
    for ids in batches(to_restore):
        watch()
        store.set_until(workspace_id, ids, FOREVER)
    return len(to_remove) + len(to_restore)


def visible_points_of(
    store: VectorStore,
    workspace_id: str,
    paths: Collection[str],
    *,
    visible: int,
    watch: Watch,
) -> list[str]:
    """Return the ids of the files' points that searches see."""
    found: list[str] = []
    for point_id, payload in _watched(_of_paths(store, workspace_id, paths), watch):
        if payload.since <= visible < payload.until and payload.path in paths:
            found.append(point_id)
    return found


def _of_paths(
    store: VectorStore, workspace_id: str, paths: Collection[str]
) -> Iterator[tuple[str, PointPayload]]:
    if len(paths) > _MANY_PATHS:
        yield from store.scroll(workspace_id)
        return
    wanted = sorted(paths)
    for start in range(0, len(wanted), _PATHS_ASKED):
        yield from store.of_paths(workspace_id, wanted[start : start + _PATHS_ASKED])


@dataclass(slots=True)
class Drift:
    """Where the vector store differs from the record."""

    ghosts: list[str] = field(default_factory=list)  # points of no recorded file
    visible: list[str] = field(default_factory=list)  # paths with points missing
    own: list[str] = field(default_factory=list)  # the same of the one being built


def drift(
    store: VectorStore,
    workspace_id: str,
    *,
    visible: int,
    building: int | None,
    shown: Mapping[FileKey, int],
    built: Mapping[FileKey, int],
    watch: Watch,
) -> Drift:
    """Compare every point with the record: files with their number of points.

    Points of neither generation are ghosts, too: `put_right` ran before.
    """
    found = Drift()
    counts: Counter[FileKey] = Counter()
    own_counts: Counter[FileKey] = Counter()
    for point_id, payload in _watched(store.scroll(workspace_id), watch):
        key = (payload.path, payload.sha256)
        if payload.since == building and key in built:
            own_counts[key] += 1
        elif payload.since <= visible < payload.until and key in shown:
            counts[key] += 1
        else:
            found.ghosts.append(point_id)
    found.visible = [key[0] for key, n in shown.items() if counts[key] != n]
    found.own = [key[0] for key, n in built.items() if own_counts[key] != n]
    return found


def point_ids(
    workspace_id: str, salt: str, chunks: Iterable[Chunk], sha256: str
) -> list[str]:
    """Return a UUID per chunk: the same content at the same place, the same id."""
    seen: Counter[tuple[int, int]] = Counter()
    ids = []
    for chunk in chunks:
        span = (chunk.start_line, chunk.end_line)
        seen[span] += 1
        name = (
            f"{workspace_id}\n{salt}\n{sha256}\n{chunk.path}\n"
            f"{span[0]}-{span[1]}.{seen[span]}"
        )
        ids.append(str(uuid5(NAMESPACE_URL, name)))
    return ids


def batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _watched(
    points: Iterator[tuple[str, PointPayload]], watch: Watch
) -> Iterator[tuple[str, PointPayload]]:
    for number, point in enumerate(points):
        if number % 2000 == 0:
            watch()
        yield point
