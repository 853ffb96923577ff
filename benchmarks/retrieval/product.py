"""The product itself: files in a workspace, then `workspaces.finding.search`.

Everything is real (the database, Qdrant's engine, the splitter, the ranking) but for
one shortcut: vectors come from the cache on disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from benchmarks.retrieval.baselines import Ranking
from benchmarks.retrieval.metrics import N_HITS
from benchmarks.retrieval.queries import Span
from benchmarks.retrieval.vectors import VectorCache
from workspaces.content.storage import pack
from workspaces.finding.search import search
from workspaces.indexing.generations import INDEX_VERSION, point_ids
from workspaces.indexing.keywords import passage_terms
from workspaces.indexing.languages import language_of
from workspaces.indexing.splitting import split
from workspaces.models import Blob, SourceFile, Workspace
from workspaces.services import create_workspace
from workspaces.vectors import close_store, get_store
from workspaces.vectors.base import Point, PointPayload


@contextmanager
def scratch_user() -> Iterator[User]:
    """Lend a user in the scratch database, who leaves nothing behind."""
    call_command("migrate", verbosity=0)
    User.objects.filter(email="bench@localhost").delete()
    user = User.objects.create_user("bench@localhost", full_name="Bench")
    try:
        yield user
    finally:
        forget(user)
        close_store()
        user.delete()


def put_files(
    user: User, name: str, files: dict[str, str], vectors: VectorCache
) -> Workspace:
    """Make a workspace of the files, as an index job would leave it."""
    workspace = create_workspace(user=user, name=Path(name).name[:100])
    contents = {path: text.encode() for path, text in files.items()}
    shas = {path: sha256(data).hexdigest() for path, data in contents.items()}
    now = timezone.now()
    Blob.objects.bulk_create(
        [
            Blob(
                workspace=workspace,
                sha256=shas[path],
                content=pack(data),
                n_bytes=len(data),
            )
            for path, data in contents.items()
        ],
        ignore_conflicts=True,
        batch_size=100,
    )
    SourceFile.objects.bulk_create(
        [
            SourceFile(
                workspace=workspace,
                path=path,
                sha256=shas[path],
                n_bytes=len(data),
                language=language_of(path, data[:4096]),
                updated_at=now,
            )
            for path, data in contents.items()
        ],
        batch_size=100,
    )
    store = get_store()
    store.ensure(workspace.pk)
    store.upsert(workspace.pk, _points(workspace, files, shas, vectors))
    workspace.generation = workspace.last_generation = 1
    workspace.index_version = INDEX_VERSION
    workspace.save(update_fields=["generation", "last_generation", "index_version"])
    return workspace


def forget(user: User) -> None:
    """Remove the user's workspaces: a tier holds only so many."""
    for workspace in Workspace.objects.for_user(user):
        get_store().drop(workspace.pk)
        workspace.delete()


def _points(
    workspace: Workspace,
    files: dict[str, str],
    shas: dict[str, str],
    vectors: VectorCache,
) -> list[Point]:
    chunks = {path: split(path, text) for path, text in files.items()}
    flat = [chunk for found in chunks.values() for chunk in found]
    ids = [
        point_id
        for path, found in chunks.items()
        for point_id in point_ids(workspace.pk, "bench", found, shas[path])
    ]
    dense = vectors.embed([chunk.embedded_text for chunk in flat])
    return [
        Point(
            id=point_id,
            dense=vector,
            sparse=passage_terms(chunk.text, chunk.path, chunk.symbol),
            payload=PointPayload(
                path=chunk.path,
                start_line=chunk.start_line,
                end_line=chunk.end_line,
                language=chunk.language,
                symbol=chunk.symbol,
                sha256=shas[chunk.path],
                since=1,
                symbol_start=chunk.symbol_start,
                symbol_end=chunk.symbol_end,
            ),
        )
        for chunk, point_id, vector in zip(flat, ids, dense, strict=True)
    ]


def product(workspace: Workspace, mode: str = "hybrid") -> Ranking:
    """Return the product's answers as a design."""

    def ranking(query: str) -> list[Span]:
        outcome = search(
            workspaces=[workspace], query=query, max_results=N_HITS, mode=mode
        )
        return [Span(hit.path, hit.start_line, hit.end_line) for hit in outcome.hits]

    return ranking
