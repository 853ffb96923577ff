"""What people send by mistake: each gets a sentence that says what to do.

After every refusal the workspace holds what it held, and the quota is as it was.
"""

import io
import tarfile
import zipfile
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.keys import create_key
from aiassist.lib.clock import now
from billing.metering.admission import limits_for
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from workspaces.models import SourceFile
from workspaces.receiving.archives import import_archive

GOOD = {"a.py": b"def add(left, right):\n    return left + right\n"}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for path, data in files.items():
            made.writestr(path, data)
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    tarfile.open(fileobj=packed, mode="w:gz").close()
    return packed.getvalue()


@pytest.fixture
def held(alice, queue):
    """Alice's workspace with one file in it; tells whether all is as it was."""
    import_archive(workspace=alice.workspace, file=io.BytesIO(zipped(GOOD)))
    used = used_by(alice.user)
    yield
    kept = SourceFile.objects.for_workspace(alice.workspace)
    assert [file.path for file in kept] == ["a.py"]
    assert used_by(alice.user) == used


def used_by(user):
    return [window.used for window in limits_for(user).windows]


def upload(person, data, name="code.zip"):
    file = SimpleUploadedFile(name, data)
    url = f"/api/v1/workspaces/{person.workspace.pk}/archive"
    return person.api.post(url, {"file": file}, format="multipart")


def says(answer, status, code, *words):
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    told = " ".join([body["detail"], *(e["detail"] for e in body.get("errors", []))])
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["is empty", "Send a .zip, .tar or .tar.gz"]),
        (zipped({}), ["holds no files", "Pack the folder again"]),
        (tarred(), ["holds no files", "Pack the folder again"]),
        (zipped(GOOD)[:60], ["cut off", "again"]),
        (b"print('no archive')\n", ["neither a .zip", "Pack the folder again"]),
    ],
    ids=["nothing", "empty zip", "empty tar", "broken zip", "no archive"],
)
def test_a_useless_archive_is_refused_with_what_to_do(held, alice, data, words):
    says(upload(alice, data), 400, "bad_archive", *words)


@pytest.mark.parametrize("key", ["aia_" + "0" * 36, "aia_short", "sk-of-elsewhere"])
def test_a_wrong_key_is_refused_with_what_to_do(held, alice, key):
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=key)

    answer = client.get("/api/v1/workspaces")

    assert answer.status_code == 401
    assert "key" in answer.json()["detail"]


def test_an_expired_key_is_refused_with_what_to_do(held, alice):
    _, secret = create_key(alice.user, "old", expires_at=now() + timedelta(days=1))
    alice.user.api_keys.filter(name="old").update(expires_at=now())
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)

    answer = client.get("/api/v1/workspaces")

    says(answer, 401, "invalid_credential", "expired", "Create a new API key")


def test_a_foreign_workspace_is_not_there(held, alice, charlie):
    url = f"/api/v1/workspaces/{alice.workspace.pk}"

    says(charlie.api.post(f"{url}/search", {"query": "add"}, "json"), 404, "not_found")
    chat = {"message": "what is added?", "workspace_id": alice.workspace.pk}
    says(charlie.api.post("/api/v1/assistant/chat", chat, "json"), 404, "not_found")
    assert used_by(charlie.user) == [0, 0, 0]


@pytest.mark.parametrize(
    ("query", "words"),
    [("x" * 2001, ["2000 characters"]), (" ", ["blank"]), ("<script>1</script>", [])],
    ids=["2001 characters", "blank", "script"],
)
def test_a_query_that_is_no_query_is_refused(held, alice, query, words):
    url = f"/api/v1/workspaces/{alice.workspace.pk}/search"

    says(
        alice.api.post(url, {"query": query}, "json"), 400, "validation_failed", *words
    )


def test_an_unknown_model_is_refused_with_those_there_are(held, alice):
    body = {"message": "hello", "model": "gpt-of-tomorrow"}

    answer = alice.api.post("/api/v1/assistant/chat", body, "json")

    says(answer, 400, "unknown_model", "gpt-of-tomorrow", "'extractive'")


def test_a_provider_that_is_down_costs_nothing_and_says_so(held, alice, settings):
    change_tier(alice.user, Tier.objects.get(pk="pro"), actor=None)
    settings.OPENAI_API_KEY = "sk-none"
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"  # nobody listens
    offered = alice.api.get("/api/v1/assistant/models").json()["results"]
    model = next(m["id"] for m in offered if m["provider"] == "openai")
    body = {"message": "hello", "model": model}

    answer = alice.api.post("/api/v1/assistant/chat", body, "json")

    says(answer, 502, "provider_unavailable", "down", "Try again")
