"""A job's cost follows the change: counted in embedded passages and store calls."""

from collections import Counter

import pytest

from workspaces.content.files import put_file
from workspaces.indexing.runner import run_next
from workspaces.models import IndexJob


def module(n, body="value"):
    """Return a file of three functions that no other file holds."""
    return "".join(
        f"def work_{n}_{i}({body}):\n"
        + f"    {body} = {body} * {n} + {i} - len(str({body}))\n" * 7
        + f"    return {body}\n\n\n"
        for i in range(3)
    )


FILES = {f"{'pkg' if n % 2 else 'lib'}/mod_{n}.py": module(n) for n in range(8)}


class Counting:
    """A vector store that counts its calls and the points it passes on."""

    def __init__(self, store):
        self.store = store
        self.calls: Counter[str] = Counter()
        self.points = 0

    def __getattr__(self, name):
        method = getattr(self.store, name)

        def call(*args, **kwargs):
            self.calls[name] += 1
            if name == "upsert":
                self.points += len(args[1])
            return method(*args, **kwargs)

        return call


def last_job():
    return IndexJob.objects.latest("created_at")


def index_counting(indexer, workspace, files):
    indexer.put(workspace, files)
    store = Counting(indexer.store)
    while run_next(lambda: store):
        pass
    workspace.refresh_from_db()
    return last_job(), store


def test_one_changed_file_embeds_only_its_changed_passages(alice, indexer):
    first = indexer.index(alice.workspace, FILES)
    assert first.chunks_computed == first.chunks == 24

    changed = {**FILES, "pkg/mod_3.py": FILES["pkg/mod_3.py"].replace("work_3_1", "xx")}
    job, store = index_counting(indexer, alice.workspace, changed)

    assert job.chunks_computed == 1
    assert store.points == 3  # the file's own
    assert store.calls["scroll"] == 0  # nobody walks over the whole index
    assert (job.files_total, job.files_done, job.chunks) == (8, 8, 24)
    indexer.assert_clean(alice.workspace)


def test_a_renamed_file_embeds_nothing(alice, indexer):
    indexer.index(alice.workspace, FILES)
    moved = {path.replace("/", "/core/"): text for path, text in FILES.items()}

    job, store = index_counting(indexer, alice.workspace, moved)

    assert job.chunks_computed == 0
    assert store.points == job.chunks == 24
    assert {path for path, *_ in indexer.visible(alice.workspace)} == set(moved)
    indexer.assert_clean(alice.workspace)


def test_a_file_moved_and_edited_embeds_only_what_was_edited(alice, indexer):
    indexer.index(alice.workspace, FILES)
    files = dict(FILES)
    text = files.pop("pkg/mod_3.py")
    files["elsewhere/mod_3.py"] = text.replace("work_3_1", "xx")

    job, _ = index_counting(indexer, alice.workspace, files)

    assert job.chunks_computed == 1
    indexer.assert_clean(alice.workspace)


def test_switching_branches_back_and_forth_embeds_nothing_twice(alice, indexer):
    main = FILES
    branch = {**FILES, "pkg/mod_1.py": module(101), "pkg/new.py": module(102)}
    indexer.index(alice.workspace, main)
    job, _ = index_counting(indexer, alice.workspace, branch)
    assert job.chunks_computed == 6

    for files in (main, branch, main):
        job, _ = index_counting(indexer, alice.workspace, files)
        assert job.chunks_computed == 0
        assert {p for p, *_ in indexer.visible(alice.workspace)} == set(files)
        indexer.assert_clean(alice.workspace)


def test_the_store_is_asked_as_often_whatever_the_workspace_holds(alice, indexer):
    calls = []
    for size in (2, 8):
        indexer.index(alice.workspace, dict(list(FILES.items())[:size]))
        put_file(workspace=alice.workspace, path="lib/mod_0.py", data=b"x = 1\n")
        store = Counting(indexer.store)
        while run_next(lambda: store):  # noqa: B023
            pass
        calls.append(store.calls)

    assert calls[0] == calls[1]


@pytest.mark.parametrize("lost", [1, 24])
def test_a_job_notices_that_the_store_lost_points_and_heals_it(alice, indexer, lost):
    indexer.index(alice.workspace, FILES)
    ids = [point_id for point_id, _ in indexer.store.scroll(alice.workspace.pk)]
    indexer.store.delete(alice.workspace.pk, ids[:lost])

    job, _ = index_counting(indexer, alice.workspace, {**FILES, "n.py": "n = 1\n"})

    assert (job.state, job.chunks_computed) == ("succeeded", 1)
    assert len(indexer.visible(alice.workspace)) == 25
    indexer.assert_clean(alice.workspace)
