"""Import from a real git server over TLS: what comes in, and what never does."""

import hashlib
import logging
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection

from aiassist.lib.clock import now
from billing.models import Tier
from tests.support.ports import wait_for
from tests.workspaces.git_imports import FILES, imported, paths
from workspaces.content.files import put_file
from workspaces.errors import JobNotActive
from workspaces.git import importing
from workspaces.git.errors import GitUrlRefused
from workspaces.git.importing import run_import, sweep_imports
from workspaces.git.sources import ask_import, request_import
from workspaces.git.wire import checked_repository
from workspaces.jobs.queue import cancel_job
from workspaces.jobs.sweeping import resume_interrupted
from workspaces.models import GitSource, IndexJob, LeftOutFile
from workspaces.receiving.archives import gather
from workspaces.services import create_workspace


def test_the_tracked_files_come_in_and_an_index_is_asked_for(
    alice, host, repository, queue
):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    assert (job.state, job.fetching) == ("queued", True)
    assert queue.sent == [("workspaces.fetch", {"workspace_id": alice.workspace.pk})]

    run_import(alice.workspace.pk)

    assert paths(alice.workspace) == {"src/app.py", ".gitignore", ".aiassistignore"}
    job.refresh_from_db()
    assert (job.state, job.fetching, job.files_total) == ("queued", False, 3)
    assert ("workspaces.index", {"job_id": job.pk}) in queue.sent
    left_out = LeftOutFile.objects.values_list("path", flat=True)
    assert set(left_out) == {"docs/a.md", ".env", "big.lfs"}
    source = GitSource.objects.get()
    assert source.commit == repository.git("rev-parse", "HEAD")
    assert (source.branch, source.error) == ("refs/heads/main", "")


def test_an_import_is_indexed_to_the_end(alice, host, repository, indexer):
    job = imported(alice, host)

    indexer.run()

    job.refresh_from_db()
    assert (job.state, job.files_done) == ("succeeded", 3)
    assert {path for path, *_ in indexer.visible(alice.workspace)} >= {"src/app.py"}


def test_a_second_import_takes_what_changed_and_what_went(
    alice, host, repository, queue
):
    imported(alice, host)
    repository.git("rm", "-q", "src/app.py")
    repository.commit({"src/new.py": b"x = 2\n"})

    imported(alice, host)

    assert paths(alice.workspace) == {"src/new.py", ".gitignore", ".aiassistignore"}


@pytest.mark.parametrize("what", ["branch", "full", "tag", "annotated", "commit"])
def test_a_branch_a_tag_or_a_commit_may_be_named(alice, host, repository, queue, what):
    commit = repository.commit({"only.py": b"x = 3\n"}, branch="dev")
    bare = str(repository.bare)
    repository.git("tag", "v1")
    repository.git("tag", "-a", "v2", "-m", "two")
    repository.git("push", "-q", bare, "v1", "v2")
    ref = {
        "branch": "dev",
        "full": "refs/heads/dev",
        "tag": "v1",
        "annotated": "v2",
        "commit": commit,
    }[what]

    imported(alice, host, ref=ref)

    assert "only.py" in paths(alice.workspace)
    assert GitSource.objects.get().commit == commit


def test_a_large_file_is_not_even_sent(alice, host, repository, queue):
    Tier.objects.filter(pk="free").update(max_file_bytes=1000)
    repository.commit({"large.py": b"x = 1\n" * 1000})

    imported(alice, host)

    reason = LeftOutFile.objects.get(path="large.py").reason
    assert reason.startswith("is larger than")
    assert "large.py" not in paths(alice.workspace)


def test_a_token_opens_a_private_repository_and_is_never_seen(
    alice, host, repository, queue, caplog
):
    host.token = "glpat-canary-5f3c"
    caplog.set_level(logging.DEBUG)

    job = imported(alice, host, token=host.token)

    assert job.fetching is False
    assert host.credentials == [f"x-access-token:{host.token}"] * 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(s)::text FROM workspaces_gitsource s")
        assert host.token not in str(cursor.fetchall())
    assert host.token not in caplog.text
    assert host.token not in str(queue.sent)
    shown = alice.api.get(f"/api/v1/workspaces/{alice.workspace.pk}/import").json()
    assert (shown["has_token"], host.token in str(shown)) == (True, False)


def test_w6_a_token_goes_to_the_address_it_was_given_for_alone(
    alice, host, repository, queue
):
    imported(alice, host, token="secret-of-one-host")
    host.repository("other").commit({"a.py": b"1\n"})
    host.credentials.clear()

    imported(alice, host)
    assert set(host.credentials) == {"x-access-token:secret-of-one-host"}
    host.credentials.clear()
    imported(alice, host, name="other")

    assert set(host.credentials) == {""}


def test_a_wrong_token_fails_the_job_with_a_sentence(alice, host, repository, queue):
    host.token = "right"

    job = imported(alice, host, token="wrong")

    assert (job.state, "token" in job.error) == ("failed", True)
    assert GitSource.objects.get().error == job.error
    assert paths(alice.workspace) == set()


FAILURES = {
    "no such repository": ("missing", "", "no repository there"),
    "no such branch": ("code", "nowhere", "no branch or tag 'nowhere'"),
    "no such commit": ("code", "a" * 40, "branches and tags only"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_what_the_host_refuses_fails_at_once(alice, host, repository, queue, what):
    name, ref, sentence = FAILURES[what]

    job = imported(alice, host, name=name, ref=ref)

    assert job.state == "failed"
    assert sentence in job.error


def test_w1_a_redirect_is_not_followed(alice, host, repository, queue):
    location = {"Location": "http://169.254.169.254/latest/"}
    for path in ("/moved/info/refs", "/moved.git/info/refs"):
        host.answers[path] = (301, location, b"")

    job = ask_import(workspace=alice.workspace, url=f"{host.url}/moved")
    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, "moved" in job.error) == ("failed", True)
    assert host.asked == ["GET /moved/info/refs", "GET /moved.git/info/refs"]


def test_a_host_that_adds_git_to_the_name_is_followed_by_us(
    alice, host, repository, queue
):
    host.answers["/code/info/refs"] = (301, {"Location": "code.git"}, b"")

    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code")
    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert job.fetching is False


def test_w1_a_host_on_the_loopback_is_refused_unless_the_operator_names_it(
    alice, host, repository, queue, settings
):
    settings.GIT_IMPORT_ALLOWED_HOSTS = []
    answer = alice.api.post(
        f"/api/v1/workspaces/{alice.workspace.pk}/import",
        {"url": f"{host.url}/code.git"},
        format="json",
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "git_url_refused")
    assert host.asked == []


def test_w1_a_certificate_that_nobody_vouches_for_is_refused(
    alice, host, repository, queue, settings
):
    settings.GIT_IMPORT_CA_FILE = ""

    job = imported(alice, host, token="canary")

    assert (job.fetching, host.asked) == (True, [])
    assert GitSource.objects.get().error


REFUSED = [
    *("http://github.com/a/b", "git://github.com/a/b", "ssh://git@github.com/a/b"),
    *("git@github.com:a/b.git", "file:///etc/passwd", "ext::sh -c id", "/srv/git/a"),
    *("https://user:pw@github.com/a/b", "https://github.com", "https://github.com/"),
    *("https://github.com/a/b?x=1", "https://github.com/a/b#x", "https://a/../b"),
    *("https://localhost/a/b", "https://127.0.0.1/a/b", "https://127.1/a/b"),
    *("https://2130706433/a/b", "https://0x7f.1/a/b", "https://[::1]/a/b"),
    *("https://[fe80::1%25lo]/a/b", "https://intranet/a/b", "https://x.local/a/b"),
    *("https://github.com:22/a/b", "https://github.com\\@evil/a/b", "https:///a/b"),
    *("https://git hub.com/a/b", "https://github.com/a/../../b", "HTTPS", ""),
    *("https://github.com/\n/b", "https://10.0.0.1/a/b", "x" * 501),
]


@pytest.mark.parametrize("url", REFUSED)
def test_w1_only_https_addresses_of_public_hosts_are_taken(url):
    with pytest.raises(GitUrlRefused):
        checked_repository(url)


def test_a_refused_address_is_a_clear_400_and_nothing_is_kept(alice, queue):
    answer = alice.api.post(
        f"/api/v1/workspaces/{alice.workspace.pk}/import",
        {"url": "https://user:pw@github.com/a/b"},
        format="json",
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "git_url_refused")
    assert "pw@" not in answer.content.decode()
    assert not GitSource.objects.exists()


SMUGGLED = [
    *(("ref", "-x"), ("ref", "a..b"), ("ref", "a b"), ("ref", "a//b")),
    *(("token", "a\nb"), ("token", "ü"), ("username", "a:b"), ("every_hours", 0)),
    *(("every_hours", 1000), ("ref", "\u202e"), ("token", "x" * 501)),
]


def test_f5_what_could_slip_into_the_protocol_is_refused(alice, queue):
    for field, value in SMUGGLED:
        answer = alice.api.post(
            f"/api/v1/workspaces/{alice.workspace.pk}/import",
            {"url": "https://github.com/a/b", field: value},
            format="json",
        )

        assert answer.status_code == 400, (field, value)
        assert answer.json()["errors"][0]["field"] == field


BAD_ANSWERS = {
    "html": (200, {"Content-Type": "text/html"}, b"<html>"),
    "no lines": (
        200,
        {"Content-Type": "application/x-git-upload-pack-advertisement"},
        b"zzzz",
    ),
    "an endless line": (
        200,
        {"Content-Type": "application/x-git-upload-pack-advertisement"},
        b"fff0" + b"x" * 20,
    ),
    "overloaded": (503, {}, b""),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_s3_an_answer_that_is_no_gits_ends_in_a_sentence(
    alice, host, repository, queue, what
):
    host.answers["/code.git/info/refs"] = BAD_ANSWERS[what]

    job = imported(alice, host)
    for _ in range(GitSource.MAX_ATTEMPTS):
        GitSource.objects.update(not_before=None)
        run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, bool(job.error)) == ("failed", True)


def test_j4_a_host_that_is_away_is_tried_three_times(alice, host, queue, settings):
    host.answers["/code.git/info/refs"] = (502, {}, b"")
    job = imported(alice, host)
    assert (job.state, len(host.asked)) == ("queued", 1)

    run_import(alice.workspace.pk)
    assert len(host.asked) == 1, "not before its time"
    for _ in range(4):
        GitSource.objects.update(not_before=None)
        run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, len(host.asked)) == ("failed", GitSource.MAX_ATTEMPTS)


def test_f1_a_repository_beyond_the_tiers_storage_stops(alice, host, queue):
    Tier.objects.filter(pk="free").update(max_storage_bytes=20_000)
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(3000))
    host.repository().commit({"noise.py": noise.hex().encode()})

    job = imported(alice, host)

    assert (job.state, "'free' stores 0.0 MB, 'pro'" in job.error) == ("failed", True)


def test_a_cancelled_import_stops_at_once_and_changes_nothing(
    transactional_db, alice, host, queue
):
    host.repository("pause").commit(FILES)
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/pause.git")

    def cancel_when_asked():
        wait_for(lambda: any("POST" in asked for asked in host.asked), seconds=20)
        cancel_job(job=IndexJob.objects.get(pk=job.pk))
        connection.close()

    watcher = threading.Thread(target=cancel_when_asked)
    watcher.start()
    began = time.monotonic()
    run_import(alice.workspace.pk)
    watcher.join(5)

    assert time.monotonic() - began < 15, "the host holds its answer for 30 seconds"
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert paths(alice.workspace) == set()
    assert GitSource.objects.get().lease_until is None
    with pytest.raises(JobNotActive):
        cancel_job(job=job)


def test_another_repository_asked_for_meanwhile_is_the_one_that_comes(
    alice, host, repository, queue, monkeypatch
):
    host.repository("other").commit({"other.py": b"x = 1\n"})
    first = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    ask = [f"{host.url}/other.git"]
    kept = gather

    def gather_after_a_change(*arguments, **more):
        if ask:
            ask_import(workspace=alice.workspace, url=ask.pop())
        return kept(*arguments, **more)

    monkeypatch.setattr(importing, "gather", gather_after_a_change)
    run_import(alice.workspace.pk)
    assert paths(alice.workspace) == set()
    run_import(alice.workspace.pk)

    assert paths(alice.workspace) == {"other.py"}
    first.refresh_from_db()
    assert first.fetching is False, "the same job serves both"


def test_a_push_during_a_fetch_is_fetched_after_it(
    alice, host, repository, queue, monkeypatch
):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    kept = gather

    def gather_after_a_push(*arguments, **more):
        source = GitSource.objects.get()
        request_import(source.workspace, source)
        return kept(*arguments, **more)

    monkeypatch.setattr(importing, "gather", gather_after_a_push)
    run_import(alice.workspace.pk)

    states = IndexJob.objects.order_by("created_at").values_list("state", "fetching")
    assert list(states) == [("queued", False), ("queued", True)]


def test_j3_two_workers_with_one_message_fetch_once(alice, host, repository, queue):
    imported(alice, host)
    asked = len(host.asked)

    run_import(alice.workspace.pk)

    assert len(host.asked) == asked


def test_j1_a_dead_workers_import_is_sent_again(alice, host, repository, queue):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    GitSource.objects.update(
        lease_token="dead",
        lease_until=now() - timedelta(seconds=1),
        sent_at=now() - timedelta(minutes=5),
        attempts=1,
    )

    sweep_imports()
    assert queue.names.count("workspaces.fetch") == 2
    run_import(alice.workspace.pk)

    assert "src/app.py" in paths(alice.workspace)


def test_j1_an_embedded_start_takes_up_what_was_cut_off(alice, host, repository, queue):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    GitSource.objects.update(
        lease_token="dead", lease_until=now() + timedelta(minutes=3)
    )
    run_import(alice.workspace.pk)
    assert host.asked == [], "somebody seems to be at it"

    resume_interrupted()
    assert queue.names.count("workspaces.fetch") == 2
    run_import(alice.workspace.pk)

    assert "src/app.py" in paths(alice.workspace)


def test_a_cancel_is_heard_while_the_pack_is_read(
    alice, host, repository, queue, monkeypatch
):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    kept = gather

    def gather_after_a_cancel(*arguments, **more):
        cancel_job(job=IndexJob.objects.get(pk=job.pk))
        return kept(*arguments, **more)

    monkeypatch.setattr(importing, "gather", gather_after_a_cancel)
    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, paths(alice.workspace)) == ("cancelled", set())


def test_the_owner_asks_over_http(alice, host, repository, queue):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/import"

    answer = alice.api.post(
        address,
        {"url": f"{host.url}/code.git/", "ref": "main", "every_hours": 24},
        format="json",
    )

    assert answer.status_code == 202
    job = answer.json()
    assert (job["state"], job["phase"]) == ("queued", "fetching")
    assert answer["Location"].endswith(f"/jobs/{job['id']}")
    run_import(alice.workspace.pk)
    shown = alice.api.get(address).json()
    assert shown.pop("next_at") > shown.pop("imported_at")
    assert shown == {
        "url": f"{host.url}/code.git",
        "ref": "main",
        "username": "",
        "has_token": False,
        "every_hours": 24,
        "commit": repository.git("rev-parse", "HEAD"),
        "error": "",
        "has_hook": False,
    }


def test_j9_one_users_imports_wait_for_each_other(
    alice, charlie, host, repository, queue
):
    second = create_workspace(user=alice.user, name="second")
    url = f"{host.url}/code.git"
    for workspace in (alice.workspace, second, charlie.workspace):
        ask_import(workspace=workspace, url=url)
    GitSource.objects.filter(workspace=alice.workspace).update(
        lease_token="held", lease_until=now() + timedelta(seconds=60)
    )

    run_import(second.pk)
    run_import(charlie.workspace.pk)

    assert paths(second) == set()
    assert "src/app.py" in paths(charlie.workspace)


def test_t10_a_disabled_users_import_ends(alice, host, repository, queue):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")
    alice.user.is_active = False
    alice.user.save()

    run_import(alice.workspace.pk)

    job.refresh_from_db()
    assert (job.state, host.asked) == ("cancelled", [])


def test_a_schedule_asks_again_when_its_hour_has_come(alice, host, repository, queue):
    imported(alice, host, every_hours=6)
    IndexJob.objects.all().delete()
    sweep_imports()
    assert not IndexJob.objects.exists()

    GitSource.objects.update(next_at=now() - timedelta(seconds=1))
    sweep_imports()
    sweep_imports()

    assert IndexJob.objects.filter(fetching=True).count() == 1
    later = now() + timedelta(hours=5)
    assert GitSource.objects.filter(next_at__gt=later).exists()


def test_forgetting_ends_the_following_and_keeps_the_files(
    alice, host, repository, queue
):
    imported(alice, host, token="t", every_hours=1)
    address = f"/api/v1/workspaces/{alice.workspace.pk}/import"

    assert alice.api.delete(address).status_code == 204

    assert not GitSource.objects.exists()
    assert "src/app.py" in paths(alice.workspace)
    assert alice.api.get(address).json()["code"] == "not_imported"


def test_a_put_meanwhile_does_not_wait_for_the_import(alice, host, repository, queue):
    ask_import(workspace=alice.workspace, url=f"{host.url}/code.git")

    outcome = put_file(workspace=alice.workspace, path="b.py", data=b"1\n")

    assert outcome.job is not None
    assert outcome.job.fetching is False
    assert IndexJob.objects.runnable(now()).get() == outcome.job
