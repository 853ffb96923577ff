"""From a manifest's paths to chunks: contents in groups that fit in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workspaces.content.storage import unpack
from workspaces.content.texts import (
    MAX_TEXT_BYTES,
    TOO_LARGE,
    NotIndexable,
    indexable_text,
)
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.splitting import split
from workspaces.models import Blob, Workspace

_GROUP_BYTES = 8 * 1024 * 1024
_ROWS = 200


@dataclass(frozen=True, slots=True)
class CutFile:
    """One file's passages, or the reason why it has none."""

    path: str
    sha256: str
    n_bytes: int
    chunks: Sequence[Chunk]
    reason: str = ""  # "" and no chunks: an empty file


class Reader:
    """Reads a workspace's contents by hash and cuts them."""

    def __init__(self, workspace: Workspace) -> None:
        self._blobs = Blob.objects.for_workspace(workspace)

    def cut_all(self, files: Sequence[tuple[str, str]]) -> Iterator[CutFile]:
        """Yield each (path, sha256) cut, in order."""
        for start in range(0, len(files), _ROWS):
            some = files[start : start + _ROWS]
            shas = {sha for _, sha in some}
            sizes = dict(
                self._blobs.filter(sha256__in=shas).values_list("sha256", "n_bytes")
            )
            for group in _groups(some, sizes):
                contents = self._contents({sha for _, sha in group})
                for path, sha in group:
                    yield _cut(path, sha, contents.get(sha), sizes.get(sha))

    def cut(self, path: str, sha256: str) -> CutFile:
        """Cut one file."""
        (found,) = self.cut_all([(path, sha256)])
        return found

    def _contents(self, shas: set[str]) -> dict[str, bytes]:
        rows = self._blobs.filter(sha256__in=shas, n_bytes__lte=MAX_TEXT_BYTES)
        return {blob.sha256: unpack(blob.content, blob.n_bytes) for blob in rows}


def _cut(path: str, sha: str, data: bytes | None, n_bytes: int | None) -> CutFile:
    if not data:
        return CutFile(path, sha, n_bytes or 0, [], _absence(n_bytes))
    try:
        chunks = split(path, indexable_text(data))
    except NotIndexable as error:
        return CutFile(path, sha, len(data), [], error.sentence)
    return CutFile(path, sha, len(data), chunks)


def _absence(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "It was deleted while the workspace was indexed."
    if n_bytes > MAX_TEXT_BYTES:
        return TOO_LARGE
    return ""


def _groups(
    files: Sequence[tuple[str, str]], sizes: dict[str, int]
) -> Iterator[list[tuple[str, str]]]:
    """Cut the list so that a group's contents fit in memory together."""
    group: list[tuple[str, str]] = []
    held = 0
    for path, sha in files:
        n_bytes = min(sizes.get(sha, 0), MAX_TEXT_BYTES)
        if group and held + n_bytes > _GROUP_BYTES:
            yield group
            group, held = [], 0
        group.append((path, sha))
        held += n_bytes
    if group:
        yield group
