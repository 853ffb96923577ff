"""Stored files are searched by their words where no index can serve."""

import pytest

from workspaces.finding.scanning import scan
from workspaces.finding.search import search
from workspaces.indexing import pipeline
from workspaces.models import IndexJob

FILES = {
    "net/retry.py": "import time\n\n\n" + "x = 1\n" * 40 + "def retry_delay(n):\n"
    "    return 2**n\n",
    "net/client.py": "def get(url):\n    return open_retried(url)\n",
    "docs/notes.md": "# Notes\n\nNothing about it.\n",
}


def paths(outcome):
    return [hit.path for hit in outcome.hits]


def test_an_upload_is_searched_before_any_worker_has_seen_it(alice, indexer):
    indexer.put(alice.workspace, FILES)
    alice.workspace.refresh_from_db()

    outcome = search(workspaces=[alice.workspace], query="retry_delay")

    best = outcome.hits[0]
    assert (best.path, best.served_by) == ("net/retry.py", "keywords")
    assert "def retry_delay" in best.text
    assert outcome.index is not None
    assert (outcome.index.state, outcome.index.keywords) == ("building", 0.0)


def test_words_are_found_in_other_forms(alice, indexer):
    indexer.put(alice.workspace, FILES)

    found = scan(alice.workspace, "retries", generation=0, limit=9)

    assert {p.payload.path for p in found.points} == {"net/retry.py", "net/client.py"}
    assert (found.n_files, found.n_scanned) == (3, 3)


def test_half_read_files_come_from_the_index_and_the_rest_from_the_scan(
    alice, indexer, monkeypatch
):
    monkeypatch.setattr(pipeline, "BATCH_FILES", 1)
    monkeypatch.setattr(pipeline, "WORDS_AT_ONCE", 1)
    indexer.put(alice.workspace, FILES)

    class Stopped(BaseException):
        pass

    def stop(step):
        if step == "words saved" and IndexJob.objects.get().files_read == 2:
            raise Stopped

    with pytest.raises(Stopped):
        indexer.run(stop)
    alice.workspace.refresh_from_db()

    outcome = search(workspaces=[alice.workspace], query="retry", mode="keyword")

    assert set(paths(outcome)) == {"net/retry.py", "net/client.py"}
    spans = [(hit.path, hit.start_line) for hit in outcome.hits]
    assert len(spans) == len(set(spans))


def test_f8_a_scan_does_not_find_a_secret(alice, indexer):
    canary = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    indexer.put(alice.workspace, {"deploy.py": f'TOKEN = "{canary}"\nx = 1\n'})
    alice.workspace.refresh_from_db()

    outcome = search(workspaces=[alice.workspace], query=canary, mode="keyword")

    assert all(canary not in hit.text for hit in outcome.hits)
    assert paths(outcome) == []


def test_t6_a_scan_stays_in_its_workspace(alice, charlie, indexer):
    indexer.put(alice.workspace, FILES)
    indexer.put(charlie.workspace, {"own.py": "own = 1\n"})
    charlie.workspace.refresh_from_db()

    assert paths(search(workspaces=[charlie.workspace], query="retry_delay")) == []


def test_a_scan_is_narrowed_by_path_and_language(alice, indexer):
    indexer.put(alice.workspace, FILES)
    alice.workspace.refresh_from_db()

    def found(**options):
        return paths(search(workspaces=[alice.workspace], query="retry", **options))

    assert found(path_glob="net/client.py") == ["net/client.py"]
    assert found(language="markdown") == []


def test_the_time_is_bounded_and_the_share_told(alice, indexer, monkeypatch):
    monkeypatch.setattr("workspaces.finding.scanning._ROWS", 1)
    indexer.put(alice.workspace, FILES)

    found = scan(alice.workspace, "retry", generation=0, limit=9, seconds=0)

    assert (found.n_files, found.n_scanned) == (3, 1)
