"""Archives for tests, the honest and the hostile."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping


def zip_of(files: Mapping[str, bytes | str], *, comment: bytes = b"") -> io.BytesIO:
    """Pack the files as they are named; `comment` is where git puts a commit's id."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = comment
    packed.seek(0)
    return packed


def deflated_zip_of(files: Mapping[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    packed.seek(0)
    return packed


def zip_with_special(
    name: str, kind: int, target: bytes = b"/etc/passwd"
) -> io.BytesIO:
    """Pack one good file and one of a kind such as `stat.S_IFLNK`."""
    packed = zip_of({"repo/good.py": "x = 1\n"})
    with zipfile.ZipFile(packed, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (kind | stat.S_IRUSR) << 16
        archive.writestr(info, target)
    packed.seek(0)
    return packed


def tar_of(
    files: Mapping[str, bytes | str], *, zipped: bool = False, prefix: str = ""
) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz" if zipped else "w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    packed.seek(0)
    return packed


def tar_with_special(kind: bytes, name: str = "repo/special") -> io.BytesIO:
    """Pack one good file and one of a type such as `tarfile.SYMTYPE`."""
    packed = tar_of({"repo/good.py": "x = 1\n"})
    with tarfile.open(fileobj=packed, mode="a") as archive:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    packed.seek(0)
    return packed


def tar_with_giant_header() -> io.BytesIO:
    """A PAX header of 512 MB that `tarfile` would read into memory whole."""
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = 512 * 1024 * 1024
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(512):
            packed.write(bytes(1024 * 1024))
    raw.seek(0)
    return raw


def zip_of_many_entries(count: int) -> io.BytesIO:
    """A zip whose directory names `count` entries and whose end record lies."""
    header = struct.pack(
        "<4sHHHHHHLLLHHHHHLL",
        b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    directory = (header + b"a") * count
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 4, 0)
    return io.BytesIO(b"PK\x03\x04" + directory + end)
