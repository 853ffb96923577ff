"""The pages of a workspace: folders, rules, health, and what follows a job."""

import pytest
from django.urls import reverse

from workspaces.content.files import put_file
from workspaces.jobs.queue import request_rebuild
from workspaces.models import IndexJob, Workspace


@pytest.fixture
def filled(alice):
    for path in ("README.md", "src/a.py", "src/deep/b.py", "src/deep/c.py"):
        put_file(workspace=alice.workspace, path=path, data=b"x = 1\n")
    return alice.workspace


def page(name, *ids):
    return reverse(f"workspaces:{name}", args=ids)


def test_files_are_shown_folder_by_folder(alice, filled):
    top = alice.web.get(page("files", filled.pk))
    assert [(c.name, c.n_files) for c in top.context["children"]] == [
        ("src", 3),
        ("README.md", 1),
    ]
    deep = alice.web.get(page("files", filled.pk), {"dir": "src/deep"})
    assert [c.name for c in deep.context["children"]] == ["b.py", "c.py"]
    assert deep.context["trail"] == [("src", "src"), ("deep", "src/deep")]


@pytest.mark.parametrize("folder", ["nowhere", "../..", "src%2e"])
def test_a_folder_that_is_not_there_shows_the_list(alice, filled, folder):
    assert alice.web.get(page("files", filled.pk), {"dir": folder}).status_code == 200


def test_rules_are_changed_and_hold_at_once(alice, charlie, filled):
    address = page("rules", filled.pk)
    body = {"exclude": "src/deep/\n\n*.md", "include": "", "use_gitignore": "on"}

    assert charlie.web.post(address, body).status_code == 404
    assert alice.web.post(address, body).status_code == 302
    assert Workspace.objects.get(pk=filled.pk).exclude == ["src/deep/", "*.md"]
    assert "src/deep/" in alice.web.get(address).text


def test_a_bad_pattern_is_refused_on_the_form(alice, filled):
    body = {"exclude": "x" * 5000, "include": ""}
    shown = alice.web.post(page("rules", filled.pk), body)

    assert shown.status_code == 200 and "alert-bad" in shown.text


def test_the_health_of_an_index_is_shown(alice, filled, vectors):
    shown = alice.web.get(page("detail", filled.pk))

    assert shown.context["health"].points == 0
    assert "Vectors" in shown.text


def test_badge_and_facts_follow_the_jobs_end(alice, filled, vectors):
    job = request_rebuild(workspace=filled)
    htmx = {"HX-Request": "true"}
    address = page("job", filled.pk, job.pk)
    running = alice.web.get(address, headers=htmx).text
    IndexJob.objects.filter(pk=job.pk).update(
        state="failed",
        skipped_reasons=[{"reason": "is binary", "count": 7}],
        n_skipped=7,
    )
    over = alice.web.get(address, headers=htmx).text

    assert "hx-swap-oob" not in running
    assert 'id="workspace-status" hx-swap-oob="true"' in over
    assert 'id="workspace-facts" hx-swap-oob="true"' in over
    assert "is binary" in over


def test_a_repository_is_followed_and_its_token_never_shown(alice, charlie, queue):
    address = page("import", alice.workspace.pk)
    body = {"url": "https://git.example.org/a/b.git", "token": "canary-token-1"}

    assert charlie.web.post(address, body).status_code == 404
    assert alice.web.post(address, body).status_code == 302
    shown = alice.web.get(address).text
    assert "git.example.org/a/b.git" in shown and "canary-token-1" not in shown


def test_an_address_that_may_not_be_fetched_is_refused_on_the_form(alice):
    body = {"url": "http://127.0.0.1/x.git"}
    shown = alice.web.post(page("import", alice.workspace.pk), body)

    assert shown.status_code == 200 and "alert-bad" in shown.text


def test_a_hooks_secret_is_shown_once_and_following_ends(alice, queue):
    body = {"url": "https://git.example.org/a/b.git"}
    alice.web.post(page("import", alice.workspace.pk), body)
    made = alice.web.post(page("import_hook", alice.workspace.pk))
    secret = made.context["secret"]

    assert secret in made.text and "no-store" in made["Cache-Control"]
    assert secret not in alice.web.get(page("import", alice.workspace.pk)).text
    alice.web.post(page("import_forget", alice.workspace.pk))
    gone = alice.web.post(page("import_forget", alice.workspace.pk))
    assert gone.status_code == 409
