"""U17: name, scopes, expiry, last use, rotation with overlap, revocation."""

from datetime import datetime, timedelta

import pytest
from rest_framework.test import APIClient

from accounts import keys
from accounts.models import ApiKey, AuditEvent
from accounts.scopes import ALL_SCOPES, DEFAULT_KEY_SCOPES
from aiassist.lib.clock import now, rfc3339

IN_A_MONTH = rfc3339(now().replace(microsecond=0) + timedelta(days=30))


def api(secret):
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client


def works(secret):
    return api(secret).get("/api/v1/me").status_code == 200


def test_u17_a_new_key_is_shown_once_with_its_properties(account_api):
    answer = account_api.post("/api/v1/keys", {"name": "laptop"}, format="json")

    body = answer.json()
    key = ApiKey.objects.get(pk=body["id"])
    expires_at = datetime.fromisoformat(body["expires_at"])
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert works(body.pop("key"))
    assert abs(expires_at - now() - timedelta(days=365)) < timedelta(minutes=1)
    assert body == {
        "id": key.pk,
        "name": "laptop",
        "prefix": key.prefix,
        "scopes": sorted(DEFAULT_KEY_SCOPES),
        "status": "active",
        "created_at": body["created_at"],
        "expires_at": body["expires_at"],
        "last_used_at": None,
        "revoked_at": None,
        "replaced_by": None,
    }


def test_u17_an_expired_key_is_refused(alice):
    _, secret = keys.create_key(alice.user, "n", expires_at=now() + timedelta(days=1))
    assert works(secret)
    ApiKey.objects.filter(name="n").update(expires_at=now() - timedelta(seconds=1))
    assert not works(secret)


def test_u17_last_use_is_written_once_a_minute(alice, django_assert_num_queries):
    assert works(alice.key)
    first = ApiKey.objects.get(pk=alice.api_key.pk).last_used_at
    assert first is not None

    with django_assert_num_queries(1):
        keys.authenticate(alice.key)
    assert ApiKey.objects.get(pk=alice.api_key.pk).last_used_at == first

    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    assert works(alice.key)
    again = ApiKey.objects.get(pk=alice.api_key.pk).last_used_at
    assert again is not None
    assert again >= first


def test_u17_a_rotated_key_works_on_for_a_day(alice, account_api):
    answer = account_api.post(f"/api/v1/keys/{alice.api_key.pk}/rotate")

    new = answer.json()
    old = ApiKey.objects.get(pk=alice.api_key.pk)
    assert answer.status_code == 201
    assert new["scopes"] == alice.api_key.scopes
    assert old.replaced_by_id == new["id"]
    assert works(alice.key)
    assert works(new["key"])
    assert old.expires_at is not None
    assert timedelta(hours=23) < old.expires_at - now() <= timedelta(hours=24)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=now())
    assert not works(alice.key)
    assert works(new["key"])


def test_u17_a_key_is_rotated_once(alice, account_api):
    path = f"/api/v1/keys/{alice.api_key.pk}/rotate"
    assert account_api.post(path).status_code == 201
    assert account_api.post(path).status_code == 409


def test_u17_rotation_never_prolongs_an_old_key(alice):
    soon = now() + timedelta(hours=1)
    key, _ = keys.create_key(alice.user, "n", expires_at=soon)
    keys.rotate_key(key)
    assert key.expires_at == soon


def test_u17_a_revoked_key_stops_and_stays_in_the_list(alice, account_api):
    path = f"/api/v1/keys/{alice.api_key.pk}"

    assert account_api.delete(path).status_code == 204
    assert account_api.delete(path).status_code == 204

    assert not works(alice.key)
    assert account_api.get(path).json()["status"] == "revoked"
    assert AuditEvent.objects.filter(action="key.revoked").count() == 1


def test_u17_name_scopes_and_expiry_can_be_changed(alice, account_api):
    path = f"/api/v1/keys/{alice.api_key.pk}"
    change = {"name": "old", "scopes": ["search"], "expires_at": IN_A_MONTH}

    answer = account_api.patch(path, change, format="json")

    assert {name: answer.json()[name] for name in change} == change


def test_u17_a_revoked_key_cannot_be_given_a_longer_life(alice, account_api):
    path = f"/api/v1/keys/{alice.api_key.pk}"
    account_api.delete(path)
    change = {"expires_at": IN_A_MONTH}
    assert account_api.patch(path, change, format="json").status_code == 409


def test_u17_a_key_without_the_account_scope_manages_nothing(alice):
    for method, path in [
        ("get", "/api/v1/keys"),
        ("post", "/api/v1/keys"),
        ("patch", "/api/v1/me"),
        ("delete", "/api/v1/me"),
        ("get", "/api/v1/me/sessions"),
        ("post", "/api/v1/me/export"),
    ]:
        answer = getattr(alice.api, method)(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_u17_a_key_hands_out_no_scope_that_it_lacks(alice):
    _, secret = keys.create_key(alice.user, "n", ["account", "search"])
    wide = {"name": "wide", "scopes": ["account", "assistant"]}

    refused = api(secret).post("/api/v1/keys", wide, format="json")
    by_default = api(secret).post("/api/v1/keys", {"name": "x"}, format="json")
    rotated = api(secret).post(f"/api/v1/keys/{alice.api_key.pk}/rotate")
    changed = api(secret).patch(
        f"/api/v1/keys/{alice.api_key.pk}", {"scopes": ["usage"]}, format="json"
    )

    assert refused.json()["code"] == "scope_not_yours"
    assert refused.json()["scopes"] == ["assistant"]
    assert by_default.json()["scopes"] == ["search"]
    assert (rotated.status_code, changed.status_code) == (403, 403)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": ["root"]}, "scopes.0"),
        ({"name": "n", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "n", "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "n", "expires_at": "soon"}, "expires_at"),
    ],
)
def test_u17_a_bad_body_is_named(account_api, body, field):
    answer = account_api.post("/api/v1/keys", body, format="json")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_u17_a_stranger_finds_no_key(alice, charlie):
    _, secret = keys.create_key(charlie.user, "n", sorted(ALL_SCOPES))
    path = f"/api/v1/keys/{alice.api_key.pk}"
    for method in ("get", "patch", "delete"):
        foreign = getattr(api(secret), method)(path)
        unknown = getattr(api(secret), method)("/api/v1/keys/key_unknown")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json()["detail"] == unknown.json()["detail"]
    assert api(secret).post(f"{path}/rotate").status_code == 404
    assert works(alice.key)


def test_u17_a_user_has_a_hundred_keys_at_most(alice, account_api, monkeypatch):
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    body = {"name": "n"}
    answers = [account_api.post("/api/v1/keys", body, format="json") for _ in "ab"]
    assert [answer.status_code for answer in answers] == [201, 403]
    assert answers[1].json()["code"] == "too_many_keys"


def test_u17_a_change_of_nothing_changes_and_notes_nothing(alice, account_api):
    before = account_api.get(f"/api/v1/keys/{alice.api_key.pk}").json()

    answer = account_api.patch(f"/api/v1/keys/{alice.api_key.pk}", {}, format="json")

    assert (answer.status_code, answer.json()) == (200, before)
    assert not AuditEvent.objects.filter(action="key.changed").exists()
