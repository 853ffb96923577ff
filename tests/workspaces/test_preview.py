"""What a preview promises is what then happens, and it changes nothing."""

import subprocess
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from tests.workspaces.indexer import Indexer
from workspaces.content.texts import NotIndexable, indexable_text
from workspaces.indexing.splitting import split
from workspaces.models import Blob, LeftOutFile, SourceFile, Sync
from workspaces.preview import NamedFile, preview
from workspaces.receiving.archives import import_archive

ROOT = Path(__file__).resolve().parents[2]


def own_sources() -> dict[str, bytes]:
    """This project's own files, as git knows them."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True
    )
    paths = [p for p in listed.stdout.decode().split("\0") if p]
    return {p: (ROOT / p).read_bytes() for p in paths if (ROOT / p).is_file()}


def told(files, *, heads=()):
    return {
        path: NamedFile(
            len(data),
            head=data[:8000].decode("utf-8", "ignore") if path in heads else None,
        )
        for path, data in files.items()
    }


@cache
def n_chunks_of(path, data):
    """How many chunks the indexer makes of a file."""
    try:
        return len(split(path, indexable_text(data)))
    except NotIndexable:
        return 0


def really(files, kept):
    """The chunks that the indexer makes of the files that are kept."""
    return sum(n_chunks_of(path, files[path]) for path in kept)


def settled(workspace, files, **rest):
    """Preview these files as the sync script does: until no head is wanted."""
    named = told(files)
    for _ in range(4):
        found = preview(workspace=workspace, files=named, **rest)
        for path in found.heads_wanted:
            named[path] = NamedFile(
                len(files[path]),
                head=files[path][:8000].decode("utf-8", "ignore"),
                longest_line=max(map(len, files[path].splitlines())),
            )
        if not found.heads_wanted:
            break
    return found


def truth_of(files, found):
    left_out = {entry["path"] for entry in found.skips.entries}
    return really(files, files.keys() - left_out)


def test_the_estimate_of_our_own_sources_is_near_the_truth(alice, queue):
    """Within a tenth once no head is wanted; within a quarter before."""
    files = own_sources()
    rules = {".gitignore": files[".gitignore"].decode()}
    first = preview(workspace=alice.workspace, files=told(files), ignore_files=rules)
    found = settled(alice.workspace, files, ignore_files=rules)

    truth = truth_of(files, found)

    assert len(first.heads_wanted) > 100
    assert abs(first.chunks - truth) < 0.25 * truth, (first.chunks, truth)
    assert abs(found.chunks - truth) < 0.1 * truth, (found.chunks, truth)
    assert found.files == len(files) - found.skips.count


@pytest.mark.parametrize(
    "folder",
    ["numpy/_core/include", "unfold", "drf_spectacular", "tree_sitter_c", "mypy/test"],
)
def test_others_sources_are_estimated_within_a_tenth(alice, queue, folder):
    """C, JavaScript, CSS, HTML, Scheme, Python and whatever else they hold."""
    root = Path(sysconfig.get_paths()["purelib"])
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = settled(alice.workspace, files)

    truth = truth_of(files, found)

    assert not found.heads_wanted
    assert abs(found.chunks - truth) <= max(2, 0.1 * truth), (found.chunks, truth)


def test_a_line_too_long_far_below_the_head_is_told_beforehand(alice, queue):
    code = "".join(f"int f{n}(void) {{ return {n}; }}\n" for n in range(2_000))
    files = {"a.h": code.encode(), "b.h": (code + "x" * 25_578).encode()}

    found = settled(alice.workspace, files)

    assert found.files == 1
    assert found.skips.entries == [
        {
            "path": "b.h",
            "reason": "It has a line of 25,578 characters: generated or minified.",
        }
    ]


def test_what_it_says_is_what_an_upload_then_does(alice, indexer: Indexer):
    files = {
        **{f"app/m{n}.py": f"def f{n}():\n    return {n}\n".encode() for n in range(9)},
        ".gitignore": b"out/\n",
        "out/x.py": b"x = 1\n",
        ".env": b"KEY=1\n",
        "node_modules/a/index.js": b"1\n",
        "logo.png": b"x",
        "README.md": b"# Hello\n\nWorld.\n",
    }
    found = preview(
        workspace=alice.workspace,
        files=told(files, heads=files),
        ignore_files={".gitignore": "out/\n"},
    )

    job = indexer.index(alice.workspace, files)

    assert (found.files, found.chunks) == (alice.workspace.n_files, job.chunks)
    assert found.bytes == alice.workspace.n_bytes
    assert found.skips.by_reason() == job.skipped_reasons
    assert found.languages["python"].files == 9

    again = preview(
        workspace=alice.workspace,
        files={
            file.path: NamedFile(file.n_bytes, file.sha256)
            for file in SourceFile.objects.all()
        },
    )
    assert (again.unchanged, again.new_chunks) == (found.files, 0)


def test_it_stores_and_embeds_nothing(alice, queue):
    answer = alice.api.post(
        f"/api/v1/workspaces/{alice.workspace.pk}/preview",
        {"files": {"a.py": {"size": 6, "head": "x = 1\n"}, ".env": {"size": 9}}},
        format="json",
    )

    assert answer.status_code == 200
    told = answer.json()
    assert (told["files"], told["estimate"]["chunks"]) == (1, 1)
    assert told["languages"] == {"python": {"files": 1, "bytes": 6, "chunks": 1}}
    assert told["skipped"] == [
        {"path": ".env", "reason": "may hold secrets, so it is never stored"}
    ]
    assert told["fit"] == {"tier": "free", "fits": True, "breaks": [], "takes": "free"}
    for model in (SourceFile, Blob, Sync, LeftOutFile):
        assert not model.objects.exists()
    assert queue.names == []


def test_it_says_which_limits_break_and_which_tier_takes_it(alice):
    free, pro = Tier.objects.get(pk="free"), Tier.objects.get(pk="pro")
    files = {"big.py": NamedFile(free.max_file_bytes + 1)}
    files |= {f"{n}.py": NamedFile(1) for n in range(free.max_files_per_workspace)}

    found = preview(workspace=alice.workspace, files=files)

    assert {b.policy: b.tier for b in found.breaks} == {
        "files": "pro",
        "file_bytes": "pro",
    }
    assert found.takes == "pro"
    change_tier(alice.user, pro, actor=None)
    assert not preview(workspace=alice.workspace, files=files).breaks


def test_no_tier_takes_what_is_absurd(alice):
    found = preview(workspace=alice.workspace, files={"a.py": NamedFile(2**49)})

    assert found.takes == ""
    assert {b.tier for b in found.breaks} == {""}


def test_what_other_workspaces_store_counts(alice, queue):
    from tests.workspaces.packing import zip_of  # noqa: PLC0415
    from workspaces.services import create_workspace  # noqa: PLC0415

    other = create_workspace(user=alice.user, name="other")
    import_archive(workspace=other, file=zip_of({"a.py": b"x" * 100}))
    limit = Tier.objects.get(pk="free").max_storage_bytes
    files = {
        f"{n}.py": NamedFile(1024 * 1024, sha256=f"{n:064x}")
        for n in range(limit // 1024**2)
    }

    found = preview(workspace=alice.workspace, files=files)

    assert [b.policy for b in found.breaks] == ["storage_bytes"]
    assert found.breaks[0].needed == limit + 100


HOSTILE = {
    "../etc/passwd": "has a name that is not allowed: it holds '.' or '..' as a folder",
    "/abs.py": "has a name that is not allowed: it must be relative to the workspace",
    "a\x00.py": "has a name that is not allowed: it holds a control character",
    "C:/x.py": "has a name that is not allowed: it must be relative to the workspace",
}


def test_f2_hostile_names_are_listed_with_their_reasons(alice):
    files = {name: {"size": 1} for name in HOSTILE} | {
        "e\u0301.py": {"size": 1},
        "\u00e9.py": {"size": 1},
    }
    answer = alice.api.post(
        f"/api/v1/workspaces/{alice.workspace.pk}/preview",
        {"files": files},
        format="json",
    ).json()

    assert answer["files"] == 1
    reasons = {entry["reason"] for entry in answer["skipped"]}
    assert reasons == {*HOSTILE.values(), "is named twice once Unicode is normalised"}


@pytest.mark.parametrize(
    "body",
    [
        *({}, [], {"files": []}, {"files": {"a": 1}}, {"files": {"a": {}}}),
        *({"files": {"a": {"size": -1}}}, {"files": {"a": {"size": True}}}),
        *({"files": {"a": {"size": 2**60}}}, {"files": {"a": {"size": 1.5}}}),
        {"files": {"a": {"size": 1, "sha256": "xyz"}}},
        {"files": {"a": {"size": 1, "head": "x" * 65537}}},
        {"files": {"a": {"size": 1, "head": 5}}},
        {"files": {"a": {"size": 1, "longest_line": -1}}},
        {"files": {"a": {"size": 1, "longest_line": "x"}}},
        {"files": {}, "ignore_files": {".gitignore": ["x"]}},
    ],
)
def test_f5_a_bad_manifest_is_a_clear_400(alice, body):
    answer = alice.api.post(
        f"/api/v1/workspaces/{alice.workspace.pk}/preview", body, format="json"
    )

    assert answer.status_code == 400
    assert answer.json()["errors"], answer.json()


@pytest.mark.parametrize("door", ["preview", "sync"])
def test_f1_a_manifest_of_a_million_files_is_refused_by_its_length(alice, door):
    Tier.objects.filter(pk="free").update(max_files_per_workspace=1000)
    row = b'"%07d.py":{"size":1},' if door == "preview" else b'"%07d":"' + b"0" * 64
    row += b"" if door == "preview" else b'",'
    body = b'{"files":{' + b"".join(row % n for n in range(1_000_000))
    body = body[: 40 * 1024 * 1024].rstrip(b",") + b"}}"

    answer = alice.api.generic(
        "POST",
        f"/api/v1/workspaces/{alice.workspace.pk}/{door}",
        body,
        content_type="application/json",
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_files")
