"""One contract, every vector store: Edge, qdrant-client's local mode, a server.

A real Qdrant server joins in whenever QDRANT_URL is set.
"""

import os
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from http.server import ThreadingHTTPServer
from uuid import UUID, uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient

from aiassist.lib.errors import NotFound
from aiassist.lib.ids import new_id
from tests.fakes.qdrant_server import Handler
from tests.support.ports import free_port
from workspaces.errors import VectorsUnavailable
from workspaces.indexing.keywords import passage_terms, query_terms
from workspaces.vectors.base import (
    ANYWHERE,
    EMBEDDING_DIM,
    Point,
    PointFilter,
    PointPayload,
    VectorStore,
)
from workspaces.vectors.edge import EdgeStore
from workspaces.vectors.server import ServerStore, connect

KINDS = ["edge", "memory", "fake", *(["real"] if os.environ.get("QDRANT_URL") else [])]


@pytest.fixture(scope="module")
def fake_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=KINDS)
def store(request, tmp_path, fake_url):
    with warnings.catch_warnings():
        # The local mode says that it needs no payload indexes.
        warnings.simplefilter("ignore", UserWarning)
        opened = open_store(request.param, tmp_path, fake_url)
        yield opened
        opened.close()


def open_store(kind: str, folder, fake_url: str) -> VectorStore:
    if kind == "edge":
        return EdgeStore(folder)
    if kind == "memory":
        return ServerStore(QdrantClient(":memory:"))
    url = fake_url if kind == "fake" else os.environ["QDRANT_URL"]
    key = os.environ.get("QDRANT_API_KEY", "") if kind == "real" else ""
    return ServerStore(connect(url, api_key=key, timeout_seconds=10))


@pytest.fixture
def workspace(store):
    name = new_id("workspace")
    store.ensure(name)
    yield name
    store.drop(name)


def a_vector(seed: int):
    vector = np.random.default_rng(seed).standard_normal(EMBEDDING_DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def a_point(seed: int, *, path="a.py", language="python", since=1, text="") -> Point:
    return Point(
        id=str(UUID(int=seed)),
        dense=a_vector(seed),
        sparse=passage_terms(text or f"word{seed} common", path, ""),
        payload=PointPayload(path, 1, 9, language, "A.f", "0" * 64, since),
    )


def dense_ids(store, workspace, seed=1, *, generation=1, where=ANYWHERE):
    found = store.search_dense(
        workspace, a_vector(seed), generation=generation, limit=10, where=where
    )
    return [UUID(p.id).int for p in found]


def sparse_ids(store, workspace, query, *, generation=1, where=ANYWHERE):
    found = store.search_sparse(
        workspace, query_terms(query), generation=generation, limit=10, where=where
    )
    return [UUID(p.id).int for p in found]


def test_the_nearest_comes_first_with_its_payload(store, workspace):
    store.upsert(workspace, [a_point(seed) for seed in range(1, 9)])

    best = store.search_dense(workspace, a_vector(3), generation=1, limit=3)

    assert [UUID(best[0].id).int, len(best)] == [3, 3]
    assert best[0].score == pytest.approx(1.0, abs=1e-4)
    assert best[0].payload == a_point(3).payload


def test_rare_words_outweigh_common_ones(store, workspace):
    store.upsert(workspace, [a_point(seed) for seed in range(1, 9)])

    assert sparse_ids(store, workspace, "common word5")[0] == 5
    assert sparse_ids(store, workspace, "nowhere") == []


def test_a_generation_sees_its_own_points_only(store, workspace):
    """J7: the new index is seen whole or not at all."""
    store.upsert(workspace, [a_point(1), a_point(2), a_point(3, since=2)])
    store.set_until(workspace, [str(UUID(int=2)), str(uuid4())], 2)

    assert sorted(dense_ids(store, workspace, generation=1)) == [1, 2]
    assert sorted(dense_ids(store, workspace, generation=2)) == [1, 3]
    assert 3 not in sparse_ids(store, workspace, "word3", generation=1)


def test_the_same_point_twice_is_one_point(store, workspace):
    """J3."""
    for path in ("old.py", "new.py"):
        store.upsert(workspace, [a_point(1, path=path), a_point(2, path=path)])

    assert store.count(workspace) == 2
    assert {p.path for _, p in store.scroll(workspace)} == {"new.py"}


def test_filters_narrow_a_search(store, workspace):
    store.upsert(
        workspace,
        [
            a_point(1, path="a.py"),
            a_point(2, path="b.go", language="go"),
            a_point(3, path="c.go", language="go"),
        ],
    )

    assert sorted(dense_ids(store, workspace, where=PointFilter("go"))) == [2, 3]
    only_c = PointFilter(paths=("c.go", "missing"))
    assert dense_ids(store, workspace, where=only_c) == [3]
    assert dense_ids(store, workspace, where=PointFilter("python", ("c.go",))) == []


@pytest.mark.parametrize(
    "hostile",
    [
        PointFilter(language="*"),
        PointFilter(language="' OR 1=1 --"),
        PointFilter(paths=("../workspace_other/a.py", "*", "%")),
        PointFilter(paths=("\x00",)),
    ],
)
def test_no_filter_reaches_another_tenants_same_code(store, workspace, hostile):
    """T6: the same code in two tenants."""
    other = new_id("workspace")
    store.ensure(other)
    same = a_point(1)
    store.upsert(workspace, [same])
    store.upsert(other, [replace(same, id=str(UUID(int=99)))])

    assert dense_ids(store, workspace) == [1]
    assert sparse_ids(store, workspace, "common") == [1]
    assert dense_ids(store, workspace, where=hostile) == []
    store.drop(other)
    assert dense_ids(store, workspace) == [1]


@pytest.mark.parametrize(
    "name",
    ["", "..", "workspace_", "workspace_../x", "workspace_a\n", "workspace_a/b", "x"],
)
def test_a_name_that_is_no_id_never_reaches_the_engine(store, name):
    """T6, F2."""
    calls = [
        lambda: store.ensure(name),
        lambda: store.drop(name),
        lambda: store.count(name),
        lambda: list(store.scroll(name)),
        lambda: dense_ids(store, name),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_deleted_points_are_gone(store, workspace):
    store.upsert(workspace, [a_point(1), a_point(2)])
    store.delete(workspace, [str(UUID(int=1)), str(uuid4())])

    assert dense_ids(store, workspace) == [2]
    assert store.count(workspace) == 1


def test_scroll_gives_every_point_once(store, workspace):
    points = [a_point(seed) for seed in range(1, 1300)]
    store.upsert(workspace, points)

    ids = [point_id for point_id, _ in store.scroll(workspace)]

    assert ids == [p.id for p in points]


def test_a_dropped_workspace_is_empty_and_can_come_back(store, workspace):
    """J8."""
    store.upsert(workspace, [a_point(1)])
    assert workspace in store.collections()
    store.drop(workspace)
    store.drop(workspace)

    assert not store.exists(workspace)
    assert workspace not in store.collections()
    assert (store.count(workspace), list(store.scroll(workspace))) == (0, [])
    assert dense_ids(store, workspace) == []
    with pytest.raises(VectorsUnavailable):
        store.upsert(workspace, [a_point(1)])
    store.ensure(workspace)
    store.ensure(workspace)
    assert store.count(workspace) == 0


def test_threads_may_use_it_at_once(store, workspace):
    def write(part: int) -> None:
        store.upsert(workspace, [a_point(part * 100 + i) for i in range(1, 51)])
        dense_ids(store, workspace)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert store.count(workspace) == 200


def test_it_answers_a_ping(store):
    store.ping()


def test_a_server_that_is_away_is_told_within_seconds():
    """J7: refused connections."""
    url = f"http://127.0.0.1:{free_port()}"
    store = ServerStore(connect(url, api_key="", timeout_seconds=1))
    started = time.monotonic()

    for call in (store.ping, lambda: dense_ids(store, "workspace_a")):
        with pytest.raises(VectorsUnavailable):
            call()

    assert time.monotonic() - started < 10
    store.close()


WRITER = """
import os, sys
from pathlib import Path
import django; django.setup()
from tests.workspaces.test_vectors_contract import a_point
from workspaces.vectors.edge import EdgeStore
store = EdgeStore(Path(sys.argv[1]))
store.ensure("workspace_a")
store.upsert("workspace_a", [a_point(i) for i in range(1, 301)])
print("written", flush=True)
os.kill(os.getpid(), 9)
"""


def test_edge_keeps_what_it_acknowledged_after_kill_9(tmp_path):
    """J1."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("written\n", -9)

    store = EdgeStore(tmp_path)
    assert store.count("workspace_a") == 300
    assert dense_ids(store, "workspace_a", 7)[0] == 7
    store.close()


def test_settled_points_are_found_as_before(store, workspace):
    store.upsert(workspace, [a_point(seed) for seed in range(1, 30)])
    before = dense_ids(store, workspace)

    store.settle(workspace)

    assert dense_ids(store, workspace) == before


def test_edge_settles_what_another_process_wrote_before_it_died(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.vectors.edge._QUANTISED_FROM_KB", 100)
    store = EdgeStore(tmp_path)
    store.ensure("workspace_a")
    store.upsert("workspace_a", [a_point(seed) for seed in range(1, 124)])
    store.close()
    store = EdgeStore(tmp_path)
    store.upsert("workspace_a", [a_point(124)])

    store.settle("workspace_a")

    info = store._shards["workspace_a"].engine.info()
    assert info.points_count == 124
    assert info.indexed_vectors_count == 2 * 124  # dense ones as well as words
    store.close()


def test_edge_closes_the_longest_unused_and_opens_them_again(tmp_path):
    store = EdgeStore(tmp_path, most_open=2)
    names = [new_id("workspace") for _ in range(5)]
    for name in names:
        store.ensure(name)
        store.upsert(name, [a_point(1)])

    assert len(store._shards) <= 2
    assert [store.count(name) for name in names] == [1] * 5
    store.close()


def test_edge_says_so_when_another_owner_holds_the_folder(tmp_path):
    first, second = EdgeStore(tmp_path), EdgeStore(tmp_path)
    first.ensure("workspace_a")
    first.upsert("workspace_a", [a_point(1)])

    with pytest.raises(VectorsUnavailable):
        second.count("workspace_a")
    first.close()
    assert second.count("workspace_a") == 1
    second.close()
