"""Packs, the honest and the hostile: read within bounds, or refused in a sentence."""

import random
import struct
import zlib
from hashlib import sha1
from io import BytesIO

import pytest

from tests.fakes.git_server import Repository
from workspaces.errors import ArchiveTooLarge
from workspaces.git.errors import BadPack
from workspaces.git.pack import CommitFiles, Pack
from workspaces.unpacking import Limits

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
