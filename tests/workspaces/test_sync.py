"""Declare, upload, commit: the workspace changes in one step or not at all."""

from datetime import timedelta
from hashlib import sha256
from io import BytesIO

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aiassist.lib.errors import StorageExceeded, ValidationFailed
from billing.models import Tier
from workspaces.content.files import delete_file, put_file
from workspaces.errors import (
    ContentMismatch,
    FileRefused,
    FileTooLarge,
    IncompleteSync,
    PathRefused,
    SyncClosed,
    TooManyFiles,
)
from workspaces.models import Blob, IndexJob, SourceFile, Sync, SyncEntry, UserStorage
from workspaces.receiving.sync import (
    MAX_OPEN_SYNCS,
    commit_sync,
    expire_syncs,
    start_sync,
    upload_files,
)


def sha(data):
    return sha256(data).hexdigest()


def paths(workspace):
    rows = SourceFile.objects.for_workspace(workspace).order_by("path")
    return list(rows.values_list("path", flat=True))


def start(workspace, files, delete_missing=True):
    manifest = {path: sha(data) for path, data in files.items()}
    return start_sync(
        workspace=workspace, manifest=manifest, delete_missing=delete_missing
    )


def upload(workspace, plan, files):
    parts = [(path, BytesIO(data), len(data)) for path, data in files.items()]
    return upload_files(workspace=workspace, sync=plan.sync, files=parts)


def synced(workspace, files):
    plan = start(workspace, files)
    upload(workspace, plan, {p: d for p, d in files.items() if p in plan.missing})
    return commit_sync(workspace=workspace, sync=plan.sync)


def put(workspace, path, data):
    """Put a file that changes something, return the job's id."""
    job = put_file(workspace=workspace, path=path, data=data).job
    assert job is not None
    return job.pk


def used(person):
    return UserStorage.objects.get(user=person.user).n_bytes


def test_a_sync_changes_the_workspace_at_its_commit_alone(alice, queue):
    files = {"a.py": b"x = 1\n", "b.py": b"y = 2\n"}
    plan = start(alice.workspace, files)
    assert (plan.missing, plan.deleted, plan.unchanged) == (["a.py", "b.py"], 0, 0)

    assert upload(alice.workspace, plan, files) == ["a.py", "b.py"]
    assert paths(alice.workspace) == []
    assert queue.names == []

    job = commit_sync(workspace=alice.workspace, sync=plan.sync)
    assert paths(alice.workspace) == ["a.py", "b.py"]
    assert queue.sent == [("workspaces.index", {"job_id": job.pk})]
    assert SyncEntry.objects.count() == 0


def test_a_second_sync_asks_for_what_changed_alone(alice):
    synced(alice.workspace, {"a.py": b"1", "b.py": b"2", "c.py": b"3"})

    plan = start(alice.workspace, {"a.py": b"1", "b.py": b"new", "d.py": b"3"})

    assert plan.missing == ["b.py"]
    assert (plan.deleted, plan.unchanged) == (1, 1)


def test_it_refuses_a_missing_file_by_name(alice, queue):
    files = {"a.py": b"1", "b.py": b"2"}
    plan = start(alice.workspace, files)
    upload(alice.workspace, plan, {"a.py": b"1"})

    with pytest.raises(IncompleteSync) as refused:
        commit_sync(workspace=alice.workspace, sync=plan.sync)
    assert refused.value.details == {"missing": ["b.py"], "n_missing": 1}
    assert "'b.py'" in refused.value.sentence
    assert paths(alice.workspace) == []
    assert queue.names == []


def test_committing_twice_gives_the_same_job(alice):
    files = {"a.py": b"1"}
    plan = start(alice.workspace, files)
    upload(alice.workspace, plan, files)

    first = commit_sync(workspace=alice.workspace, sync=plan.sync)
    second = commit_sync(workspace=alice.workspace, sync=plan.sync)

    assert first.pk == second.pk
    assert IndexJob.objects.count() == 1


def test_files_that_are_not_named_stay_when_asked(alice):
    synced(alice.workspace, {"a.py": b"1"})
    plan = start(alice.workspace, {"b.py": b"2"}, delete_missing=False)
    upload(alice.workspace, plan, {"b.py": b"2"})
    commit_sync(workspace=alice.workspace, sync=plan.sync)

    assert paths(alice.workspace) == ["a.py", "b.py"]


def test_bytes_that_were_not_declared_are_refused(alice):
    plan = start(alice.workspace, {"a.py": b"1"})

    with pytest.raises(ContentMismatch, match="changed meanwhile"):
        upload(alice.workspace, plan, {"a.py": b"other"})
    with pytest.raises(ContentMismatch, match="does not name"):
        upload(alice.workspace, plan, {"b.py": b"1"})
    assert Blob.objects.count() == 0


def test_an_upload_is_kept_whole_or_not_at_all(alice):
    plan = start(alice.workspace, {"a.py": b"1", "b.py": b"2"})

    with pytest.raises(ContentMismatch):
        upload(alice.workspace, plan, {"a.py": b"1", "b.py": b"other"})
    assert Blob.objects.count() == 0


def test_a_part_of_an_upload_does_not_read_the_whole_manifest(alice):
    files = {"a.py": b"1", "b.py": b"2"}
    plan = start(alice.workspace, files)

    with CaptureQueriesContext(connection) as asked:
        upload(alice.workspace, plan, {"a.py": b"1"})

    assert not [q for q in asked.captured_queries if '"manifest"' in q["sql"]]


def test_a_file_that_is_not_kept_is_told_at_once(alice):
    plan = start(alice.workspace, {"a.py": b"1", ".env": b"PASSWORD=1"})

    assert plan.missing == ["a.py"]
    assert plan.skips.entries == [
        {"path": ".env", "reason": "may hold secrets, so it is never stored"}
    ]
    upload(alice.workspace, plan, {"a.py": b"1"})
    job = commit_sync(workspace=alice.workspace, sync=plan.sync)
    assert job.skipped == plan.skips.entries


def test_a_put_fills_an_open_sync_without_changing_the_workspace(alice, queue):
    plan = start(alice.workspace, {"a.py": b"1"})

    outcome = put_file(workspace=alice.workspace, path="a.py", data=b"1")

    assert (outcome.staged, outcome.job) == (True, None)
    assert paths(alice.workspace) == []
    commit_sync(workspace=alice.workspace, sync=plan.sync)
    assert paths(alice.workspace) == ["a.py"]


def test_a_put_alone_changes_the_workspace_and_asks_for_an_index(alice, queue):
    job_id = put(alice.workspace, "a.py", b"1")

    assert paths(alice.workspace) == ["a.py"]
    assert queue.sent == [("workspaces.index", {"job_id": job_id})]


def test_puts_share_one_waiting_job(alice):
    jobs = {put(alice.workspace, f"{n}.py", b"%d" % n) for n in range(5)}

    assert len(jobs) == 1


def test_putting_the_same_again_asks_for_nothing(alice):
    put_file(workspace=alice.workspace, path="a.py", data=b"1")

    assert put_file(workspace=alice.workspace, path="a.py", data=b"1").job is None


@pytest.mark.parametrize(
    ("path", "data", "error"),
    [
        ("../a.py", b"1", PathRefused),
        (".env", b"1", FileRefused),
        ("a.png", b"1", FileRefused),
        ("a.py", b"#" * (1024 * 1024 + 1), FileTooLarge),
    ],
)
def test_a_put_that_is_refused_keeps_nothing(alice, path, data, error):
    with pytest.raises(error):
        put_file(workspace=alice.workspace, path=path, data=data)
    assert Blob.objects.count() == 0


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        ({"../a.py": "0" * 64}, PathRefused),
        ({"a.py": "short"}, ValidationFailed),
        ({"a.py": "A" * 64}, ValidationFailed),
        ({"e\u0301.py": "0" * 64, "\u00e9.py": "1" * 64}, PathRefused),
    ],
)
def test_a_bad_manifest_is_refused_whole(alice, manifest, error):
    with pytest.raises(error):
        start_sync(workspace=alice.workspace, manifest=manifest, delete_missing=True)
    assert Sync.objects.count() == 0


def test_a_manifest_of_too_many_files_is_refused(alice):
    Tier.objects.filter(pk="free").update(max_files_per_workspace=1)

    with pytest.raises(TooManyFiles):
        start(alice.workspace, {"a.py": b"1", "b.py": b"2"})


def test_f6_staged_bytes_are_charged_and_given_back_when_the_sync_expires(alice):
    plan = start(alice.workspace, {"a.py": b"12345"})
    upload(alice.workspace, plan, {"a.py": b"12345"})
    assert used(alice) == 5

    Sync.objects.update(created_at=plan.sync.created_at - timedelta(days=2))
    assert expire_syncs() == 1
    assert used(alice) == 0
    assert Blob.objects.count() == 0
    with pytest.raises(SyncClosed):
        commit_sync(workspace=alice.workspace, sync=plan.sync)


def test_f6_deleting_gives_the_space_back(alice):
    synced(alice.workspace, {"a.py": b"12345", "b.py": b"678"})
    assert used(alice) == 8

    delete_file(workspace=alice.workspace, path="a.py")
    assert used(alice) == 3


def test_f6_a_full_account_takes_no_more_and_keeps_what_it_has(alice):
    Tier.objects.filter(pk="free").update(max_storage_bytes=8)
    synced(alice.workspace, {"a.py": b"12345"})

    with pytest.raises(StorageExceeded) as refused:
        put_file(workspace=alice.workspace, path="b.py", data=b"6789")
    assert refused.value.details["used"] == 5
    assert paths(alice.workspace) == ["a.py"]
    assert used(alice) == 5


def test_the_oldest_open_sync_gives_way(alice):
    plans = [
        start(alice.workspace, {f"{n}.py": b"%d" % n})
        for n in range(MAX_OPEN_SYNCS + 1)
    ]

    plans[0].sync.refresh_from_db()
    assert plans[0].sync.state == "expired"
    assert Sync.objects.open().count() == MAX_OPEN_SYNCS
