"""Parts of a sync's upload may be compressed, each by itself."""

import base64
import gzip
import tracemalloc
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
import zstandard

from billing.models import Tier
from workspaces.api.parts import Parts
from workspaces.models import Blob
from workspaces.receiving.sync import start_sync

SOURCE = b"def f():\n    return 1\n" * 500
MB = 1024**2
PACKED = {
    "gzip": gzip.compress(SOURCE),
    "zstd": zstandard.ZstdCompressor().compress(SOURCE),
    "identity": SOURCE,
    "": SOURCE,
}


@pytest.fixture
def send(alice, queue):
    """Upload parts of (path, bytes, headers) to a sync that names `SOURCE` thrice."""
    digest = sha256(SOURCE).hexdigest()
    plan = start_sync(
        workspace=alice.workspace,
        manifest=dict.fromkeys(("a.py", "src/b.py", "\u00e9.py"), digest),
        delete_missing=True,
    )
    address = f"/api/v1/workspaces/{alice.workspace.pk}/sync/{plan.sync.pk}/files"

    def call(*parts, by=alice.api, end=b"--x--\r\n", **more):
        body = b""
        for path, data, *headers in parts:
            name, filename = path if isinstance(path, tuple) else (path, "f")
            lines = [
                f'Content-Disposition: form-data; name="{name}"; filename="{filename}"',
                *headers,
            ]
            body += b"--x\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n"
            body += data + b"\r\n"
        return by.generic(
            "POST",
            address,
            body + end,
            content_type="multipart/form-data; boundary=x",
            **more,
        )

    return call


@pytest.mark.parametrize("encoding", PACKED)
def test_a_part_is_kept_as_what_it_holds(send, encoding):
    headers = [f"Content-Encoding: {encoding}"] if encoding else []

    answer = send(("src/b.py", PACKED[encoding], *headers))

    assert answer.json() == {"received": ["src/b.py"]}
    assert Blob.objects.get().sha256 == sha256(SOURCE).hexdigest()


def test_each_part_has_an_encoding_of_its_own(send):
    answer = send(
        ("a.py", PACKED["zstd"], "Content-Encoding: zstd"),
        ("src/b.py", SOURCE, "Content-Type: text/x-python"),
        ("\u00e9.py", PACKED["gzip"], "content-encoding: GZIP"),
    )

    assert answer.json() == {"received": ["a.py", "src/b.py", "\u00e9.py"]}


def test_parts_of_a_list_are_named_by_their_filenames(alice, send):
    answer = send((("files", "src/b.py"), SOURCE), (("files[]", "a.py"), SOURCE))

    assert answer.json() == {"received": ["a.py", "src/b.py"]}


def test_a_part_in_base64_is_taken_out_of_it(send):
    lines = base64.encodebytes(SOURCE)

    answer = send(("a.py", lines, "Content-Transfer-Encoding: base64"))

    assert answer.json() == {"received": ["a.py"]}


BROKEN = {
    "cut off": (PACKED["gzip"][:-9], "Content-Encoding: gzip", 400, "bad_encoding"),
    "plain": (SOURCE, "Content-Encoding: zstd", 400, "bad_encoding"),
    "empty": (b"", "Content-Encoding: gzip", 400, "bad_encoding"),
    "unknown": (SOURCE, "Content-Encoding: br", 415, "unsupported_encoding"),
    "another file": (PACKED["gzip"], "X-Other: 1", 409, "content_mismatch"),
    "no base64": (b"!!!!", "Content-Transfer-Encoding: base64", 400, ""),
    "short base64": (b"YWJ", "Content-Transfer-Encoding: base64", 400, ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_f5_a_part_that_is_not_what_it_says_is_refused_with_its_name(send, what):
    data, header, status, code = BROKEN[what]

    answer = send(("\u00e9.py", SOURCE), ("a.py", data, header))

    told = answer.json()
    assert answer.status_code == status, told
    if code:
        assert (told["code"], "'a.py'" in told["detail"]) == (code, True)
    assert not Blob.objects.exists(), "all parts count, or none does"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_f1_a_part_inflates_to_no_more_than_a_file_may_have(send, encoding):
    Tier.objects.filter(pk="free").update(max_file_bytes=MB)
    bomb = {
        "gzip": lambda data: gzip.compress(data, 1),
        "zstd": zstandard.ZstdCompressor().compress,
    }[encoding](bytes(200 * MB))

    tracemalloc.start()
    answer = send(("a.py", bomb, f"Content-Encoding: {encoding}"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")
    assert peak < 40 * MB


def test_f6_one_name_twice_is_refused_and_charges_nothing(send, alice):
    answer = send(("\u00e9.py", b"other"), ("e\u0301.py", SOURCE))

    assert (answer.status_code, answer.json()["code"]) == (409, "content_mismatch")
    assert not Blob.objects.exists()


def test_f1_more_parts_than_a_request_may_have_are_refused(send, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 5

    answer = send(*[(f"{n}.py", b"") for n in range(6)])

    assert answer.status_code == 400


def test_f1_fields_that_are_no_files_are_few(send):
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + bytes(MB)

    assert send(end=field + b"\r\n--x--\r\n").status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--x\r\nnothing", b"--x\r\n\r\n\r\n--x--", b"\x00" * 5000],
)
def test_f5_a_body_without_parts_says_what_to_send(send, body):
    answer = send(end=body)

    assert answer.status_code == 400
    assert answer.json()["code"] in {"validation_failed", "unreadable_body"}


def test_a_browser_sends_parts_with_its_session(send, alice):
    assert send(("a.py", SOURCE), by=alice.web).json() == {"received": ["a.py"]}


def test_f1_many_parts_are_held_on_disk_in_one_file():
    head = b'--x\r\nContent-Disposition: form-data; name="%d"; filename="f"\r\n\r\n'
    parts = (head % n + b"%d" % (n % 10) * 900_000 + b"\r\n" for n in range(40))
    body = b"".join(parts) + b"--x--\r\n"

    tracemalloc.start()
    _, found = Parts(None).handle_raw_input(BytesIO(body), {}, len(body), b"x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    files: dict[str, Any] = dict(found.items())
    assert peak < 8 * MB
    assert [file.size for file in files.values()] == [900_000] * 40
    assert files["7"].read(3) + files["8"].read(3) + files["7"].read(3) == b"777888777"
    files["7"].close()
