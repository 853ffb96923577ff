"""Ten thousand files by the script that users take, one change, a renamed folder.

The site answers on a real socket and a worker waits for jobs, as they do where it is
deployed; only the vectors of the ten thousand are made up, not of what changes.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from unittest import mock

import numpy as np
import uvicorn
from django.db import connection

from accounts.keys import create_key
from accounts.models import User
from aiassist.asgi import application
from benchmarks.indexing.corpus import installed_sources
from benchmarks.indexing.jobs import commit, last_job, timed
from tests.support.ports import free_port, wait_for
from workspaces.finding.search import search
from workspaces.indexing import reuse
from workspaces.indexing.runner import run_next
from workspaces.models import Workspace
from workspaces.vectors import get_store
from workspaces.vectors.base import EMBEDDING_DIM, Vector

MANY_FILES = int(os.environ.get("BENCH_MANY_FILES", "10000"))
_CLIENT = Path(__file__).resolve().parents[2] / "static/clients/aiassist_sync.py"
_LARGEST = 6_000  # bytes: what is measured is how many files there are
# Files but for every 50th are cut to so many bytes: a quick index; 0: all are whole.
_CUT_TO = int(os.environ.get("BENCH_MANY_CUT", "0"))
_MARKER = "incrementally_found_marker"
_LONGEST_SECONDS = 600


def many_files(user: User) -> None:
    files = _some_cut(installed_sources(MANY_FILES, _LARGEST))
    key = create_key(user, "bench")[1]
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as cache,
        _server() as address,
    ):
        for path, data in files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        client = _Client(folder, cache, address, key)
        began = time.perf_counter()
        workspace = client.sync("--create", "many")
        n_bytes = sum(map(len, files.values()))
        print(
            f"sync of {workspace.n_files:,} files, {n_bytes / 1e6:.0f} MB, by the "
            f"client over loopback: {time.perf_counter() - began:.1f} s"
        )
        with mock.patch.object(reuse, "embed_passage", _made_up):
            seconds = timed(_run_all)
        workspace.refresh_from_db()
        print(
            f"index of them without the model: {seconds:.1f} s, "
            f"{workspace.n_chunks:,} passages"
        )
        with _worker():
            _no_change(client, workspace)
            for number in range(3):
                _one_change(client, workspace, files, number)
    _rename(workspace, files)


def _some_cut(files: dict[str, bytes]) -> dict[str, bytes]:
    if not _CUT_TO:
        return files
    return {
        path: data if number % 50 == 0 else f"# {path}\n".encode() + data[:_CUT_TO]
        for number, (path, data) in enumerate(files.items())
    }


class _Client:
    """The script, as somebody would call it."""

    def __init__(self, folder: str, cache: str, address: str, key: str) -> None:
        self.folder = Path(folder)
        self._environment = {
            **os.environ,
            "AIASSIST_URL": address,
            "AIASSIST_KEY": key,
            "XDG_CACHE_HOME": cache,
        }

    def sync(self, *options: str) -> Workspace:
        done = subprocess.run(
            [sys.executable, _CLIENT, self.folder, "--no-wait", *options],
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return Workspace.objects.get(pk=json.loads(done.stdout)["workspace"])


def _no_change(client: _Client, workspace: Workspace) -> None:
    """Sync the folder as it is; from then on the client knows its files."""
    workspace.refresh_from_db()
    generation = workspace.generation
    seconds = timed(lambda: client.sync("--workspace", workspace.pk))
    print(f"sync of nothing new, the first since the upload: {seconds:.2f} s")
    _wait_for_switch(workspace, generation)


def _one_change(
    client: _Client, workspace: Workspace, files: dict[str, bytes], number: int
) -> None:
    """Change a file in the folder and sync it; print when a search finds the change."""
    fitting = [path for path, data in files.items() if 2_000 < len(data)]
    path, marker = fitting[number * 7], f"{_MARKER}_{number}"
    with (client.folder / path).open("a") as file:
        file.write(f"\n\ndef {marker}():\n    return 1\n")
    generation = workspace.generation
    began = time.perf_counter()
    client.sync("--workspace", workspace.pk)
    synced = time.perf_counter() - began
    _wait_for_switch(workspace, generation)
    wait_for(lambda: _finds(workspace, marker, path), seconds=60, what="the change")
    seconds = time.perf_counter() - began
    print(
        f"one file of {len(files):,} changed: found {seconds:.2f} s after the client "
        f"was started, {seconds - synced:.2f} s after it ended; "
        f"{last_job(workspace).chunks_computed} passages computed"
    )


def _wait_for_switch(workspace: Workspace, generation: int) -> None:
    """Ask what costs little: searches in a loop would hold up the worker's thread."""

    def is_switched() -> bool:
        workspace.refresh_from_db()
        return workspace.generation > generation

    wait_for(is_switched, seconds=60, what="the next generation")


def _finds(workspace: Workspace, marker: str, path: str) -> bool:
    workspace.refresh_from_db()
    hits = search(workspaces=[workspace], query=marker, mode="keyword").hits
    return bool(hits) and hits[0].path == path and marker in hits[0].text


def _rename(workspace: Workspace, files: dict[str, bytes]) -> None:
    folder = next(path.partition("/")[0] for path in files if path.count("/") > 1)
    moved = {
        (f"moved/{path}" if path.startswith(f"{folder}/") else path): data
        for path, data in files.items()
    }
    n_moved = len(set(moved) - set(files))
    commit(workspace, moved)
    seconds = timed(_run_all)
    job = last_job(workspace)
    print(
        f"a folder of {n_moved} files renamed: {seconds:.2f} s, "
        f"{job.chunks_computed} passages computed"
    )


def _run_all() -> None:
    while run_next(get_store):
        pass


def _made_up(text: str) -> Vector:
    """Stand in for the model, whose part is not what is measured."""
    seed = int.from_bytes(sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(EMBEDDING_DIM, np.float32)
    return vector / np.linalg.norm(vector)


@contextmanager
def _worker() -> Iterator[None]:
    """Take up jobs as soon as there are any, beside what else is done here."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if not run_next(get_store):
                over.wait(0.02)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LONGEST_SECONDS)


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
