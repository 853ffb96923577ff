"""A workspace full of slightly different copies of the given files, for measuring."""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from uuid import UUID

from django.utils import timezone

from workspaces.content.storage import pack
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.keywords import passage_terms
from workspaces.indexing.splitting import split
from workspaces.models import Blob, SourceFile, Workspace
from workspaces.vectors.base import (
    Point,
    PointPayload,
    SparseVector,
    Vector,
    VectorStore,
)

_WRITTEN = 2_000  # points at once
_CHANGED = 4  # every fourth line of a copy differs


def fill(
    store: VectorStore, workspace: Workspace, files: dict[str, str], vectors: Vector
) -> None:
    """Write one point per vector, and the files that they are passages of."""
    store.ensure(workspace.pk)
    passages = _passages(files)
    contents: dict[str, bytes] = {}
    for start in range(0, len(vectors), _WRITTEN):
        part = vectors[start : start + _WRITTEN]
        points = []
        for offset, (copy, chunk, terms) in enumerate(islice(passages, len(part))):
            path = f"copy{copy}/{chunk.path}"
            if path not in contents:
                contents[path] = _copy_of(files[chunk.path], copy)
            payload = _payload(chunk, path, _digest(contents[path]))
            number = UUID(int=start + offset + 1)
            points.append(Point(str(number), part[offset], terms, payload))
        store.upsert(workspace.pk, points)
    store.settle(workspace.pk)
    _keep(workspace, contents)


def _passages(files: dict[str, str]) -> Iterator[tuple[int, Chunk, SparseVector]]:
    copy = 0
    while True:
        for path, text in files.items():
            for chunk, terms in _cut(path, text):
                yield copy, chunk, terms
        copy += 1


@lru_cache(maxsize=4096)
def _cut(path: str, text: str) -> list[tuple[Chunk, SparseVector]]:
    return [
        (chunk, passage_terms(chunk.text, chunk.path, chunk.symbol))
        for chunk in split(path, text)
    ]


def _copy_of(text: str, copy: int) -> bytes:
    lines = text.split("\n")
    lines[::_CHANGED] = [f"{line}  # {copy}" for line in lines[::_CHANGED]]
    return "\n".join(lines).encode()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _payload(chunk: Chunk, path: str, digest: str) -> PointPayload:
    return PointPayload(
        path=path,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        language=chunk.language,
        symbol=chunk.symbol,
        sha256=digest,
        since=1,
        symbol_start=chunk.symbol_start,
        symbol_end=chunk.symbol_end,
    )


def _keep(workspace: Workspace, contents: dict[str, bytes]) -> None:
    now = timezone.now()
    Blob.objects.bulk_create(
        [
            Blob(
                workspace=workspace,
                sha256=_digest(data),
                content=pack(data),
                n_bytes=len(data),
            )
            for data in contents.values()
        ],
        ignore_conflicts=True,
        batch_size=100,
    )
    SourceFile.objects.bulk_create(
        [
            SourceFile(
                workspace=workspace,
                path=path,
                sha256=_digest(data),
                n_bytes=len(data),
                language="python",
                updated_at=now,
            )
            for path, data in contents.items()
        ],
        batch_size=100,
    )
