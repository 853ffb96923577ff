"""D4, D5: one canary in all that a person leaves: exported, then gone everywhere."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from accounts.keys import create_key
from accounts.models import AuditEvent
from accounts.scopes import ALL_SCOPES
from aiassist.lib.registry import erasers
from billing.models import UsageRecord
from tests.factories import PASSWORD
from tests.support.people import Person
from tests.support.queue import SentTasks
from tests.workspaces.indexer import Indexer
from workspaces.models import Blob
from workspaces.receiving.sync import start_sync

CANARY = "kanarienvogel"
ADDRESS = "203.0.113.77"  # hers alone
CODE = f"def {CANARY}():\n    return '{CANARY}'\n"
HEADERS: dict[str, Any] = {
    "HTTP_USER_AGENT": f"Editor/{CANARY}",
    "REMOTE_ADDR": ADDRESS,
}


def rows() -> Iterator[tuple[str, Any]]:
    """Yield every row of every table."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                yield table, row


def tables_with(*signs: str) -> set[str]:
    return {t for t, row in rows() if any(sign in repr(row) for sign in signs)}


def keys_with(client: "redis.Redis", *signs: str) -> set[str]:
    """Return the keys that hold a sign and do not go by themselves in a minute."""
    wanted = client.connection_pool.connection_kwargs
    # A client of its own: values are bytes here, not text.
    with redis.Redis(host=wanted["host"], port=wanted["port"]) as raw:
        staying = [key for key in raw.keys("*") if not 0 <= raw.ttl(key) <= 60]
        held = {key: repr(key) + repr(raw.dump(key)) for key in staying}
    return {repr(k) for k, text in held.items() if any(s in text for s in signs)}


def files_with(*signs: str) -> set[str]:
    """Return the files of the data folder that hold a sign."""
    folders = {Path(settings.DATA_DIR), Path(settings.QDRANT_EDGE_DIR)}
    return {
        str(file)
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
        if any(sign.encode() in file.read_bytes() for sign in signs)
    }


@pytest.fixture
def life(alice: Person, queue: SentTasks, vectors: Any) -> APIClient:
    """Alice has used every part, and each knows the canary."""
    _, secret = create_key(alice.user, CANARY, ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret, **HEADERS)
    assert (
        client.patch(
            "/api/v1/me",
            {"full_name": CANARY, "preferences": {"theme": CANARY}},
            format="json",
        ).status_code
        == 200
    )
    sign_in = {"email": alice.user.email, "password": PASSWORD}
    for password in ("wrong", PASSWORD):
        client.post(
            "/api/v1/auth/token", {**sign_in, "password": password}, format="json"
        )
    Client(**HEADERS).post(
        "/accounts/login/", {"login": alice.user.email, "password": PASSWORD}
    )
    told = {"url": f"https://{CANARY}.example.test/", "description": CANARY}
    hook = client.post("/api/v1/webhooks", told, format="json").json()["id"]
    assert client.post(f"/api/v1/webhooks/{hook}/rotate").status_code == 200
    workspace = client.post(
        "/api/v1/workspaces", {"name": CANARY}, format="json"
    ).json()["id"]
    mine = alice.user.workspaces.get(pk=workspace)
    Indexer(vectors).index(mine, {f"{CANARY}.py": CODE})
    start_sync(
        workspace=mine, manifest={f"{CANARY}2.py": "0" * 64}, delete_missing=False
    )
    found = client.post(
        f"/api/v1/workspaces/{workspace}/search", {"query": CANARY}, format="json"
    )
    assert CANARY in found.json()["results"][0]["text"]
    asked = {"message": f"What does {CANARY} do?", "workspace_id": workspace}
    assert (
        client.post("/api/v1/assistant/chat", asked, format="json").status_code == 200
    )
    return client


def exported(client: APIClient, queue: SentTasks) -> dict[str, Any]:
    client.post("/api/v1/me/export")
    queue.run()
    contents: dict[str, Any] = client.get("/api/v1/me/export").json()["contents"]
    return contents


def test_d4_the_export_holds_the_canary_of_every_part(
    life: APIClient, charlie: Person, queue: SentTasks
):
    assert charlie.key and charlie.workspace

    tables = exported(life, queue)["tables"]

    holding = {name for name, kept in tables.items() if CANARY in json.dumps(kept)}
    assert holding == {
        *("accounts.User", "accounts.ApiKey", "accounts.TokenFamily"),
        *("usersessions.UserSession", "workspaces.Workspace"),
        *("workspaces.SourceFile", "workspaces.IndexedFile", "workspaces.SyncEntry"),
        *("assistant.Conversation", "assistant.Message", "accounts.Webhook"),
    }
    text = json.dumps(tables)
    assert not any(
        sign in text
        for sign in (charlie.user.pk, charlie.user.email, charlie.workspace.pk)
    )


def edit_by_staff(staff: Person, person: Person) -> None:
    """Save the person's page in the admin, as it stands."""
    page = f"/admin/accounts/user/{person.user.pk}/change/"
    shown = staff.web.get(page).context["adminform"].form.initial
    body = {"email": shown["email"], "full_name": CANARY, "is_active": "on"}
    assert staff.web.post(page, {**body, "preferences": "{}"}).status_code == 302


def test_d5_nothing_of_a_deleted_person_is_left_anywhere(
    alice: Person,
    stella: Person,
    life: APIClient,
    queue: SentTasks,
    redis_client: "redis.Redis",
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    user_id, workspace = alice.user.pk, alice.user.workspaces.get().pk
    exported(life, queue)
    edit_by_staff(stella, alice)
    signs = (CANARY, alice.user.email, ADDRESS)
    # It was everywhere, so the search below would find it.
    assert tables_with(*signs) >= {"accounts_user", "workspaces_workspace"}
    assert keys_with(redis_client, user_id)
    assert files_with(CANARY, workspace)
    assert Blob.objects.exists()
    calls = UsageRecord.objects.count()

    assert life.delete("/api/v1/me").status_code == 204
    queue.run()

    assert tables_with(*signs) == set()
    assert keys_with(redis_client, *signs, user_id, workspace) == set()
    assert files_with(*signs, user_id, workspace) == set()
    assert not any(sign in caplog.text for sign in signs)
    assert not Blob.objects.exists()
    # The books stay, and the receipt says what went.
    assert UsageRecord.objects.count() == calls
    receipt = AuditEvent.objects.get(action="user.erased").details
    assert receipt.keys() == {*dict(erasers.items()), "rows", "addresses"}
    assert receipt["rows"] >= 10
