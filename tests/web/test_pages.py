"""Each page: its owner sees it, a stranger meets 404, nobody else gets in (T1)."""

import pytest
from django.test import Client
from django.urls import reverse

from assistant.conversations import ask_in
from workspaces.content.files import put_file
from workspaces.jobs.queue import request_rebuild

PUBLIC = [
    *("/", "/pricing/", "/guides/", "/guides/?q=key", "/guides/quickstart/"),
    *("/guides/developer/architecture/", "/legal/terms/", "/legal/privacy/"),
    *("/legal/acceptable-use/", "/styleguide/"),
    *("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"),
]
OWN = [
    *("dashboard", "keys:list", "keys:create", "usage:home", "usage:limits"),
    *("settings:profile", "workspaces:list", "workspaces:create", "chat:home"),
    *("account_email", "account_change_password", "mfa_index", "usersessions_list"),
    *("socialaccount_connections", "connect:index", "steps"),
    *("settings:notifications", "settings:sessions"),
]
KEY_PAGES = ["keys:edit", "keys:rotate", "keys:revoke"]
WORKSPACE_PAGES = [
    *("workspaces:detail", "workspaces:rename", "workspaces:delete"),
    *("workspaces:search", "workspaces:files"),
]
POST_ONLY = ["workspaces:upload", "workspaces:reindex"]


@pytest.fixture
def anyone():
    return Client()


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_page_is_open(db, anyone, address):
    answer = anyone.get(address)

    assert answer.status_code == 200
    assert "<style" not in answer.text and " style=" not in answer.text


@pytest.mark.parametrize("name", OWN)
def test_ones_own_page_asks_for_a_sign_in_first(alice, anyone, name):
    answer = anyone.get(reverse(name))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("name", OWN)
def test_ones_own_page_shows(alice, name):
    assert alice.web.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", KEY_PAGES)
def test_a_key_is_its_owners(alice, charlie, name):
    """T1: to a stranger it does not exist."""
    address = reverse(name, args=[alice.api_key.pk])

    assert alice.web.get(address).status_code == 200
    assert charlie.web.get(address).status_code == 404
    assert charlie.web.post(address, {"name": "mine"}).status_code == 404
    assert charlie.web.put(address).status_code == 405


@pytest.mark.parametrize("name", WORKSPACE_PAGES)
def test_a_workspace_is_its_owners(alice, charlie, name):
    """T1: to a stranger it does not exist."""
    address = reverse(name, args=[alice.workspace.pk])

    assert alice.web.get(address).status_code == 200
    assert charlie.web.get(address).status_code == 404
    assert alice.web.put(address).status_code == 405


@pytest.mark.parametrize("name", POST_ONLY)
def test_a_change_wants_a_post(alice, charlie, name):
    address = reverse(name, args=[alice.workspace.pk])

    assert alice.web.get(address).status_code == 405
    assert charlie.web.post(address).status_code == 404


def test_a_strangers_404_is_the_page_of_an_unknown_address(alice, charlie):
    """T1: the same body, save for the request's own id."""
    foreign = charlie.web.get(
        reverse("workspaces:detail", args=[alice.workspace.pk]),
        headers={"X-Request-ID": "same-for-both"},
    )
    unknown = charlie.web.get("/nowhere/", headers={"X-Request-ID": "same-for-both"})

    assert (foreign.status_code, foreign.content) == (404, unknown.content)


def test_a_file_shows_its_cited_lines(alice, charlie):
    put_file(workspace=alice.workspace, path="src/a.py", data=b"a = 1\nb = 2\nc = 3\n")
    address = reverse("workspaces:source", args=[alice.workspace.pk, "src/a.py"])

    shown = alice.web.get(f"{address}?start=2&end=2")

    assert shown.text.count("is-cited") == 1
    assert '<span class="source-line is-cited" id="L2">' in shown.text
    assert charlie.web.get(address).status_code == 404


def test_code_in_a_file_cannot_become_markup(alice):
    put_file(
        workspace=alice.workspace, path="x.html", data=b"<script>alert(1)</script>"
    )
    address = reverse("workspaces:source", args=[alice.workspace.pk, "x.html"])

    assert "<script>alert" not in alice.web.get(address).text


def test_a_conversation_is_its_owners(alice, charlie):
    found = ask_in(user=alice.user, conversation=None, question="Why?", workspace_id="")
    for name in ("chat:conversation", "chat:delete"):
        address = reverse(name, args=[found.pk])
        assert alice.web.get(address).status_code == 200
        assert charlie.web.get(address).status_code == 404
        assert charlie.web.post(address).status_code in (404, 405)


def test_a_jobs_progress_is_a_fragment_for_htmx(alice, charlie):
    put_file(workspace=alice.workspace, path="a.py", data=b"a = 1\n")
    job = request_rebuild(workspace=alice.workspace)
    address = reverse("workspaces:job", args=[alice.workspace.pk, job.pk])
    htmx = {"HX-Request": "true"}

    fragment = alice.web.get(address, headers=htmx)

    assert "<html" not in fragment.text and 'hx-trigger="every 1s"' in fragment.text
    assert charlie.web.get(address, headers=htmx).status_code == 404
    cancelled = alice.web.post(
        reverse("workspaces:cancel", args=[alice.workspace.pk, job.pk])
    )
    job.refresh_from_db()
    assert (cancelled.status_code, job.state) == (302, "cancelled")
