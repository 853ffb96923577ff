"""An upload that can never fit is refused before its body is read."""

import gzip
import json
import socket
from contextlib import closing
from hashlib import sha256
from urllib.parse import urlsplit

import pytest
import zstandard

from billing.models import Tier
from workspaces.receiving.gate import FREE_BYTES

GB = 1024**3
MB = 1024**2


class Wire:
    """A bare HTTP/1.1 client that says what it likes."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.socket = socket.create_connection((parts.hostname, parts.port), 10)
        self.host = parts.netloc

    def close(self):
        self.socket.close()

    def head(self, method, path, **headers):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def answer(self):
        raw = b""
        while True:
            piece = self.socket.recv(65536)
            raw += piece
            head, _, body = raw.partition(b"\r\n\r\n")
            if not piece or (head and _complete(head, body)):
                return int(head.split()[1]), json.loads(body)


def _complete(head, body):
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


@pytest.fixture
def wire(asgi_server):
    opened = Wire(asgi_server)
    yield opened
    opened.close()


def test_f1_two_gigabytes_on_the_free_tier_are_refused_by_their_length(wire, alice):
    wire.head(
        "POST",
        f"/api/v1/workspaces/{alice.workspace.pk}/archive",
        X_API_Key=alice.key,
        Content_Type="multipart/form-data; boundary=x",
        Content_Length=2 * GB,
    )

    status, body = wire.answer()  # not one byte of the body was sent

    assert (status, body["code"]) == (413, "archive_too_large")
    assert "2,048.0 MB" in body["detail"]
    assert body["limit"] == 200 * MB + 16 * MB
    assert "The tier 'free' takes 216.0 MB, 'pro' 2,064.0 MB." in body["detail"]
    assert body["alternatives"][-1] == "Move to the tier 'pro' (2,064.0 MB)."


def test_a_browsers_session_is_known_to_the_gate(wire, alice):
    cookie = alice.web.cookies["sessionid"].value
    wire.head(
        "POST", "/dashboard/", Cookie=f"sessionid={cookie}", Content_Length=2 * GB
    )

    assert wire.answer()[0] == 413


def test_a_large_body_without_a_credential_is_not_taken(wire):
    wire.head("POST", "/api/v1/workspaces", Content_Length=FREE_BYTES + 1)

    status, body = wire.answer()
    assert (status, body["code"]) == (401, "not_authenticated")


def test_a_large_body_with_a_wrong_key_is_not_taken(wire):
    wire.head(
        "POST",
        "/api/v1/workspaces",
        X_API_Key="aia_wrong",
        Content_Length=FREE_BYTES + 1,
    )

    assert wire.answer()[0] == 401


def test_a_body_without_a_length_stops_at_the_limit(wire, alice):
    Tier.objects.filter(pk="free").update(max_storage_bytes=MB)
    wire.head(
        "PUT",
        f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py",
        X_API_Key=alice.key,
        Transfer_Encoding="chunked",
    )
    piece = b"100000\r\n" + bytes(MB) + b"\r\n"
    try:
        for _ in range(40):
            wire.socket.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass

    status, body = wire.answer()
    assert (status, body["code"]) == (413, "archive_too_large")


def test_an_ordinary_upload_passes(wire, alice):
    data = b"x = 1\n" * 10
    wire.head(
        "PUT",
        f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py",
        X_API_Key=alice.key,
        Content_Type="application/octet-stream",
        Content_Length=len(data),
    )
    wire.socket.sendall(data)

    assert wire.answer()[0] == 201


def put_encoded(wire, alice, data, encoding, **credential):
    wire.head(
        "PUT",
        f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py",
        Content_Length=len(data),
        Content_Encoding=encoding,
        **credential or {"X_API_Key": alice.key},
    )
    wire.socket.sendall(data)
    return wire.answer()


SOURCE = b"def f():\n    return 1\n" * 5000
ENCODINGS = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "GZip": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_body_is_kept_as_what_it_holds(wire, alice, encoding):
    status, answer = put_encoded(wire, alice, ENCODINGS[encoding](SOURCE), encoding)

    assert status == 201, answer
    assert answer["sha256"] == sha256(SOURCE).hexdigest()


def test_a_compressed_manifest_and_parts_sync(asgi_server, alice):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/sync"
    manifest = json.dumps({"files": {"a.py": sha256(SOURCE).hexdigest()}}).encode()

    def post(path, body, content_type):
        with closing(Wire(asgi_server)) as opened:
            packed = gzip.compress(body)
            opened.head(
                "POST",
                address + path,
                X_API_Key=alice.key,
                Content_Type=content_type,
                Content_Encoding="gzip",
                Content_Length=len(packed),
            )
            opened.socket.sendall(packed)
            return opened.answer()

    status, plan = post("", manifest, "application/json")
    assert (status, plan["missing"]) == (200, ["a.py"])
    part = (
        b'--x\r\nContent-Disposition: form-data; name="a.py"; filename="a.py"\r\n\r\n'
        + SOURCE
        + b"\r\n--x--\r\n"
    )
    status, got = post(
        f"/{plan['sync_id']}/files", part, "multipart/form-data; boundary=x"
    )
    assert (status, got) == (200, {"received": ["a.py"]})


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_f1_a_bomb_is_stopped_while_it_inflates(wire, alice, encoding):
    pack = {
        "gzip": lambda data: gzip.compress(data, 9),
        "zstd": zstandard.ZstdCompressor(level=3).compress,
    }[encoding]
    bomb = pack(bytes(100 * MB))

    status, problem = put_encoded(wire, alice, bomb, encoding)

    assert (status, problem["code"]) == (413, "archive_too_large")


def test_f1_a_stranger_inflates_no_more_than_anybody_may_send(wire, alice):
    bomb = gzip.compress(bytes(FREE_BYTES + 1))

    status, problem = put_encoded(wire, alice, bomb, "gzip", Accept="*/*")

    assert (status, problem["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain text", "gzip"),
        (gzip.compress(SOURCE)[:-9], "gzip"),
        (b"", "gzip"),
        (zstandard.ZstdCompressor().compress(SOURCE)[:-3], "zstd"),
        (b"\x28\xb5\x2f\xfdxx", "zstd"),
    ],
)
def test_f5_a_broken_encoding_is_a_clear_400(wire, alice, data, encoding):
    status, problem = put_encoded(wire, alice, data, encoding)

    assert (status, problem["code"]) == (400, "bad_encoding")


def test_f5_an_encoding_that_nobody_knows_is_415(wire, alice):
    status, problem = put_encoded(wire, alice, b"x", "br")

    assert (status, problem["code"]) == (415, "unsupported_encoding")


def test_f5_a_compressed_body_that_nobody_inflated_is_never_stored(alice):
    """Behind WSGI no gate stands in front."""
    answer = alice.api.generic(
        "PUT",
        f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py",
        gzip.compress(SOURCE),
        HTTP_CONTENT_ENCODING="gzip",
    )

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
