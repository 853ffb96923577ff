"""A push at the host asks for an import: signed, once, and for its own branch."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from django.test import Client

from tests.workspaces.git_imports import imported
from workspaces.git.sources import new_hook_secret
from workspaces.models import GitSource, IndexJob

PUSH = {"ref": "refs/heads/main", "after": "c" * 40}


@pytest.fixture
def hook(alice, host, repository, queue):
    """Alice's hook, called as GitHub or GitLab does; and its secret."""
    imported(alice, host)
    IndexJob.objects.all().delete()
    source, secret = new_hook_secret(workspace=alice.workspace)

    def call(body=PUSH, *, secret=secret, by="github", hook_id=source.hook_id, **more):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {
            "github": {
                "HTTP_X_HUB_SIGNATURE_256": f"sha256={digest}",
                "HTTP_X_GITHUB_EVENT": "push",
            },
            "gitlab": {
                "HTTP_X_GITLAB_TOKEN": secret,
                "HTTP_X_GITLAB_EVENT": "Push Hook",
            },
        }[by]
        return Client().generic(
            "POST",
            f"/api/v1/hooks/git/{hook_id}",
            raw,
            content_type="application/json",
            **{**headers, **more},
        )

    return call


def waiting():
    return IndexJob.objects.filter(fetching=True, state="queued").count()


@pytest.mark.parametrize("by", ["github", "gitlab"])
def test_a_signed_push_asks_for_an_import(hook, by):
    answer = hook(by=by)

    assert (answer.status_code, answer.json()) == (202, {"outcome": "accepted"})
    assert waiting() == 1


def test_w7_a_replayed_push_changes_nothing(hook):
    hook()
    IndexJob.objects.all().delete()

    answer = hook(HTTP_X_GITHUB_DELIVERY="another-id")

    assert answer.json() == {"outcome": "ignored: heard before"}
    assert waiting() == 0


FORGED: list[dict[str, Any]] = [
    {"secret": "wrong"},
    {"secret": "wrong", "by": "gitlab"},
    {"secret": "", "by": "gitlab"},
    {"hook_id": "hook_of_nobody"},
    {"HTTP_X_HUB_SIGNATURE_256": "sha256="},
    {"HTTP_X_HUB_SIGNATURE_256": "sha1=abc"},
    {"HTTP_X_HUB_SIGNATURE_256": "\u00e9"},
    {"body": b"not json"},
    {"body": b"[]"},
    {"body": b"[" * 100_000},
]


def test_u5_a_push_that_is_not_genuine_answers_alike(hook):
    for forged in FORGED:
        answer = hook(**forged)

        assert (answer.status_code, answer.json()["code"]) == (403, "push_refused")
    assert waiting() == 0


def test_a_hook_without_a_secret_takes_nothing(alice, hook):
    GitSource.objects.update(hook_secret="")

    assert hook(secret="", by="gitlab").status_code == 403


def test_a_new_secret_ends_the_old_one(alice, hook):
    new_hook_secret(workspace=alice.workspace)

    assert hook().status_code == 403


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({**PUSH, "ref": "refs/heads/dev"}, "ignored: another branch"),
        ({**PUSH, "after": "0" * 40}, "ignored: another branch"),
    ],
)
def test_a_push_elsewhere_is_ignored(hook, body, outcome):
    assert hook(body).json() == {"outcome": outcome}
    assert waiting() == 0


def test_a_push_of_the_commit_that_is_here_is_ignored(hook):
    commit = GitSource.objects.get().commit

    answer = hook({**PUSH, "after": commit}).json()

    assert answer == {"outcome": "ignored: that commit is here"}


def test_a_ping_is_answered(hook):
    answer = hook({"zen": "x"}, HTTP_X_GITHUB_EVENT="ping")

    assert answer.json() == {"outcome": "pong"}


def test_the_owner_makes_a_hook_over_http(alice, hook):
    answer = alice.api.post(f"/api/v1/workspaces/{alice.workspace.pk}/import/hook")

    told = answer.json()
    assert answer.status_code == 201
    assert told["url"].endswith(f"/api/v1/hooks/git/{GitSource.objects.get().hook_id}")
    assert hook(secret=told["secret"]).status_code == 202
