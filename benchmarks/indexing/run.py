"""The measurements themselves; started by `python -m benchmarks.indexing`."""

import io
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

import httpx2
import numpy as np
import uvicorn
from django.core.management import call_command

from accounts.keys import create_key
from accounts.models import User
from aiassist.asgi import application
from benchmarks.indexing.corpus import installed_sources
from billing.models import Tier
from billing.subscriptions import change_tier
from tests.support.ports import free_port, wait_for
from workspaces.files import put_file
from workspaces.indexing import embedding, reuse
from workspaces.indexing.runner import run_next
from workspaces.models import IndexJob, Workspace
from workspaces.search import search
from workspaces.services import create_workspace
from workspaces.sync import commit_sync, start_sync, upload_files
from workspaces.vectors import close_store, get_store
from workspaces.vectors.base import EMBEDDING_DIM, Vector

EMBEDDED_FILES = int(os.environ.get("BENCH_EMBEDDED_FILES", "60"))
WORDS_FILES = int(os.environ.get("BENCH_WORDS_FILES", "2000"))
MANY_FILES = int(os.environ.get("BENCH_MANY_FILES", "10000"))
_PART_FILES = 500  # uploaded in one request


def main() -> None:
    """Print one line per figure."""
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench@localhost", full_name="Bench")
    change_tier(user, Tier.objects.get(pk="enterprise"), actor=None)
    embedding.embed_query("warm")
    _whole_job(user)
    _words_first(user)
    _many_files(user)
    print(f"memory of the process, at most: {_most_megabytes()} MB")
    close_store()


def _whole_job(user: User) -> None:
    files = installed_sources(EMBEDDED_FILES)
    workspace, _ = _committed(user, "whole", files)
    watch = Stopwatch()
    began = time.perf_counter()
    run_next(get_store, watch.step)
    seconds = time.perf_counter() - began
    job = _last_job(workspace)
    n_bytes = sum(map(len, files.values()))
    print(
        f"first index: {len(files)} files, {n_bytes / 1e6:.1f} MB, {job.chunks} chunks "
        f"in {seconds:.1f} s: {job.chunks / seconds:.1f} chunks/s, "
        f"{len(files) / seconds:.1f} files/s; by words after {watch.words:.2f} s; "
        f"embedding {watch.embedding / seconds:.0%} of the time"
    )
    began = time.perf_counter()
    again, _ = _committed(user, "again", files)
    run_next(get_store)
    print(
        f"the same files in a second workspace: {time.perf_counter() - began:.2f} s, "
        f"{_last_job(again).chunks_computed} passages computed"
    )


def _words_first(user: User) -> None:
    files = installed_sources(WORDS_FILES)
    workspace, seconds = _committed(user, "words", files)
    n_bytes = sum(map(len, files.values()))
    print(
        f"sync of {len(files)} files, {n_bytes / 1e6:.1f} MB, by the services: "
        f"{seconds:.1f} s"
    )
    workspace.refresh_from_db()
    began = time.perf_counter()
    outcome = search(workspaces=[workspace], query="retry delay", mode="keyword")
    found = outcome.index.state if outcome.index else ""
    print(
        f"the first search by words, no worker yet: {time.perf_counter() - began:.2f} s"
        f" after the commit, {len(outcome.hits)} hits, state {found}"
    )
    began = time.perf_counter()
    stop = StopAfterWords()
    try:
        run_next(get_store, stop.step)
    except Stopped:
        pass
    seconds = time.perf_counter() - began
    job = _last_job(workspace)
    print(
        f"words of {job.files_read} files ({job.chunks_total or stop.n_points} "
        f"passages): searchable after {seconds:.2f} s, the first after "
        f"{stop.first:.2f} s"
    )


def _many_files(user: User) -> None:
    """One changed file in ten thousand; the others' vectors are made up."""
    files = installed_sources(MANY_FILES)
    with _server() as address, _made_up_vectors():
        workspace = create_workspace(user=user, name="many")
        key = create_key(user, "bench")[1]
        with httpx2.Client(
            base_url=f"{address}/api/v1/workspaces/{workspace.pk}",
            headers={"X-API-Key": key},
            timeout=120,
        ) as client:
            seconds = _timed(lambda: _sync(client, files))
            print(f"sync of {len(files)} files over loopback: {seconds:.1f} s")
            seconds = _timed(lambda: _run_all())
            workspace.refresh_from_db()
            print(
                f"index of them without the model: {seconds:.1f} s, "
                f"{workspace.n_chunks} passages"
            )
    _one_change(workspace, files)
    _rename(workspace, files)


def _one_change(workspace: Workspace, files: dict[str, bytes]) -> None:
    path = next(p for p, data in files.items() if 4_000 < len(data) < 12_000)
    marker = "incrementally_found_marker"
    data = files[path] + f"\n\ndef {marker}():\n    return 1\n".encode()
    began = time.perf_counter()
    put_file(workspace=workspace, path=path, data=data)
    _run_all()
    workspace.refresh_from_db()
    hits = search(workspaces=[workspace], query=marker, mode="keyword").hits
    seconds = time.perf_counter() - began
    job = _last_job(workspace)
    assert hits and hits[0].path == path
    print(
        f"one file of {len(files)} changed: found after {seconds:.2f} s, "
        f"{job.chunks_computed} passages computed"
    )


def _rename(workspace: Workspace, files: dict[str, bytes]) -> None:
    folder = next(iter(files)).partition("/")[0]
    moved = {
        (f"moved/{path}" if path.startswith(f"{folder}/") else path): data
        for path, data in files.items()
    }
    n_moved = len(set(moved) - set(files))
    _commit(workspace, moved)
    seconds = _timed(_run_all)
    job = _last_job(workspace)
    print(
        f"a folder of {n_moved} files renamed: {seconds:.2f} s, "
        f"{job.chunks_computed} passages computed"
    )


class Stopwatch:
    """Adds up what a job spends where, by its steps."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.words = 0.0
        self.embedding = 0.0
        self._since = 0.0

    def step(self, name: str) -> None:
        moment = time.perf_counter()
        if name == "words saved":
            self.words = moment - self.began
        if name == "before embed":
            self._since = moment
        if name == "before upsert":
            self.embedding += moment - self._since


class Stopped(BaseException):
    """The words are written; the rest is not measured."""


class StopAfterWords:
    """Ends a job when its second round would begin."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first = 0.0
        self.n_points = 0

    def step(self, name: str) -> None:
        if name == "words saved" and not self.first:
            self.first = time.perf_counter() - self.began
        if name == "before embed":
            raise Stopped


def _committed(
    user: User, name: str, files: dict[str, bytes]
) -> tuple[Workspace, float]:
    workspace = create_workspace(user=user, name=name)
    return workspace, _timed(lambda: _commit(workspace, files))


def _commit(workspace: Workspace, files: dict[str, bytes]) -> None:
    manifest = {path: sha256(data).hexdigest() for path, data in files.items()}
    plan = start_sync(workspace=workspace, manifest=manifest, delete_missing=True)
    for start in range(0, len(plan.missing), _PART_FILES):
        some = plan.missing[start : start + _PART_FILES]
        upload_files(
            workspace=workspace,
            sync=plan.sync,
            files=[(p, io.BytesIO(files[p]), len(files[p])) for p in some],
        )
    commit_sync(workspace=workspace, sync=plan.sync)


def _sync(client: httpx2.Client, files: dict[str, bytes]) -> None:
    manifest = {path: sha256(data).hexdigest() for path, data in files.items()}
    answer = client.post("/sync", json={"files": manifest, "delete_missing": True})
    answer.raise_for_status()
    plan = answer.json()
    for start in range(0, len(plan["missing"]), _PART_FILES):
        some = plan["missing"][start : start + _PART_FILES]
        parts = [(path, (path, files[path])) for path in some]
        client.post(f"/sync/{plan['sync_id']}/files", files=parts).raise_for_status()
    client.post(f"/sync/{plan['sync_id']}/commit").raise_for_status()


def _run_all() -> None:
    while run_next(get_store):
        pass


def _last_job(workspace: Workspace) -> IndexJob:
    job = IndexJob.objects.for_workspace(workspace).order_by("-created_at").first()
    assert job is not None
    return job


@contextmanager
def _made_up_vectors() -> Iterator[None]:
    """Let the model's part cost nothing: what is measured here does not need it."""

    def embed(texts: list[str]) -> Vector:
        rows = np.empty((len(texts), EMBEDDING_DIM), np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = int.from_bytes(sha256(text.encode()).digest()[:8], "little")
            row[:] = np.random.default_rng(seed).standard_normal(EMBEDDING_DIM)
            row /= np.linalg.norm(row)
        return rows

    before = embedding.embed_passages
    setattr(reuse, "embed_passages", embed)  # noqa: B010 - for the benchmark only
    try:
        yield
    finally:
        setattr(reuse, "embed_passages", before)  # noqa: B010


@contextmanager
def _server() -> Iterator[str]:
    """The whole site on a real socket."""
    port = free_port()
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, what="the ASGI server")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _most_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
