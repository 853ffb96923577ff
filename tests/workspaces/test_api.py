"""The workspaces' API over HTTP: whole answers, strangers, wrong methods, bodies."""

from hashlib import sha256
from unittest.mock import ANY

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from billing.metering.admission import limits_for
from billing.models import Tier
from tests.workspaces.packing import zip_of

AUTH = b"def sign_in(user, password):\n    return check_password(user, password)\n"


def url(workspace, rest=""):
    return f"/api/v1/workspaces/{workspace.pk}{rest}"


def sha(data):
    return sha256(data).hexdigest()


def code_of(response):
    return response.status_code, response.json()["code"]


def empty(workspace, **other):
    return {
        "id": workspace.pk,
        "name": "code",
        "status": "empty",
        "files": 0,
        "chunks": 0,
        "bytes": 0,
        "generation": 0,
        "last_indexed_at": None,
        "include": [],
        "exclude": [],
        "use_gitignore": True,
        **other,
    }


def test_it_creates_shows_renames_and_deletes(alice):
    created = alice.api.post("/api/v1/workspaces", {"name": " code "}, format="json")
    assert created.status_code == 201
    workspace = created.json()
    assert workspace == {
        "id": ANY,
        "name": "code",
        "status": "empty",
        "files": 0,
        "chunks": 0,
        "bytes": 0,
        "generation": 0,
        "last_indexed_at": None,
        "include": [],
        "exclude": [],
        "use_gitignore": True,
    }
    one = f"/api/v1/workspaces/{workspace['id']}"
    listed = alice.api.get("/api/v1/workspaces").json()
    assert listed == {"results": [workspace], "next": None}
    assert alice.api.get(one).json() == workspace
    renamed = alice.api.patch(one, {"name": "new"}, format="json")
    assert renamed.json() == {**workspace, "name": "new"}
    assert alice.api.delete(one).status_code == 204
    assert code_of(alice.api.get(one)) == (404, "not_found")
    assert alice.api.get("/api/v1/workspaces").json()["results"] == []


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": None}]
)
def test_a_bad_name_is_refused(alice, body):
    response = alice.api.post("/api/v1/workspaces", body, format="json")

    assert code_of(response) == (400, "validation_failed")
    assert response.json()["errors"][0]["field"] == "name"


def test_the_tier_bounds_the_number_of_workspaces(alice):
    Tier.objects.filter(pk="free").update(max_workspaces=1)
    assert alice.workspace

    response = alice.api.post("/api/v1/workspaces", {"name": "two"}, format="json")

    assert code_of(response) == (403, "workspace_limit")
    assert response.json()["limit"] == 1


def test_the_owner_cannot_write_what_is_ours(alice, charlie):
    """T4: extra members of a body change nothing."""
    response = alice.api.patch(
        url(alice.workspace),
        {"name": "x", "user": charlie.user.pk, "status": "ready", "generation": 9},
        format="json",
    )

    assert response.json() == empty(alice.workspace, name="x")
    alice.workspace.refresh_from_db()
    assert alice.workspace.user_id == alice.user.pk


def test_the_main_job_over_http(alice, indexer):
    files = {"auth.py": AUTH, "readme.md": b"# Hello\n"}
    manifest = {path: sha(data) for path, data in files.items()}
    started = alice.api.post(
        url(alice.workspace, "/sync"),
        {"files": manifest, "delete_missing": True},
        format="json",
    )
    assert started.status_code == 200
    assert started.json() == {
        "sync_id": ANY,
        "missing": ["auth.py", "readme.md"],
        "deleted": 0,
        "unchanged": 0,
        "skipped": [],
        "n_skipped": 0,
        "skipped_reasons": [],
    }
    sync = f"/sync/{started.json()['sync_id']}"

    early = alice.api.post(url(alice.workspace, f"{sync}/commit"))
    assert code_of(early) == (409, "incomplete_sync")
    assert early.json()["missing"] == ["auth.py", "readme.md"]

    put = alice.api.put(
        url(alice.workspace, "/files/auth.py"), AUTH, content_type="text/x-python"
    )
    assert put.status_code == 201
    assert put.json() == {
        "path": "auth.py",
        "sha256": sha(AUTH),
        "bytes": len(AUTH),
        "staged": True,
        "job_id": None,
    }
    many = alice.api.post(
        url(alice.workspace, f"{sync}/files"),
        {"readme.md": SimpleUploadedFile("readme.md", b"# Hello\n")},
        format="multipart",
    )
    assert (many.status_code, many.json()) == (200, {"received": ["readme.md"]})

    committed = alice.api.post(url(alice.workspace, f"{sync}/commit"))
    assert committed.status_code == 202
    job = committed.json()
    assert job == {
        "id": ANY,
        "workspace_id": alice.workspace.pk,
        "state": "queued",
        "phase": "queued",
        "progress": 0.0,
        "files_total": 2,
        "files_read": 0,
        "files_done": 0,
        "chunks": 0,
        "chunks_total": None,
        "chunks_computed": 0,
        "eta_seconds": None,
        "skipped": [],
        "n_skipped": 0,
        "skipped_reasons": [],
        "error": "",
        "created_at": ANY,
        "started_at": None,
        "finished_at": None,
    }
    assert committed["Location"] == url(alice.workspace, f"/jobs/{job['id']}")

    indexer.run()
    done = alice.api.get(committed["Location"]).json()
    assert (done["state"], done["files_done"], done["chunks"]) == ("succeeded", 2, 2)
    assert alice.api.get(url(alice.workspace, "/jobs")).json()["results"] == [done]

    searched = alice.api.post(
        url(alice.workspace, "/search"),
        {"query": "how do users log in", "max_results": 1},
        format="json",
    )
    assert searched.status_code == 200
    assert searched.json() == {
        "results": [
            {
                "path": "auth.py",
                "start_line": 1,
                "end_line": ANY,
                "language": "python",
                "symbol": ANY,
                "score": ANY,
                "text": ANY,
                "sha256": sha(AUTH),
                "generation": 1,
                "served_by": ANY,
            }
        ],
        "took_ms": ANY,
        "index": {"state": "ready", "generation": 1, "keywords": 1.0, "meaning": 1.0},
    }
    assert searched["x-ratelimit-limit-requests"]
    assert "RateLimit" in searched


def test_an_archive_is_accepted(alice, queue):
    response = alice.api.post(
        url(alice.workspace, "/archive"),
        {"file": SimpleUploadedFile("r.zip", zip_of({"r/a.py": "x\n"}).getvalue())},
        format="multipart",
    )

    assert response.status_code == 202
    assert response.json()["state"] == "queued"
    assert queue.names == ["workspaces.index"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 broken", "cut off"),
        (b"hello", "neither"),
        (zip_of({}).getvalue(), "holds no files"),
    ],
)
def test_a_broken_archive_is_a_clear_400(alice, content, words):
    response = alice.api.post(
        url(alice.workspace, "/archive"),
        {"file": SimpleUploadedFile("r.zip", content)},
        format="multipart",
    )

    assert code_of(response) == (400, "bad_archive")
    assert words in response.json()["detail"]


def test_an_archive_request_without_a_file_says_so(alice):
    response = alice.api.post(url(alice.workspace, "/archive"), {}, format="multipart")

    assert code_of(response) == (400, "validation_failed")
    assert response.json()["errors"][0]["field"] == "file"


def put(person, path, data):
    return person.api.put(
        url(person.workspace, f"/files/{path}"),
        data,
        content_type="application/octet-stream",
    )


def test_files_are_listed_read_and_deleted(alice, queue):
    put(alice, "src/auth.py", AUTH)
    file = {
        "path": "src/auth.py",
        "sha256": sha(AUTH),
        "bytes": len(AUTH),
        "language": "python",
        "updated_at": ANY,
        "skipped": "",
    }
    listed = alice.api.get(url(alice.workspace, "/files")).json()
    assert listed == {"results": [file], "next": None}

    one = url(alice.workspace, "/files/src/auth.py")
    assert alice.api.get(one, {"start": 2, "end": 9}).json() == {
        **file,
        "lines": 2,
        "start_line": 2,
        "end_line": 2,
        "text": "    return check_password(user, password)",
        "changed": None,
        "moved_to": None,
    }
    raw = alice.api.get(one, {"raw": "true"})
    assert (raw.content, raw["Content-Type"]) == (AUTH, "application/octet-stream")
    assert code_of(alice.api.get(one, {"start": 5})) == (400, "validation_failed")
    assert alice.api.delete(one).status_code == 202
    assert code_of(alice.api.get(one)) == (404, "not_found")
    assert code_of(alice.api.delete(one)) == (404, "not_found")


def test_a_file_that_is_no_text_shows_no_text(alice):
    put(alice, "odd.py", b"\x00\x01\x02")

    answer = alice.api.get(url(alice.workspace, "/files/odd.py")).json()

    assert (answer["text"], answer["lines"]) == (None, 0)


@pytest.mark.parametrize(
    ("path", "data", "status", "code"),
    [
        ("a/%2e%2e/%2e%2e/b.py", b"x", 400, "path_refused"),
        ("%5cb.py", b"x", 400, "path_refused"),
        ("a%00.py", b"x", 404, "not_found"),
        (".env", b"x", 400, "file_refused"),
        ("big.py", b"#" * (1024 * 1024 + 1), 413, "file_too_large"),
    ],
)
def test_a_put_is_refused_with_a_reason(alice, path, data, status, code):
    assert code_of(put(alice, path, data)) == (status, code)


def test_a_manifest_with_an_escape_is_refused(alice):
    response = alice.api.post(
        url(alice.workspace, "/sync"),
        {"files": {"../x": "0" * 64}},
        format="json",
    )

    assert code_of(response) == (400, "path_refused")
    assert response.json()["errors"][0]["field"] == "files"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": "   "}, "query"),
        ({"query": "x" * 2001}, "query"),
        ({"query": "<script>alert(1)</script>"}, "query"),
        ({"query": "JavaScript:alert(1)"}, "query"),
        ({"query": "x", "max_results": 0}, "max_results"),
        ({"query": "x", "max_results": 101}, "max_results"),
        ({"query": "x", "mode": "magic"}, "mode"),
        ({"query": "x", "language": "c; drop"}, "language"),
        ({"query": "x", "path_glob": "*" * 300}, "path_glob"),
    ],
)
def test_a_bad_search_says_which_field_and_costs_nothing(alice, body, field):
    before = limits_for(alice.user)

    response = alice.api.post(url(alice.workspace, "/search"), body, format="json")

    assert code_of(response) == (400, "validation_failed")
    assert response.json()["errors"][0]["field"] == field
    after = limits_for(alice.user)
    assert (after.hour.used, after.day.used) == (before.hour.used, before.day.used)


def test_a_search_in_an_empty_workspace_finds_nothing(alice):
    response = alice.api.post(
        url(alice.workspace, "/search"), {"query": "x"}, format="json"
    )

    empty_index = {"state": "empty", "generation": 0, "keywords": 0.0, "meaning": 0.0}
    assert response.json() == {"results": [], "took_ms": ANY, "index": empty_index}


def routes(workspace, job_id="job_x", sync_id="sync_x"):
    return [
        ("get", url(workspace)),
        ("patch", url(workspace)),
        ("delete", url(workspace)),
        ("post", url(workspace, "/sync")),
        ("post", url(workspace, f"/sync/{sync_id}/files")),
        ("post", url(workspace, f"/sync/{sync_id}/commit")),
        ("post", url(workspace, "/archive")),
        ("get", url(workspace, "/files")),
        ("get", url(workspace, "/files/a.py")),
        ("put", url(workspace, "/files/a.py")),
        ("delete", url(workspace, "/files/a.py")),
        ("get", url(workspace, "/jobs")),
        ("get", url(workspace, f"/jobs/{job_id}")),
        ("get", url(workspace, f"/jobs/{job_id}/events")),
        ("post", url(workspace, f"/jobs/{job_id}/cancel")),
        ("post", url(workspace, "/search")),
    ]


def test_t1_a_stranger_gets_what_an_unknown_id_gets(alice, charlie):
    job_id = put(alice, "a.py", AUTH).json()["job_id"]
    sync_id = alice.api.post(
        url(alice.workspace, "/sync"), {"files": {}}, format="json"
    ).json()["sync_id"]
    known = routes(alice.workspace, job_id, sync_id)
    alice.workspace.pk = "workspace_unknown"
    unknown = routes(alice.workspace)

    for (method, known_url), (_, unknown_url) in zip(known, unknown, strict=True):
        answers = []
        for address in (known_url, unknown_url):
            response = getattr(charlie.api, method)(address)
            body = response.json()
            body.pop("request_id")
            answers.append((response.status_code, body))
        assert answers[0] == answers[1], known_url
        assert answers[0][0] == 404


def test_t2_a_job_or_sync_of_another_workspace_is_unknown(alice, charlie):
    job_id = put(alice, "a.py", AUTH).json()["job_id"]

    for method, rest in (("get", ""), ("get", "/events"), ("post", "/cancel")):
        address = url(charlie.workspace, f"/jobs/{job_id}{rest}")
        assert getattr(charlie.api, method)(address).status_code == 404


def test_nobody_gets_in_without_a_credential(alice, client):
    for method, address in routes(alice.workspace):
        assert code_of(getattr(client, method)(address)) == (401, "not_authenticated")


def test_a_wrong_method_is_405(alice):
    for address, method in (
        ("/api/v1/workspaces", "delete"),
        (url(alice.workspace), "post"),
        (url(alice.workspace, "/sync"), "get"),
        (url(alice.workspace, "/archive"), "get"),
        (url(alice.workspace, "/files"), "post"),
        (url(alice.workspace, "/jobs"), "post"),
        (url(alice.workspace, "/search"), "get"),
    ):
        response = getattr(alice.api, method)(address)
        assert code_of(response) == (405, "method_not_allowed"), address


def test_a_running_job_is_cancelled_and_an_ended_one_is_not(alice):
    job_id = put(alice, "a.py", AUTH).json()["job_id"]
    address = url(alice.workspace, f"/jobs/{job_id}/cancel")

    cancelled = alice.api.post(address)
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert code_of(alice.api.post(address)) == (409, "job_not_active")
