"""Job events: progress, the end, and an end for whoever loses the right (T10)."""

import json

import httpx2
import pytest

from accounts.keys import revoke_key
from workspaces.api import events as job_events
from workspaces.content.files import put_file
from workspaces.indexing.runner import run_next
from workspaces.models import IndexJob
from workspaces.services import delete_workspace
from workspaces.vectors import get_store


@pytest.fixture
def job(asgi_server, alice, vectors):
    return put_file(workspace=alice.workspace, path="a.py", data=b"x = 1\n").job


def address(server, job):
    return f"{server}/api/v1/workspaces/{job.workspace_id}/jobs/{job.pk}/events"


def events(response):
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def watching(server, job, **options):
    return httpx2.stream("GET", address(server, job), timeout=20, **options)


def test_it_tells_progress_and_the_end(asgi_server, alice, job):
    headers = {"X-API-Key": alice.key, "Accept": "text/event-stream"}
    with watching(asgi_server, job, headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        told = events(response)
        name, state = next(told)
        assert (name, state["state"], state["files_total"]) == ("progress", "queued", 1)
        run_next(get_store)
        *_, (name, state) = told
    assert (name, state["state"], state["files_done"]) == ("done", "succeeded", 1)


def test_a_browser_watches_with_its_session(asgi_server, alice, job):
    IndexJob.objects.update(state="cancelled")
    cookies = {"sessionid": alice.web.cookies["sessionid"].value}
    with watching(asgi_server, job, cookies=cookies) as response:
        assert [name for name, _ in events(response)] == ["done"]


def test_t10_a_revoked_key_ends_the_stream(asgi_server, alice, job, monkeypatch):
    """Within how many seconds is tried in test_access_in_many_processes."""
    monkeypatch.setattr(job_events, "RECHECK_SECONDS", 0.4)
    headers = {"X-API-Key": alice.key}
    with watching(asgi_server, job, headers=headers) as response:
        told = events(response)
        assert next(told)[0] == "progress"
        revoke_key(alice.api_key)
        assert [(n, body["code"]) for n, body in told] == [
            ("error", "invalid_credential")
        ]


def test_a_deleted_workspace_ends_the_stream(asgi_server, alice, job):
    headers = {"X-API-Key": alice.key}
    with watching(asgi_server, job, headers=headers) as response:
        told = events(response)
        next(told)
        delete_workspace(workspace=alice.workspace)
        assert list(told) == []


def test_t3_a_stranger_sees_no_events(asgi_server, charlie, job):
    answer = httpx2.get(
        address(asgi_server, job),
        headers={"X-API-Key": charlie.key, "Accept": "text/event-stream"},
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
