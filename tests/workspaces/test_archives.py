"""An archive becomes the workspace's files, or nothing changes."""

import stat
from hashlib import sha256

import pytest

from aiassist.lib.errors import StorageExceeded
from billing.models import Tier
from tests.workspaces.packing import (
    deflated_zip_of,
    tar_of,
    zip_of,
    zip_with_special,
)
from workspaces.content.files import read_bytes
from workspaces.errors import ArchiveTooLarge, BadArchive, TooManyFiles
from workspaces.models import Blob, IndexJob, SourceFile, UserStorage
from workspaces.receiving.archives import import_archive
from workspaces.services import create_workspace

MB = 1024 * 1024


def paths(workspace):
    rows = SourceFile.objects.for_workspace(workspace).order_by("path")
    return list(rows.values_list("path", flat=True))


def test_it_keeps_the_files_and_asks_for_an_index(alice, queue):
    job = import_archive(
        workspace=alice.workspace,
        file=zip_of({"repo/a.py": "x = 1\n", "repo/b/c.go": "package c\n"}),
    )

    assert paths(alice.workspace) == ["a.py", "b/c.go"]
    assert queue.sent == [("workspaces.index", {"job_id": job.pk})]
    file = SourceFile.objects.get(path="b/c.go")
    assert (file.language, file.n_bytes) == ("go", 10)
    assert read_bytes(alice.workspace, file.sha256) == b"package c\n"
    alice.workspace.refresh_from_db()
    assert (alice.workspace.n_files, alice.workspace.n_bytes) == (2, 16)
    assert alice.workspace.status == "indexing"


@pytest.mark.parametrize("zipped", [False, True], ids=["tar", "tar.gz"])
def test_it_takes_tar_with_dot_slash_names(alice, zipped):
    file = tar_of({"repo/a.py": "x\n", "repo/b.py": "y\n"}, zipped=zipped, prefix="./")

    import_archive(workspace=alice.workspace, file=file)

    assert paths(alice.workspace) == ["a.py", "b.py"]


def test_a_single_folder_is_taken_off_despite_a_file_managers_junk(alice):
    file = zip_of({"repo/a.py": "x\n", "__MACOSX/._a.py": "x", ".DS_Store": "x"})

    import_archive(workspace=alice.workspace, file=file)

    assert paths(alice.workspace) == ["a.py"]


def test_two_folders_stay(alice):
    import_archive(
        workspace=alice.workspace, file=zip_of({"src/a.py": "x\n", "doc/b.md": "y\n"})
    )

    assert paths(alice.workspace) == ["doc/b.md", "src/a.py"]


def test_what_is_not_kept_is_named_with_its_reason(alice):
    job = import_archive(
        workspace=alice.workspace,
        file=zip_of(
            {
                "r/ok.py": "x\n",
                "r/.git/HEAD": "ref",
                "r/node_modules/a/index.js": "x",
                "r/.env": "PASSWORD=1",
                "r/yarn.lock": "x",
                "r/logo.png": b"\x89PNG",
                "r/binary.py": b"\x00\x01\x02" * 100,
                "r/jquery.min.js": "x",
                "r/../../etc/passwd": "root",
                "r/inner.zip": zip_of({"deep.py": "x"}).getvalue(),
                "r/big.py": b"#" * (MB + 1),
            }
        ),
    )

    assert paths(alice.workspace) == ["ok.py"]
    assert {s["path"]: s["reason"] for s in job.skipped} == {
        ".git/HEAD": "lies in '.git', which belongs to version control",
        "node_modules/a/index.js": "lies in 'node_modules', which is somebody else's "
        "code, installed or vendored",
        ".env": "may hold secrets, so it is never stored",
        "yarn.lock": "is a lock file: generated, not written",
        "logo.png": "is binary by its name (.png)",
        "binary.py": "is binary",
        "jquery.min.js": "is minified: its source is what is worth reading",
        "../../etc/passwd": "has a name that is not allowed: it holds '.' or '..' as a "
        "folder",
        "inner.zip": "is binary by its name (.zip)",
        "big.py": "is larger than the 1.0 MB that the tier 'free' takes",
    }
    assert job.n_skipped == 10


def test_f3_a_link_is_skipped_with_a_reason(alice):
    job = import_archive(
        workspace=alice.workspace, file=zip_with_special("repo/link.py", stat.S_IFLNK)
    )

    assert paths(alice.workspace) == ["good.py"]
    assert job.skipped == [{"path": "link.py", "reason": "is a link"}]


def test_f2_names_that_unicode_makes_equal_do_not_overwrite_each_other(alice):
    job = import_archive(
        workspace=alice.workspace,
        file=zip_of({"e\u0301.py": "first\n", "\u00e9.py": "second\n", "É.py": "3\n"}),
    )

    assert paths(alice.workspace) == ["É.py", "é.py"]
    assert job.skipped == [
        {"path": "é.py", "reason": "has the same name as another file of this archive"}
    ]


def test_many_skips_are_counted_but_the_list_is_bounded(alice):
    files = {f"r/img/{n}.png": "x" for n in range(500)}

    job = import_archive(
        workspace=alice.workspace, file=zip_of({"r/a.py": "x\n", **files})
    )

    assert (len(job.skipped), job.n_skipped) == (IndexJob.MAX_SKIPPED, 500)


def test_a_second_archive_replaces_the_first_and_gives_its_room_back(alice):
    import_archive(
        workspace=alice.workspace, file=zip_of({"a.py": "old\n", "b.py": "same\n"})
    )
    import_archive(
        workspace=alice.workspace, file=zip_of({"b.py": "same\n", "c.py": "new\n"})
    )

    assert paths(alice.workspace) == ["b.py", "c.py"]
    assert UserStorage.objects.get(user=alice.user).n_bytes == 9
    assert IndexJob.objects.for_workspace(alice.workspace).count() == 1


def test_an_archive_can_add_to_what_is_there(alice):
    import_archive(workspace=alice.workspace, file=zip_of({"a.py": "old\n"}))
    import_archive(
        workspace=alice.workspace, file=zip_of({"b.py": "x\n"}), delete_missing=False
    )

    assert paths(alice.workspace) == ["a.py", "b.py"]


def test_equal_contents_are_stored_and_charged_once(alice):
    import_archive(
        workspace=alice.workspace, file=zip_of({f"{n}.py": "same\n" for n in range(9)})
    )

    assert Blob.objects.for_workspace(alice.workspace).count() == 1
    assert UserStorage.objects.get(user=alice.user).n_bytes == 5


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no files"),
        ({"logo.png": "x"}, "no file that can be indexed"),
    ],
)
def test_an_archive_of_nothing_is_refused(alice, files, words):
    with pytest.raises(BadArchive, match=words):
        import_archive(workspace=alice.workspace, file=zip_of(files))


def free_tier(**limits):
    Tier.objects.filter(pk="free").update(**limits)


def assert_nothing_changed(alice, queue):
    assert paths(alice.workspace) == ["a.py"]
    assert UserStorage.objects.get(user=alice.user).n_bytes == 4
    assert Blob.objects.for_workspace(alice.workspace).count() == 1
    assert queue.names == []


@pytest.fixture
def with_one_file(alice, queue):
    import_archive(workspace=alice.workspace, file=zip_of({"a.py": "old\n"}))
    queue.clear()
    return alice


def test_f1_too_many_bytes_are_refused_whole(with_one_file, queue):
    free_tier(max_storage_bytes=2 * MB)
    files = {f"{n}.py": sha256(b"%d" % n).hexdigest() * 10_000 for n in range(8)}

    with pytest.raises(StorageExceeded, match="'free' stores 2.0 MB, 'pro' 2,048.0 MB"):
        import_archive(workspace=with_one_file.workspace, file=zip_of(files))
    assert_nothing_changed(with_one_file, queue)


def test_f1_too_many_files_are_refused_whole(with_one_file, queue):
    free_tier(max_files_per_workspace=3)
    files = {f"{n}.py": f"x = {n}\n" for n in range(4)}

    with pytest.raises(TooManyFiles):
        import_archive(workspace=with_one_file.workspace, file=zip_of(files))
    assert_nothing_changed(with_one_file, queue)


def test_f1_a_bomb_changes_nothing(with_one_file, queue):
    files = {f"{n}.py": bytes(MB) for n in range(200)}

    with pytest.raises(ArchiveTooLarge):
        import_archive(workspace=with_one_file.workspace, file=deflated_zip_of(files))
    assert_nothing_changed(with_one_file, queue)


def test_f6_what_other_workspaces_hold_counts(with_one_file, queue):
    free_tier(max_storage_bytes=6)
    other = create_workspace(user=with_one_file.user, name="other")
    with pytest.raises(StorageExceeded, match="stores 0.0 MB"):
        import_archive(workspace=other, file=zip_of({"b.py": "three\n"[:3]}))
    import_archive(workspace=other, file=zip_of({"b.py": "ok"}))
    assert UserStorage.objects.get(user=with_one_file.user).n_bytes == 6
