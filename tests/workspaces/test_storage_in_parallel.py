"""F6: storage caps are exact while many upload at once."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO

import pytest
from django.db import connections

from aiassist.lib.errors import StorageExceeded
from billing.models import Tier
from tests.workspaces.packing import zip_of
from workspaces.content.files import delete_file, put_file
from workspaces.errors import IncompleteSync
from workspaces.models import Blob, SourceFile, UserStorage
from workspaces.receiving.archives import import_archive
from workspaces.receiving.sync import commit_sync, missing_of, start_sync, upload_files
from workspaces.services import create_workspace, delete_workspace

pytestmark = pytest.mark.django_db(transaction=True)


def in_parallel(work, count=20):
    def run(number):
        try:
            return work(number)
        except StorageExceeded:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def used(person):
    return UserStorage.objects.get(user=person.user).n_bytes


def test_f6_of_twenty_parallel_uploads_exactly_as_many_fit_as_the_tier_holds(alice):
    Tier.objects.filter(pk="free").update(max_storage_bytes=70)
    workspaces = [create_workspace(user=alice.user, name=f"{n}") for n in range(4)]

    outcomes = in_parallel(
        lambda n: put_file(
            workspace=workspaces[n % 4], path=f"{n}.py", data=b"%010d" % n
        )
    )

    assert sum(outcome is not None for outcome in outcomes) == 7
    assert used(alice) == 70
    assert SourceFile.objects.count() == Blob.objects.count() == 7


def test_f6_the_same_file_uploaded_twenty_times_is_charged_once(alice):
    outcomes = in_parallel(
        lambda n: put_file(workspace=alice.workspace, path="a.py", data=b"0123456789")
    )

    assert None not in outcomes
    assert used(alice) == 10


def test_f6_parallel_archives_deletions_and_uploads_leave_an_exact_account(alice):
    workspaces = [create_workspace(user=alice.user, name=f"{n}") for n in range(4)]

    def work(n):
        workspace = workspaces[n % 4]
        if n % 5 == 0:
            import_archive(
                workspace=workspace,
                file=zip_of({f"{i}.py": f"{n} {i}" for i in range(n)} or {"a.py": "x"}),
            )
        else:
            put_file(workspace=workspace, path=f"{n}.py", data=b"x" * n)
            if n % 2:
                delete_file(workspace=workspace, path=f"{n}.py")

    def safely(n):
        try:
            work(n)
        except Exception as error:  # an archive may win the race
            assert getattr(error, "code", "") == "not_found", error

    in_parallel(safely)

    stored = sum(Blob.objects.charged().values_list("n_bytes", flat=True))
    assert used(alice) == stored
    for workspace in workspaces:
        delete_workspace(workspace=workspace)
    assert used(alice) == 0


def test_two_clients_that_sync_one_workspace_leave_one_of_both_manifests(alice):
    """Each commit is one step; what another's commit took away is asked for again."""
    mine = [{f"{who}/{n}.py": b"%d" % n for n in range(30)} for who in "ab"]
    common = {"both.py": b"shared = 1\n"}

    def sync_twice(number):
        for _ in range(2):
            files = {**mine[number], **common}
            manifest = {p: sha256(data).hexdigest() for p, data in files.items()}
            plan = start_sync(
                workspace=alice.workspace, manifest=manifest, delete_missing=True
            )
            while missing := missing_of(workspace=alice.workspace, sync=plan.sync):
                parts = [(p, BytesIO(files[p]), len(files[p])) for p in missing]
                upload_files(workspace=alice.workspace, sync=plan.sync, files=parts)
                try:
                    commit_sync(workspace=alice.workspace, sync=plan.sync)
                    break
                except IncompleteSync:
                    continue
            else:
                commit_sync(workspace=alice.workspace, sync=plan.sync)
        return True

    assert alice.workspace
    assert in_parallel(sync_twice, 2) == [True, True]

    paths = set(SourceFile.objects.values_list("path", flat=True))
    assert paths in [{*files, *common} for files in mine]
    shas = set(SourceFile.objects.values_list("sha256", flat=True))
    assert shas <= set(Blob.objects.charged().values_list("sha256", flat=True))
    assert used(alice) == sum(Blob.objects.charged().values_list("n_bytes", flat=True))
