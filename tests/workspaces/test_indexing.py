"""From an accepted job to a generation that searches see."""

import pytest

from workspaces.content.files import delete_file, put_file
from workspaces.errors import JobNotActive
from workspaces.finding.search import search
from workspaces.indexing.runner import next_job, run_next
from workspaces.jobs.queue import cancel_job, request_rebuild
from workspaces.models import Blob, ChunkEmbedding, IndexJob
from workspaces.services import create_workspace

AUTH = "def sign_in(user, password):\n    return check_password(user, password)\n"
SUMS = "def add_numbers(a, b):\n    return a + b\n"


def found(workspace, query, **options):
    workspace.refresh_from_db()
    hits = search(workspaces=[workspace], query=query, **options).hits
    return [hit.path for hit in hits]


def test_an_uploaded_file_is_found(alice, indexer):
    job = indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS})

    assert (job.state, job.files_total, job.files_done) == ("succeeded", 2, 2)
    assert job.error == ""
    workspace = alice.workspace
    assert (workspace.status, workspace.generation, workspace.n_chunks) == (
        "ready",
        1,
        2,
    )
    assert workspace.last_indexed_at is not None
    assert found(workspace, "how do users log in")[0] == "auth.py"
    assert found(workspace, "add_numbers", mode="keyword") == ["sums.py"]
    indexer.assert_clean(workspace)


def test_a_hit_shows_exactly_its_lines(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH})

    (hit,) = search(workspaces=[alice.workspace], query="sign in", max_results=1).hits

    assert (hit.start_line, hit.path, hit.language) == (1, "auth.py", "python")
    assert hit.text.rstrip("\n") == AUTH.rstrip("\n")
    assert (hit.workspace_id, hit.generation) == (alice.workspace.pk, 1)


def test_only_what_changed_is_embedded_again(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS})
    before = set(ChunkEmbedding.objects.values_list("pk", flat=True))
    points = dict(indexer.store.scroll(alice.workspace.pk))

    indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS + "X = 1\n"})

    assert alice.workspace.generation == 2
    after = dict(indexer.store.scroll(alice.workspace.pk))
    kept = [i for i, p in after.items() if p.path == "auth.py"]
    assert kept == [i for i, p in points.items() if p.path == "auth.py"]
    assert ChunkEmbedding.objects.exclude(pk__in=before).count() == 1
    indexer.assert_clean(alice.workspace)


def test_the_same_passage_is_embedded_once_per_user_and_never_shared(
    alice, charlie, indexer
):
    indexer.index(alice.workspace, {"auth.py": AUTH})
    indexer.index(charlie.workspace, {"auth.py": AUTH})
    assert ChunkEmbedding.objects.for_user(alice.user).count() == 1
    assert ChunkEmbedding.objects.for_user(charlie.user).count() == 1

    indexer.index(alice.workspace, {"sums.py": SUMS})
    indexer.index(alice.workspace, {"auth.py": AUTH})
    assert ChunkEmbedding.objects.for_user(alice.user).count() == 2


def test_a_removed_file_is_not_found_any_more(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS})

    indexer.index(alice.workspace, {"auth.py": AUTH})

    assert "sums.py" not in found(alice.workspace, "add numbers")
    indexer.assert_clean(alice.workspace)


def test_a_deleted_file_is_gone_from_answers_before_the_next_index(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS})

    delete_file(workspace=alice.workspace, path="sums.py")

    assert "sums.py" not in found(alice.workspace, "add numbers")
    indexer.run()
    indexer.assert_clean(alice.workspace)


def test_j7_the_old_lines_are_found_until_the_new_index_is_switched_in(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH})
    put_file(workspace=alice.workspace, path="auth.py", data=SUMS.encode())

    (hit,) = search(workspaces=[alice.workspace], query="sign in").hits
    assert hit.text.startswith("def sign_in")

    indexer.run()
    alice.workspace.refresh_from_db()
    (hit,) = search(workspaces=[alice.workspace], query="sign in").hits
    assert hit.text.startswith("def add_numbers")
    assert Blob.objects.retired().count() == 0


def test_an_emptied_workspace_finds_nothing(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH})
    delete_file(workspace=alice.workspace, path="auth.py")
    indexer.run()

    assert found(alice.workspace, "sign in") == []
    assert indexer.store.count(alice.workspace.pk) == 0


def test_a_rebuild_makes_every_point_anew_while_the_old_ones_serve(alice, indexer):
    indexer.index(alice.workspace, {"auth.py": AUTH, "sums.py": SUMS})
    before = {i for i, _ in indexer.store.scroll(alice.workspace.pk)}
    request_rebuild(workspace=alice.workspace)

    def still_found(step):
        if step == "after upsert":
            assert found(alice.workspace, "sign in")[0] == "auth.py"

    indexer.run(still_found)

    after = {i for i, _ in indexer.store.scroll(alice.workspace.pk)}
    assert len(after) == 2
    assert not before & after
    indexer.assert_clean(alice.workspace)


def test_t6_a_search_never_leaves_its_workspace(alice, charlie, indexer):
    indexer.index(alice.workspace, {"alices.py": AUTH})
    indexer.index(charlie.workspace, {"charlies.py": AUTH})

    for mode in ("hybrid", "semantic", "keyword"):
        assert found(charlie.workspace, "sign in", mode=mode) == ["charlies.py"]
        for hostile in ("**/charlies.py", "../**", "/**/charlies.py", "?harlies.py"):
            seen = found(alice.workspace, "sign in", mode=mode, path_glob=hostile)
            assert seen == [], (mode, hostile)
        all_files = found(alice.workspace, "sign in", mode=mode, path_glob="**")
        assert all_files == ["alices.py"]


def test_search_narrows_by_path_and_language(alice, indexer):
    indexer.index(
        alice.workspace,
        {"src/auth.py": AUTH, "lib/sums.go": "package sums\n// add numbers\n"},
    )

    assert found(alice.workspace, "numbers", path_glob="src/**") == ["src/auth.py"]
    assert found(alice.workspace, "sign in", path_glob="*.go") == ["lib/sums.go"]
    assert found(alice.workspace, "sign in", language="go") == ["lib/sums.go"]
    assert found(alice.workspace, "sign in", path_glob="nowhere/") == []


def test_f5_hostile_text_is_skipped_with_a_reason(alice, indexer):
    files: dict[str, bytes] = {
        "ok.py": AUTH.encode(),
        "empty.py": b"",
        "bom.py": b"\xef\xbb\xbf" + SUMS.encode(),
        "utf16.py": SUMS.encode("utf-16"),
        "broken.py": b"x = '" + bytes(range(128, 200)) + b"\xff\xfe'",
        "nul.py": b"x = 1\n" * 2000 + b"\x00",
        "long.js": b"x" * 900_000,
        "minified.js": (b"a=1;" * 200 + b"\n") * 20,
        "deep.json": b"[" * 100_000 + b"]" * 100_000,
        "deep.py": b"(" * 15_000 + b")" * 4_000,
    }
    job = indexer.put(alice.workspace, {"ok.py": AUTH})
    for path, data in files.items():
        put_file(
            workspace=alice.workspace,
            path=path,
            data=data,
        )
    indexer.run()
    job.refresh_from_db()

    assert job.state == "succeeded", job.error
    reasons = {entry["path"]: entry["reason"] for entry in job.skipped}
    assert {"broken.py", "nul.py", "long.js", "minified.js", "deep.json"} <= set(
        reasons
    )
    assert all(reason.endswith(".") for reason in reasons.values())
    indexed = {path for path, *_ in indexer.visible(alice.workspace)}
    assert {"ok.py", "bom.py", "utf16.py"} <= indexed


def test_f8_a_secret_is_neither_embedded_nor_shown(alice, indexer):
    canary = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    indexer.index(alice.workspace, {"deploy.py": f'TOKEN = "{canary}"\n' + AUTH})

    (hit,) = search(workspaces=[alice.workspace], query="token").hits
    assert canary not in hit.text
    assert "[hidden: GitHub token]" in hit.text
    assert found(alice.workspace, canary, mode="keyword") == []


def test_cancelling_a_waiting_job_ends_it_at_once(alice, indexer):
    job = indexer.put(alice.workspace, {"auth.py": AUTH})

    cancel_job(job=job)

    job.refresh_from_db()
    alice.workspace.refresh_from_db()
    assert (job.state, alice.workspace.status) == ("cancelled", "empty")
    assert indexer.run() == 0
    with pytest.raises(JobNotActive):
        cancel_job(job=job)


def test_j7_cancelling_a_running_job_keeps_the_old_index_and_leaves_no_points(
    alice, indexer
):
    indexer.index(alice.workspace, {"auth.py": AUTH})
    job = indexer.put(alice.workspace, {"sums.py": SUMS})

    def cancel(step):
        if step == "after upsert":
            cancel_job(job=IndexJob.objects.get(pk=job.pk))

    indexer.run(cancel)

    job.refresh_from_db()
    alice.workspace.refresh_from_db()
    assert job.state == "cancelled"
    assert alice.workspace.status == "ready"
    assert {path for path, *_ in indexer.visible(alice.workspace)} == {"auth.py"}
    assert found(alice.workspace, "sign in") == ["auth.py"]
    indexer.assert_clean(alice.workspace)


def test_files_uploaded_while_a_job_runs_are_indexed_by_the_next(alice, indexer):
    job = indexer.put(alice.workspace, {"auth.py": AUTH})

    def upload(step):
        if step == "after upsert" and not IndexJob.objects.exclude(pk=job.pk).exists():
            put_file(workspace=alice.workspace, path="sums.py", data=SUMS.encode())
            put_file(workspace=alice.workspace, path="more.py", data=b"m = 1\n")

    indexer.run(upload)

    assert IndexJob.objects.count() == 2
    assert {path for path, *_ in indexer.visible(alice.workspace)} == {
        "auth.py",
        "sums.py",
        "more.py",
    }
    indexer.assert_clean(alice.workspace)


def test_j9_one_users_flood_does_not_starve_anothers_single_job(
    alice, charlie, indexer
):
    for n in range(4):
        flood = create_workspace(user=alice.user, name=f"{n}")
        indexer.put(flood, {"a.py": f"x = {n}\n"})
    run_next(lambda: indexer.store)  # the flood is being worked off already
    single = indexer.put(charlie.workspace, {"b.py": "y = 1\n"})

    assert next_job() == single
