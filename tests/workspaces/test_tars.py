"""Tars by many hands: read as their makers meant, or refused in linear time (F1)."""

import gzip
import io
import random
import subprocess
import tarfile
import time
import tracemalloc

import pytest

from tests.workspaces.packing import tar_of
from workspaces.errors import BadArchive
from workspaces.receiving.tars import BadTar, Kind, TarReader
from workspaces.receiving.unpacking import MB, Limits, open_archive

LIMITS = Limits(max_entries=1000, max_file_bytes=MB, max_inflated_bytes=300 * MB)
LONG = "/".join(["folder-with-a-long-name"] * 12) + "/\u00e9.py"  # 300 bytes


def contents(data):
    return {
        entry.name: entry.objection or entry.read()
        for entry in open_archive(io.BytesIO(data), LIMITS).entries()
    }


def members(data):
    return [(m.name, m.kind, m.n_bytes) for m in TarReader(io.BytesIO(data)).members()]


def header(name, kind=b"0", size=0, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for field, value in more.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data):
    return data + bytes(-len(data) % 512)


def extended(body, kind=b"x"):
    return header("more", kind, len(body)) + padded(body)


def record(key, value):
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


FILE = header("a.py", size=1) + padded(b"x")
END = bytes(1024)


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_pythons_tars_are_read_whole(form):
    long = LONG if form != tarfile.USTAR_FORMAT else LONG[-200:].partition("/")[2]
    files = {"a.py": b"x = 1\n", long: b"y" * 700, "empty.py": b""}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("src")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

    assert contents(packed.getvalue()) == files


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix", "ustar", "v7"])
def test_gnu_tars_archives_are_read_whole(tmp_path, form):
    long = LONG if form in ("gnu", "oldgnu", "posix") else "src/b.py"
    files = {"./src/a.py": b"x = 1\n", f"./{long}": b"y" * 9000}
    for name, data in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in/src/link.py").symlink_to("a.py")
    target = tmp_path / "out.tar.gz"
    command = ["tar", f"--format={form}", "-C", str(tmp_path / "in"), "-czf"]
    subprocess.run([*command, str(target), "."], check=True)

    found = contents(target.read_bytes())

    assert found == {**files, "./src/link.py": "is a link"}


def test_what_git_archives_names_its_commit():
    comment = b"a" * 40
    data = extended(record(b"comment", comment), b"g") + FILE + END
    archive = open_archive(io.BytesIO(data), LIMITS)

    assert [entry.name for entry in archive.entries()] == ["a.py"]
    assert archive.holds_tracked_files


def test_names_and_sizes_may_stand_in_an_extended_header():
    more = record(b"path", "\u00fc/long.py".encode()) + record(b"size", b"3")
    data = extended(more + record(b"mtime", b"1")) + header("short") + padded(b"xyz")

    assert contents(data + FILE + END) == {"\u00fc/long.py": b"xyz", "a.py": b"x"}


def test_what_follows_an_extended_header_s_file_is_not_told_of():
    data = extended(record(b"path", b"b.py")) + FILE + FILE + END

    assert [name for name, *_ in members(data)] == ["b.py", "a.py"]


def test_a_name_that_is_no_utf_8_is_told_from_others():
    data = extended(record(b"path", b"\xff.py")) + FILE + END

    assert members(data)[0][0] == "\udcff.py"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (extended(record(b"GNU.sparse.major", b"1")) + FILE, Kind.SPARSE),
        (extended(record(b"GNU.sparse.map", b"0,1")) + FILE, Kind.SPARSE),
        (header("a.py", b"S", 1) + padded(b"x"), Kind.SPARSE),
        (header("a.py", b"V"), Kind.SPECIAL),
        (header("a.py", b"D", 1) + padded(b"x"), Kind.SPECIAL),
        (header("a.py", b"6", 10**9), Kind.SPECIAL),
        (header("a.py", b"1", 10**9), Kind.LINK),
        (header("a.py/", b"0"), Kind.FOLDER),
        (header("a.py", b"\0", 1) + padded(b"x"), Kind.FILE),
    ],
)
def test_f3_each_kind_is_known_and_what_follows_is_found(data, kind):
    found = members(data + header("next.py") + END)

    assert [member[1] for member in found] == [kind, Kind.FILE]


def test_f3_a_sparse_file_is_named_and_its_map_is_skipped():
    first = bytearray(header("a.py", b"S", 1))
    first[482] = 1
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + 256 + sum(first[156:]))
    goes_on, last = bytes(504) + b"\1" + bytes(7), bytes(512)
    data = bytes(first) + goes_on + last + padded(b"x") + FILE + END
    named = extended(record(b"GNU.sparse.name", b"real.py")) + FILE + END

    assert [name for name, *_ in members(data)] == ["a.py", "a.py"]
    assert members(named)[0][0] == "real.py"


def test_sizes_beyond_octal_are_read_in_binary():
    info = bytearray(header("a.py"))
    info[124:136] = b"\x80" + (10**12).to_bytes(11, "big")
    info[148:156] = b"%06o\0 " % (sum(info[:148]) + 256 + sum(info[156:]))
    reader = TarReader(io.BytesIO(bytes(info)))

    assert next(reader.members()).n_bytes == 10**12


def test_signed_checksums_of_old_tars_are_known():
    info = bytearray(header("\u00e9.py"))
    signed = sum(b - 256 * (b > 127) for b in info[:148] + info[156:]) + 256
    info[148:156] = b"%06o\0 " % signed

    assert [name for name, *_ in members(bytes(info) + END)] == ["\u00e9.py"]


@pytest.mark.parametrize("rest", [b"", bytes(512), END, END + b"trailing"])
def test_an_archive_may_end_with_or_without_its_blocks(rest):
    assert members(FILE + rest) == [("a.py", Kind.FILE, 1)]
    assert len(members(FILE[: 512 + 1])) == 1, "padding of the last one is missing"


BROKEN = {
    "nothing": b"",
    "half a header": FILE[:300],
    "half a file": header("a.py", size=600) + bytes(512),
    "a checksum": FILE[:10] + b"!" + FILE[11:],
    "a size": header("a.py").replace(b"00000000000\0", b"zz000000000\0"),
    "a record's length": extended(b"99 path=x\n") + FILE,
    "a record without a length": extended(b"path=x\n") + FILE,
    "a record without a key": extended(b"5 xx\n") + FILE,
    "a record that counts back": extended(b"0 path=x\n") + FILE,
    "a negative size": extended(record(b"size", b"-5")) + FILE,
    "an endless size": extended(record(b"size", b"9" * 5000)) + FILE,
    "a cut off header": header("more", b"x", 900) + bytes(100),
    "a cut off map": header("a.py", b"S").replace(b"\0" * 30, b"\0" * 30) + b"x",
}


@pytest.mark.parametrize("what", BROKEN)
def test_f5_what_is_no_tar_is_refused(what):
    with pytest.raises(BadTar):
        members(BROKEN[what])


def map_of_holes():
    data = b"3000000\n" + b"1\n" * 6_000_000
    told = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    return extended(told) + header("a.py", size=len(data)) + padded(data)


def old_map_of_holes():
    first = bytearray(header("a.py", b"S"))
    first[482] = 1
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + 256 + sum(first[156:]))
    return bytes(first) + (bytes(504) + b"\1" + bytes(7)) * 20_000


def global_headers():
    keys = b"".join(record(b"k%d" % n, b"v" * 100_000) for n in range(9))
    return (extended(keys, b"g") + FILE) * 40


# Some kilobytes each, once they are compressed.
BOMBS = {
    "digits": lambda: extended(b"1" * 1_000_000) + FILE,
    "digits in a value": lambda: extended(record(b"x", b"1" * 1_000_000)) + FILE,
    "a map of holes": map_of_holes,
    "an old map of holes": old_map_of_holes,
    "global headers": global_headers,
    "names before names": lambda: extended(b"x" * 400_000, b"L") * 60 + FILE,
}


@pytest.mark.parametrize("what", BOMBS)
def test_f1_no_header_costs_more_than_its_bytes(what):
    packed = gzip.compress(BOMBS[what](), 1)

    tracemalloc.start()
    began = time.process_time()
    try:
        contents(packed)
    except BadArchive:
        pass
    took = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 5
    assert peak < 16 * MB


def test_f1_a_gzip_of_empty_members_ends():
    flood = gzip.compress(b"") * 200_000

    began = time.process_time()
    with pytest.raises(BadArchive):
        contents(flood)
    assert time.process_time() - began < 5


def test_f5_random_damage_is_a_reading_or_a_refusal():
    chance = random.Random(7)
    whole = tar_of({f"d/{n}.py": f"x = {n}\n" * 20 for n in range(6)}).getvalue()
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            for name, _, n_bytes in members(bytes(damaged)):
                assert isinstance(name, str) and n_bytes >= 0
        except BadTar:
            continue
