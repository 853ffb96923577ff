"""A worker's turn at an import, and what may happen to the workspace meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from aiassist.lib.clock import now
from aiassist.lib.errors import NotFound
from tests.workspaces.git_imports import imported, paths
from workspaces.git import importing, sources
from workspaces.git.errors import PushRefused
from workspaces.git.importing import run_import, sweep_imports
from workspaces.git.sources import ask_import, forget_source, hear_push, new_hook_secret
from workspaces.models import GitSource, IndexJob
from workspaces.receiving.archives import gather
from workspaces.services import delete_workspace
from workspaces.tasks import fetch_task


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something while the pack is read."""

    def arrange(work):
        def gather_after(*arguments, **more):
            work()
            return gather(*arguments, **more)

        monkeypatch.setattr(importing, "gather", gather_after)

    return arrange


def test_j3_a_message_for_nothing_is_no_mistake(alice, queue):
    fetch_task("workspace_gone")
    fetch_task(alice.workspace.pk)

    assert not IndexJob.objects.exists()


def test_a_repository_that_was_forgotten_ends_its_job(alice, host, repository, queue):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    forget_source(workspace=alice.workspace)

    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, job.error) == ("cancelled", "Its repository was forgotten.")
    assert host.asked == []


def test_j4_an_import_that_keeps_killing_its_worker_is_given_up(alice, host, queue):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    GitSource.objects.update(attempts=GitSource.MAX_ATTEMPTS)

    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, bool(job.error), host.asked) == ("failed", True, [])
    assert GitSource.objects.get().attempts == 0, "and may be asked for again"


def test_a_token_that_cannot_be_unsealed_says_what_to_do(alice, host, queue):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git", token="t")
    GitSource.objects.update(token="sealed with a key that is gone")

    run_import(alice.workspace.pk)

    assert "Give it anew" in IndexJob.objects.get().error
    assert host.asked == []


def test_m5_a_bug_ends_the_try_and_tells_nothing_of_the_code(
    alice, host, repository, queue, meanwhile, caplog
):
    def break_down():
        raise RuntimeError("canary of the code")

    meanwhile(break_down)
    job = imported(alice, host)

    source = GitSource.objects.get()
    assert (job.state, source.error) == ("queued", "The import failed (RuntimeError).")
    assert source.not_before and source.not_before > now()
    assert "canary" not in caplog.text


def test_j8_a_workspace_deleted_during_a_fetch_stays_deleted(
    alice, host, repository, queue, meanwhile
):
    meanwhile(lambda: delete_workspace(workspace=alice.workspace))

    imported(alice, host)

    with pytest.raises(NotFound):
        ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    assert paths(alice.workspace) == set()


def test_j8_a_try_that_fails_in_a_deleted_workspace_is_quiet(
    alice, host, repository, queue, meanwhile, caplog
):
    def break_down():
        delete_workspace(workspace=alice.workspace)
        raise RuntimeError

    meanwhile(break_down)
    imported(alice, host)

    assert paths(alice.workspace) == set()


def test_j3_a_worker_that_was_overtaken_keeps_nothing(
    alice, host, repository, queue, meanwhile
):
    """It slept past its lease, and another one has taken over."""
    taken = {"lease_token": "another", "lease_until": now() + timedelta(minutes=1)}
    meanwhile(lambda: GitSource.objects.update(**taken))

    imported(alice, host)

    assert paths(alice.workspace) == set()
    assert GitSource.objects.get().lease_token == "another"


def test_j3_a_worker_that_was_overtaken_between_reading_and_keeping_keeps_nothing(
    alice, host, repository, queue, monkeypatch
):
    def gather_then_sleep(*arguments, **more):
        gathered = gather(*arguments, **more)
        GitSource.objects.update(lease_token="another")
        return gathered

    monkeypatch.setattr(importing, "gather", gather_then_sleep)
    imported(alice, host)

    assert paths(alice.workspace) == set()


def test_j3_a_failure_of_one_who_was_overtaken_changes_nothing(
    alice, host, repository, queue, meanwhile
):
    def break_down():
        GitSource.objects.update(lease_token="another")
        raise RuntimeError

    meanwhile(break_down)
    imported(alice, host)

    source = GitSource.objects.get()
    assert (source.error, source.lease_token) == ("", "another")


def test_a_failure_after_another_address_was_asked_for_is_not_that_ones(
    alice, host, repository, queue, meanwhile
):
    other = host.repository("other")
    other.commit({"other.py": b"x = 1\n"})

    def change_and_break():
        meanwhile(lambda: None)
        ask_import(workspace=alice.workspace, url=f"{host.url}/other.git")
        raise RuntimeError

    meanwhile(change_and_break)
    imported(alice, host)
    assert (GitSource.objects.get().attempts, paths(alice.workspace)) == (0, set())

    run_import(alice.workspace.pk)
    assert paths(alice.workspace) == {"other.py"}


@pytest.mark.parametrize("stops_first", [True, False])
def test_a_fetch_that_is_stopped_ends(stops_first):
    """Before it began, or in its middle."""

    async def fetch():
        raise AssertionError("it was stopped before")

    async def hang():
        await asyncio.sleep(60)

    fetching = importing._Fetching(fetch if stops_first else hang)
    if stops_first:
        fetching._stopping = True
    fetching.start()
    fetching.stop()

    assert fetching.wait(5)
    with pytest.raises(importing.Stopped):
        fetching.result()


def test_a_schedule_that_another_sweep_has_served_is_left(alice, host, queue):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git", every_hours=1)
    due = GitSource.objects.get()
    IndexJob.objects.all().delete()

    assert sources._ask_again(due) is False
    sweep_imports()
    assert not IndexJob.objects.exists()


@pytest.fixture
def push(alice, host, repository, queue):
    """Say to Alice's hook what GitLab would."""
    imported(alice, host)
    IndexJob.objects.all().delete()
    source, secret = new_hook_secret(workspace=alice.workspace)

    def say(event="Push Hook", body=b'{"ref": "refs/heads/main", "after": "1"}'):
        headers = {"X-Gitlab-Token": secret, "X-Gitlab-Event": event}
        return hear_push(hook_id=source.hook_id, headers=headers, body=body)

    return say


def test_what_is_no_push_is_not_one(push):
    assert push(event="Issue Hook") == "ignored: not a push"


def test_t10_a_disabled_users_pushes_are_not_heard(alice, push):
    alice.user.is_active = False
    alice.user.save()

    with pytest.raises(PushRefused):
        push()
    assert not IndexJob.objects.exists()


def test_an_import_of_a_commit_hears_pushes_to_what_it_was_asked_for(alice, push):
    GitSource.objects.update(branch="", ref="dev")

    assert push() == "ignored: another branch"
    assert push(body=b'{"ref": "refs/heads/dev", "after": "1"}') == "accepted"


def test_f1_a_push_of_megabytes_is_not_read(alice):
    answer = alice.api.generic("POST", "/api/v1/hooks/git/hook_x", bytes(5 * 1024**2))

    assert (answer.status_code, answer.json()["code"]) == (413, "archive_too_large")
