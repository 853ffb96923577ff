"""Hostile and clumsy requests: a clear answer each, and nothing changes (F2, F5)."""

from hashlib import sha256

import pytest

from aiassist.lib.errors import ValidationFailed
from billing.models import Tier
from workspaces.content.files import put_file
from workspaces.finding.validation import MAX_QUERY_CHARS, validate_query
from workspaces.models import Blob, SourceFile, Sync
from workspaces.receiving.gate import FREE_BYTES, UploadGate
from workspaces.receiving.sync import start_sync

ODD_IDS = ("a%00b", "%00", "..", "%2e%2e", "x" * 3000, "%F0%9F%98%80", "'%22;--", "%ff")
PLACES = (
    *("", "/files", "/files/{}", "/jobs", "/jobs/{}", "/sync/{}", "/import"),
    "/skipped",
)


@pytest.mark.parametrize("odd", ODD_IDS)
def test_f2_odd_ids_in_addresses_are_not_found(alice, odd):
    """Neither a 500 nor another's file; the tables never see a NUL."""
    own = f"/api/v1/workspaces/{alice.workspace.pk}"
    for place in PLACES:
        answers = [alice.api.get(f"/api/v1/workspaces/{odd}{place.format('x')}")]
        if "{}" in place:
            answers.append(alice.api.get(own + place.format(odd)))
        for answer in answers:
            assert answer.status_code in (301, 404), (place, answer.status_code)


@pytest.mark.parametrize(
    "address",
    [
        *("/api/v1/keys/%00", "/api/v1/assistant/conversations/a%00b", "/guides/%00/"),
        *("/dashboard/workspaces/%00/", "/api/v1/webhooks/%00", "/%00", "/admin/%00/"),
    ],
)
def test_f2_no_address_with_a_nul_is_our_failure(alice, address):
    """Wherever in the platform it stands."""
    for caller in (alice.api, alice.web):
        assert caller.get(address).status_code == 404


@pytest.mark.parametrize("odd", ["a%00b.py", "%2e%2e/x.py", "a%5Cb.py", "c:/x.py"])
def test_f2_no_verb_takes_an_odd_path(alice, queue, odd):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/files/{odd}"

    # No address holds a NUL; the others are judged by their path.
    put = 404 if "%00" in odd else 400
    assert alice.api.generic("PUT", address, b"x").status_code == put
    assert alice.api.delete(address).status_code == 404
    assert alice.web.get(f"/dashboard/workspaces/{alice.workspace.pk}/files/{odd}")
    assert not SourceFile.objects.exists()


def test_f2_a_path_of_many_percent_signs_is_a_name_like_another(alice, queue):
    name = "a%25252525.py"  # nothing hides behind it, however often it is decoded

    assert put_file(workspace=alice.workspace, path=name, data=b"x").path == name


@pytest.mark.parametrize(
    "files",
    [["a.py"], {"a.py": 1}, {"a.py": None}, {"a.py": "ABC"}, {"a.py": "0" * 63}, "x"],
)
def test_f5_a_manifest_that_is_none_is_a_clear_400(alice, files):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/sync"

    answer = alice.api.post(address, {"files": files}, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "files"
    assert not Sync.objects.exists()


def test_f5_a_manifest_of_another_media_type_is_415(alice):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/sync"
    assert alice.api.post(address, {"files": "x"}).status_code == 415


def test_f1_an_upload_is_refused_by_its_length_behind_wsgi_too(alice):
    """No gate stands in front there, so the view judges."""
    Tier.objects.filter(pk="free").update(max_storage_bytes=0)
    answer = alice.api.generic(
        "POST",
        f"/api/v1/workspaces/{alice.workspace.pk}/archive",
        b"x",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(17 * 1024**2),
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "archive_too_large")


def test_a_sync_of_an_older_version_is_begun_anew(alice, queue):
    """Its manifest was not kept then."""
    plan = start_sync(
        workspace=alice.workspace, manifest={"a.py": "0" * 64}, delete_missing=True
    )
    Sync.objects.update(manifest=None)
    address = f"/api/v1/workspaces/{alice.workspace.pk}/sync/{plan.sync.pk}"

    for answer in (alice.api.get(address), alice.api.post(f"{address}/commit")):
        assert (answer.status_code, answer.json()["code"]) == (409, "sync_closed")


def test_a_damaged_content_is_told_and_never_shown(alice, queue):
    put_file(workspace=alice.workspace, path="a.py", data=b"x = 1\n")
    other = put_file(workspace=alice.workspace, path="b.py", data=b"y = 2\n")
    damaged = Blob.objects.get(sha256=sha256(b"x = 1\n").hexdigest())
    damaged.content = Blob.objects.get(sha256=other.sha256).content
    damaged.save()
    address = f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py"

    for asked in ({}, {"raw": "true"}):
        answer = alice.api.get(address, asked)
        assert answer.status_code == 404
        assert "damaged" in answer.json()["detail"]
    Blob.objects.all().delete()
    assert alice.api.get(address).status_code == 404


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (" \n ", "blank"),
        ("x" * (MAX_QUERY_CHARS + 1), "max_length"),
        ("a\0b", "null_character"),
        ("go to javascript:alert(1)", "content_policy"),
    ],
)
def test_f5_a_query_that_is_none_says_what_to_change(query, code):
    with pytest.raises(ValidationFailed) as refused:
        validate_query(query)
    assert refused.value.details["errors"] == [
        {
            "field": "query",
            "code": code,
            "detail": refused.value.sentence.partition(": ")[2],
        }
    ]


class Site:
    """An app behind the gate: notes what reached it."""

    def __init__(self):
        self.scopes = []
        self.messages = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] != "http":
            return
        while True:
            message = await receive()
            self.messages.append(message)
            if message["type"] != "http.request" or not message.get("more_body"):
                return


def scope_of(*headers, kind="http"):
    return {"type": kind, "method": "POST", "path": "/", "headers": list(headers)}


async def through(scope, *messages):
    """Send these messages through the gate; return the site and what was answered."""
    site, answered, waiting = Site(), [], list(messages)

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        answered.append(message)

    await UploadGate(site)(scope, receive, send)
    return site, answered


async def test_what_is_no_http_passes_the_gate_untouched():
    site, _ = await through(scope_of(kind="lifespan"))
    assert [scope["type"] for scope in site.scopes] == ["lifespan"]


async def test_a_client_who_leaves_in_the_middle_reaches_nobody():
    """Half of a compressed body is no body."""
    half = {"type": "http.request", "body": b"\x1f\x8b\x08", "more_body": True}

    site, answered = await through(scope_of((b"content-encoding", b"gzip")), half)

    assert (site.scopes, answered) == ([], [])


async def test_a_disconnect_reaches_the_site_as_it_is():
    site, _ = await through(scope_of(), {"type": "http.disconnect"})
    assert site.messages == [{"type": "http.disconnect"}]


@pytest.mark.django_db(transaction=True)
async def test_a_refused_body_is_answered_once_and_read_no_further():
    piece = {"type": "http.request", "body": bytes(FREE_BYTES), "more_body": True}

    site, answered = await through(scope_of(), piece, piece, piece)

    assert [m["type"] for m in site.messages] == ["http.request", "http.disconnect"]
    assert [m["type"] for m in answered] == [
        "http.response.start",
        "http.response.body",
    ]
    assert answered[0]["status"] == 401
