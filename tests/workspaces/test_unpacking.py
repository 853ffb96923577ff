"""F1, F3: archives stop at their caps while being read; links and devices stay out."""

import io
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile

import pytest

from tests.workspaces.packing import (
    deflated_zip_of,
    tar_of,
    tar_with_giant_header,
    tar_with_special,
    zip_of,
    zip_of_many_entries,
    zip_with_special,
)
from workspaces.errors import ArchiveTooLarge, BadArchive
from workspaces.receiving.unpacking import MB, Limits, open_archive

LIMITS = Limits(max_entries=1000, max_file_bytes=MB, max_inflated_bytes=300 * MB)


def contents(file, limits=LIMITS):
    return {
        entry.name: entry.objection or entry.read()
        for entry in open_archive(file, limits).entries()
    }


@pytest.mark.parametrize(
    "packed",
    [
        zip_of({"a.py": b"x"}),
        tar_of({"a.py": b"x"}),
        tar_of({"a.py": b"x"}, zipped=True),
    ],
    ids=["zip", "tar", "tar.gz"],
)
def test_it_reads_each_kind(packed):
    assert contents(packed) == {"a.py": b"x"}


def test_f1_a_file_longer_than_the_cap_is_not_held():
    packed = deflated_zip_of({"big.py": bytes(5 * MB)})

    assert contents(packed) == {"big.py": None}


def test_f1_a_zip_bomb_stops_while_it_is_being_read():
    packed = deflated_zip_of({f"{n}.py": bytes(MB) for n in range(200)})

    with pytest.raises(ArchiveTooLarge) as refused:
        contents(packed)
    assert refused.value.details["policy"] == "archive_ratio"


def test_f1_a_tar_bomb_stops_at_the_cap_and_within_memory():
    packed = tar_of({f"{n}.py": bytes(MB) for n in range(100)}, zipped=True)
    tight = Limits(max_entries=1000, max_file_bytes=MB, max_inflated_bytes=20 * MB)

    tracemalloc.start()
    with pytest.raises(ArchiveTooLarge) as refused:
        contents(packed, tight)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.details["policy"] == "archive_bytes"
    assert peak < 40 * MB


def test_f1_a_header_that_claims_less_is_not_believed():
    packed = deflated_zip_of({"a.py": bytes(3 * MB)})
    raw = bytearray(packed.getvalue())
    claimed = (3 * MB).to_bytes(4, "little")
    while (at := raw.find(claimed)) >= 0:
        raw[at : at + 4] = (10).to_bytes(4, "little")

    # `zipfile` stops at the claimed size and finds the checksum wrong.
    with pytest.raises(BadArchive, match="damaged"):
        contents(io.BytesIO(bytes(raw)))


def test_f1_a_tar_header_of_half_a_gigabyte_is_refused_without_reading_it():
    packed = tar_with_giant_header()

    tracemalloc.start()
    with pytest.raises((BadArchive, ArchiveTooLarge)):
        contents(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MB


def test_f1_a_million_zip_entries_cost_neither_time_nor_memory():
    packed = zip_of_many_entries(1_000_000)

    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ArchiveTooLarge) as refused:
        contents(packed)
    took = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.details["policy"] == "archive_entries"
    assert took < 2
    assert peak < 8 * MB


def test_f1_a_million_tar_entries_stop_at_the_cap():
    packed = io.BytesIO()
    header = tarfile.TarInfo("a").tobuf()
    packed.write(header * 20_000)
    packed.seek(0)

    with pytest.raises(ArchiveTooLarge) as refused:
        contents(packed)
    assert refused.value.details["policy"] == "archive_entries"


def test_f1_a_nested_archive_is_one_file():
    inner = zip_of({"deep.py": b"x"}).getvalue()

    assert contents(zip_of({"inner.zip": inner})) == {"inner.zip": inner}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFIFO, "is a device or a pipe"),
        (stat.S_IFCHR, "is a device or a pipe"),
        (stat.S_IFBLK, "is a device or a pipe"),
        (stat.S_IFSOCK, "is a device or a pipe"),
    ],
)
def test_f3_a_zip_gives_no_link_or_device(kind, reason):
    packed = zip_with_special("repo/special", kind)

    assert contents(packed) == {"repo/good.py": b"x = 1\n", "repo/special": reason}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "is a device or a pipe"),
        (tarfile.CHRTYPE, "is a device or a pipe"),
        (tarfile.BLKTYPE, "is a device or a pipe"),
    ],
)
def test_f3_a_tar_gives_no_link_or_device(kind, reason):
    packed = tar_with_special(kind)

    assert contents(packed) == {"repo/good.py": b"x = 1\n", "repo/special": reason}


@pytest.mark.parametrize("cut", [30, 60, 200])
@pytest.mark.parametrize("pack", [zip_of, tar_of], ids=["zip", "tar"])
def test_a_cut_off_archive_is_a_clear_refusal(pack, cut):
    whole = pack({f"{n}.py": f"x = {n}\n" * 50 for n in range(5)}).getvalue()

    with pytest.raises(BadArchive) as refused:
        contents(io.BytesIO(whole[:cut]))
    assert "archive" in refused.value.sentence or "zip" in refused.value.sentence


def test_a_cut_off_gzip_is_a_clear_refusal():
    whole = tar_of({f"{n}.py": str(n) * 9000 for n in range(50)}, zipped=True)
    cut = whole.getvalue()[:-200]

    with pytest.raises(BadArchive):
        contents(io.BytesIO(cut))


@pytest.mark.parametrize("junk", [b"", b"hello", b"\x1f\x8bjunk", b"PK\x03\x04junk"])
def test_junk_is_a_clear_refusal(junk):
    with pytest.raises(BadArchive):
        contents(io.BytesIO(junk))


def test_random_damage_never_escapes_as_a_crash():
    """Flip bytes all over: each answer is a reading or a refusal."""
    for pack in (zip_of, tar_of, lambda files: tar_of(files, zipped=True)):
        whole = pack({f"d/{n}.py": f"x = {n}\n" * 20 for n in range(8)}).getvalue()
        for at in range(0, len(whole), max(1, len(whole) // 300)):
            damaged = bytearray(whole)
            damaged[at] ^= 0xFF
            try:
                contents(io.BytesIO(bytes(damaged)))
            except (BadArchive, ArchiveTooLarge):
                continue


def test_f1_a_zip_method_that_inflates_without_bounds_is_left_alone():
    """`zipfile` hands 4 KB of bzip2 to the decoder at once: 600 MB from 3 KB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.py", bytes(20 * MB))
    packed.seek(0)

    assert "compressed in a way" in contents(packed)["a.py"]


def test_f1_a_zip_whose_names_are_megabytes_is_refused():
    name, extra, comment = b"a" * 60_000, b"x" * 60_000, b"c" * 60_000
    sizes = (len(name), len(extra), len(comment))
    entry = struct.pack(
        "<4sHHHHHHLLLHHHHHLL",
        b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, *sizes, 0, 0, 0, 0,
    )  # fmt: skip
    directory = (entry + name + extra + comment) * 20
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 20, 20, len(directory), 4, 0)

    with pytest.raises(BadArchive, match="names in this zip"):
        contents(io.BytesIO(b"PK\x03\x04" + directory + end))


@pytest.mark.parametrize("damage", ["signature", "length", "cut"])
def test_f5_a_large_zips_directory_may_lie_too(damage):
    """ZIP64: another end record, before the one that every zip has."""
    whole = zip_of({"a.py": b"x = 1\n"}).getvalue()
    start = whole.rindex(b"PK\x01\x02")
    end = whole.rindex(b"PK\x05\x06")
    record = struct.pack(
        "<4sQHHLLQQQQ",
        *(b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1),
        *(end - start, start),
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    large = whole[:end] + record + locator + whole[end:]
    assert contents(io.BytesIO(large)) == {"a.py": b"x = 1\n"}

    lying = {
        "signature": large.replace(b"PK\x06\x06", b"PK\x06\x09"),
        "length": large.replace(record[40:48], b"\xff" * 8),
        "cut": b"PK\x03\x04" + locator + whole[end:],
    }[damage]
    with pytest.raises(BadArchive, match="directory"):
        contents(io.BytesIO(lying))


def test_an_archives_folders_are_no_files():
    packed = zip_of({"src/": b"", "src/a.py": b"x"})

    assert contents(packed) == {"src/a.py": b"x"}
