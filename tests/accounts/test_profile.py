"""T4 and the profile: what a person may say about themselves."""

import pytest

from accounts.models import ApiKey, User
from accounts.web_forms import ProfileForm

ME = "/api/v1/me"
FORBIDDEN = {
    "id": "user_other",
    "email": "other@example.test",
    "is_staff": True,
    "is_superuser": True,
    "is_active": False,
    "epoch": 99,
    "requests_total": 0,
    "tokens_total": 99,
    "tier": "enterprise",
    "quota": 10**9,
    "subscription": {"tier": "enterprise"},
    "password": "x",
    "deleted_at": "2026-01-01T00:00:00Z",
    "groups": [1],
    "date_joined": "2000-01-01T00:00:00Z",
}


def row(user):
    return User.objects.filter(pk=user.pk).values().get()


def test_t4_a_profile_write_changes_nothing_but_name_and_preferences(
    alice, account_api
):
    before = row(alice.user)
    body = {**FORBIDDEN, "full_name": "Ada", "preferences": {"theme": "dark"}}

    answer = account_api.patch(ME, body, format="json")

    assert answer.status_code == 200
    changed = {**before, "full_name": "Ada", "preferences": {"theme": "dark"}}
    assert row(alice.user) == changed


def test_t4_a_key_write_sets_neither_owner_nor_digest(alice, charlie, account_api):
    body = {
        "name": "n",
        "user": charlie.user.pk,
        "user_id": charlie.user.pk,
        "digest": "0" * 64,
        "prefix": "aia_00000000",
        "id": "key_mine",
        "revoked_at": None,
        "last_used_at": "2026-01-01T00:00:00Z",
    }
    made = account_api.post("/api/v1/keys", body, format="json").json()
    account_api.patch(f"/api/v1/keys/{made['id']}", body, format="json")

    key = ApiKey.objects.get(pk=made["id"])
    assert key.user == alice.user
    assert key.pk != "key_mine"
    assert key.digest != "0" * 64
    assert key.prefix == made["prefix"]
    assert key.last_used_at is None


def test_the_profile_is_shown(alice):
    assert alice.api.get(ME).json() == {
        "id": alice.user.pk,
        "email": "alice@example.test",
        "full_name": "Alice",
        "preferences": {},
        "requests_total": 0,
        "tokens_total": 0,
        "date_joined": alice.user.date_joined.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"full_name": "x" * 151}, "full_name"),
        ({"full_name": "a\x00b"}, "full_name"),
        ({"full_name": None}, "full_name"),
        ({"preferences": []}, "preferences"),
        ({"preferences": "dark"}, "preferences"),
        ({"preferences": {"a": "x" * 20_000}}, "preferences"),
        ({"preferences": {"a": "\x00"}}, "preferences"),
    ],
)
def test_a_bad_profile_is_refused_by_name(account_api, body, field):
    answer = account_api.patch(ME, body, format="json")
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {field}


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_wrong_method_is_refused(account_api, method):
    assert getattr(account_api, method)(ME).status_code == 405


def test_nobody_has_no_profile(client, db):
    answer = client.get(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_a_change_of_nothing_leaves_the_profile_as_it_is(account_api):
    before = account_api.get("/api/v1/me").json()

    answer = account_api.patch("/api/v1/me", {}, format="json")

    assert (answer.status_code, answer.json()) == (200, before)


def test_t10_saving_a_profile_does_not_enable_who_was_disabled_meanwhile(alice):
    form = ProfileForm({"full_name": "Ada", "theme": "dark"}, instance=alice.user)
    assert form.is_valid()
    User.objects.filter(pk=alice.user.pk).update(is_active=False)

    form.save()

    saved = User.objects.get(pk=alice.user.pk)
    assert (saved.full_name, saved.preferences) == ("Ada", {"theme": "dark"})
    assert not saved.is_active
