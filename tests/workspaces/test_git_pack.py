"""Packs, the honest and the hostile: read within bounds, or refused in a sentence."""

import random
import struct
import zlib
from hashlib import sha1
from io import BytesIO
from typing import Any

import pytest

from tests.fakes.git_server import Repository
from workspaces.errors import ArchiveTooLarge
from workspaces.git import pack
from workspaces.git.errors import BadPack
from workspaces.git.pack import CommitFiles, Pack
from workspaces.receiving.unpacking import Limits

MB = 1024 * 1024
LIMITS = Limits(max_entries=2000, max_file_bytes=MB, max_inflated_bytes=80 * MB)
COMMIT, TREE, BLOB, TAG, OFS, REF = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}


def oid(kind, data):
    return sha1(b"%s %d\0" % (NAMES[kind], len(data)) + data).digest()


def header(kind, size):
    first, size = (kind << 4) | (size & 15), size >> 4
    out = []
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    return bytes([*out, first])


def packed(objects, count=None, level=9):
    """Each object is (kind, data) or (kind, data, what stands before the data)."""
    body = b"PACK" + struct.pack(">LL", 2, len(objects) if count is None else count)
    for kind, data, *base in objects:
        body += header(kind, len(data)) + b"".join(base) + zlib.compress(data, level)
    return body + sha1(body).digest()


def tree_of(*children):
    return b"".join(
        b"%s %s\0%s" % (mode, name, child) for mode, name, child in children
    )


def commit_of(tree):
    return b"tree " + tree.hex().encode() + b"\nauthor A <a> 0 +0000\n\nx\n"


def files_of(data, commit):
    found = CommitFiles(Pack(BytesIO(data), len(data), LIMITS), commit.hex(), LIMITS)
    return {e.name: (e.objection, e.read()) for e in found.entries()}


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def delta(base, result, *instructions):
    return varint(len(base)) + varint(result) + b"".join(instructions)


def simple(*extra, root=None):
    blob = b"x = 1\n"
    tree = root or tree_of((b"100644", b"a.py", oid(BLOB, blob)))
    commit = commit_of(oid(TREE, tree))
    return [(BLOB, blob), (TREE, tree), (COMMIT, commit), *extra], oid(COMMIT, commit)


def test_a_packs_files_are_those_of_the_commit():
    objects, commit = simple()

    assert files_of(packed(objects), commit) == {"a.py": ("", b"x = 1\n")}


@pytest.mark.parametrize("depth", [1, 50])
def test_what_git_packs_is_read_whole(tmp_path, depth):
    """With deltas in chains, against git's own reading."""
    chance = random.Random(depth)
    repository = Repository(tmp_path / "a.git", tmp_path / "work")
    lines = [f"line {n} {chance.random()}" for n in range(400)]
    files = {}
    for n in range(30):
        lines[chance.randrange(400)] = f"changed {n}"
        files[f"d{n % 3}/f{n}.txt"] = "\n".join(lines).encode()
    repository.commit(files)
    repository.git("repack", "-adfq", f"--depth={depth}", "--window=40")
    (path,) = (tmp_path / "work/.git/objects/pack").glob("*.pack")

    found = files_of(
        path.read_bytes(), bytes.fromhex(repository.git("rev-parse", "HEAD"))
    )

    assert {name: data for name, (_, data) in found.items()} == files


def test_links_submodules_and_files_that_were_left_out_have_reasons():
    root = tree_of(
        (b"120000", b"link", oid(BLOB, b"x = 1\n")),
        (b"160000", b"sub", b"\1" * 20),
        (b"100644", b"large.bin", b"\2" * 20),
    )
    objects, commit = simple(root=root)

    found = files_of(packed(objects), commit)

    assert found["link"][0] == "is a link"
    assert found["sub"][0].startswith("is a submodule")
    assert found["large.bin"] == ("", None)


def test_f1_a_tree_that_names_itself_many_times_over_ends():
    blob = b"boom\n"
    objects, child = [(BLOB, blob)], (b"100644", b"f", oid(BLOB, blob))
    for level in range(12):
        tree = tree_of(*((child[0], b"%d" % n, child[2]) for n in range(10)))
        objects.append((TREE, tree))
        child = (b"40000", b"d%d" % level, oid(TREE, tree))
    commit = commit_of(child[2])

    with pytest.raises(ArchiveTooLarge, match="entries"):
        files_of(packed([*objects, (COMMIT, commit)]), oid(COMMIT, commit))


def test_f1_a_blob_that_inflates_a_thousandfold_stops():
    objects, commit = simple((BLOB, bytes(100 * MB)))

    with pytest.raises(ArchiveTooLarge):
        files_of(packed(objects), commit)


def test_f1_deltas_that_grow_from_nothing_stop():
    base = bytes(60_000)
    copy = b"\xb0" + b"\x60\xea"  # 60,000 bytes from offset 0
    grown = delta(base, 60_000 * 300, *([copy] * 300))
    objects, commit = simple(
        (BLOB, base), *[(REF, grown, oid(BLOB, base)) for _ in range(20)]
    )

    with pytest.raises(ArchiveTooLarge):
        files_of(packed(objects), commit)


def test_f1_more_objects_than_files_are_allowed_are_not_read():
    objects, commit = simple()

    with pytest.raises(ArchiveTooLarge, match="more than 2,000 entries"):
        files_of(packed(objects, count=10_000_000), commit)


BASE = b"x = 1\n"
BROKEN = {
    "no pack": b"<html>not a pack</html>",
    "empty": b"",
    "a header alone": b"PACK\0\0\0\2\0\0\0\1",
    "another version": b"PACK\0\0\0\7\0\0\0\0" + bytes(20),
    "an unknown kind": packed([(5, b"x")]),
    "a lying size": packed(simple()[0]).replace(header(BLOB, 6), header(BLOB, 9), 1),
    "noise": b"PACK\0\0\0\2\0\0\0\1" + header(BLOB, 9) + b"\x00\x01\x02noise",
    "a base before the file": packed([(OFS, b"x", b"\xff\xff\xff\x7f")]),
    "a base that is itself": packed([(OFS, b"x", b"\x00")]),
    "a copy beyond the base": packed(
        [*simple()[0], (REF, delta(BASE, 99, b"\x91\x00\x63"), oid(BLOB, BASE))]
    ),
    "an insert beyond the end": packed(
        [*simple()[0], (REF, delta(BASE, 9, b"\x09ab"), oid(BLOB, BASE))]
    ),
    "a reserved instruction": packed(
        [*simple()[0], (REF, delta(BASE, 1, b"\x00"), oid(BLOB, BASE))]
    ),
    "a delta of another base": packed(
        [*simple()[0], (REF, delta(b"xx", 1, b"\x01a"), oid(BLOB, BASE))]
    ),
    "an endless size": packed([*simple()[0], (REF, b"\xff" * 40, oid(BLOB, BASE))]),
    "a size without an end": b"PACK\0\0\0\2\0\0\0\1\xb1" + b"\x80" * 20,
    "less than it says": packed(simple()[0]).replace(
        header(BLOB, 6), header(BLOB, 2), 1
    ),
    "an insert too many": packed(
        [*simple()[0], (REF, delta(BASE, 1, b"\x02ab"), oid(BLOB, BASE))]
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_f5_a_broken_pack_is_refused(what):
    with pytest.raises(BadPack):
        files_of(BROKEN[what], simple()[1])


@pytest.mark.parametrize(
    "root",
    [b"100644 a.py", b"garbage", b"100644 a.py\0short", b"40000 d\0" + b"\3" * 20],
)
def test_f5_a_broken_tree_is_refused(root):
    objects, commit = simple(root=root)

    with pytest.raises(BadPack):
        files_of(packed(objects), commit)


def test_f5_every_cut_of_a_pack_is_refused_or_whole():
    objects, commit = simple()
    whole = packed(objects)

    for end in range(12, len(whole) - 21):
        with pytest.raises(BadPack):
            files_of(whole[:end], commit)


def test_f5_noise_in_a_pack_never_breaks_out():
    chance = random.Random(5)
    objects, commit = simple((REF, delta(BASE, 6, b"\x90\x06"), oid(BLOB, BASE)))
    whole = packed(objects)
    for _ in range(600):
        noisy = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            noisy[chance.randrange(12, len(noisy) - 20)] = chance.randrange(256)
        try:
            files_of(bytes(noisy), commit)
        except (BadPack, ArchiveTooLarge):
            continue


def small(monkeypatch, **limits):
    for name, value in limits.items():
        monkeypatch.setattr(pack, name, value)


def test_f1_a_delta_that_makes_too_much_is_not_looked_at():
    grown = delta(BASE, 40 * MB)
    objects, commit = simple((REF, grown, oid(BLOB, BASE)))

    assert files_of(packed(objects), commit) == {"a.py": ("", BASE)}


def test_f1_a_tree_of_megabytes_is_refused(monkeypatch):
    small(monkeypatch, _MAX_STRUCTURE_BYTES=20)
    limits = Limits(max_entries=10, max_file_bytes=20, max_inflated_bytes=MB)
    objects, commit = simple()
    data = packed(objects)

    with pytest.raises(BadPack):
        CommitFiles(Pack(BytesIO(data), len(data), limits), commit.hex(), limits)


def chain(depth):
    """A blob, and deltas each on the one before that change nothing but a name."""
    blob = BASE
    objects: list[tuple[int, bytes, bytes]] = []
    for n in range(depth):
        grown = b"%d\n" % n + blob
        insert = bytes([len(grown) - len(blob)]) + grown[: len(grown) - len(blob)]
        copy = b"\x91\x00" + bytes([len(blob)])
        objects.append(
            (REF, delta(blob, len(grown), insert, copy), oid(BLOB, blob)),
        )
        blob = grown
    root = tree_of((b"100644", b"last.py", oid(BLOB, blob)))
    base, commit = simple(root=root)
    return [*base, *objects], commit, blob


def test_a_file_that_the_cache_has_lost_is_made_again(monkeypatch):
    small(monkeypatch, _CACHE_BYTES=30)
    objects, commit, blob = chain(20)

    assert files_of(packed(objects), commit) == {"last.py": ("", blob)}


def test_f1_bases_that_wait_for_their_deltas_are_bounded(monkeypatch):
    small(monkeypatch, _MAX_HELD_BYTES=100)
    objects, commit, _ = chain(20)

    with pytest.raises(BadPack, match="nested too deep"):
        files_of(packed(objects), commit)


def test_f1_a_pack_that_is_made_to_be_read_over_and_over_ends(monkeypatch):
    """Many files on bases that never are in the cache together."""
    small(monkeypatch, _CACHE_BYTES=1, _REREAD=0.01)
    bases = [b"a" * 60_000, b"b" * 60_000]
    objects: list[tuple[Any, ...]] = [(BLOB, base) for base in bases]
    rows = []
    for n in range(60):
        base = bases[n % 2]
        made = b"%02d" % n + base[:10]
        change = delta(base, 12, b"\x02%02d" % n, b"\x91\x00\x0a")
        objects.append((REF, change, oid(BLOB, base)))
        rows.append((b"100644", b"%02d.py" % n, oid(BLOB, made)))
    tree = tree_of(*rows)
    commit = commit_of(oid(TREE, tree))
    objects += [(TREE, tree), (COMMIT, commit)]

    with pytest.raises(BadPack, match="over and over"):
        files_of(packed(objects), oid(COMMIT, commit))


def test_f1_folders_a_thousand_deep_are_refused():
    blob = b"x\n"
    objects, child = [(BLOB, blob)], (b"100644", b"f", oid(BLOB, blob))
    for _ in range(300):
        tree = tree_of(child)
        objects.append((TREE, tree))
        child = (b"40000", b"d", oid(TREE, tree))
    commit = commit_of(child[2])

    with pytest.raises(BadPack, match="too deep"):
        files_of(packed([*objects, (COMMIT, commit)]), oid(COMMIT, commit))


def tag_of(target):
    return b"object " + target + b"\ntype commit\n\nx\n"


@pytest.mark.parametrize("n_tags", [1, 9, 30])
def test_f1_tags_of_tags_end(n_tags):
    objects, target = simple()
    for _ in range(n_tags):
        tag = tag_of(target.hex().encode())
        objects.append((TAG, tag))
        target = oid(TAG, tag)

    if n_tags < 10:
        assert set(files_of(packed(objects), target)) == {"a.py"}
    else:
        with pytest.raises(BadPack, match="no commit"):
            files_of(packed(objects), target)


def test_f5_a_tag_of_nothing_is_refused():
    tag = tag_of(b"not an id")

    with pytest.raises(BadPack):
        files_of(packed([*simple()[0], (TAG, tag)]), oid(TAG, tag))
