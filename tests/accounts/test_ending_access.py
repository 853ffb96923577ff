"""T10, U12: what was handed out ends when it must."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.sessions.models import Session
from django.db import IntegrityError
from django.test import Client, RequestFactory

from accounts import keys
from accounts.models import User
from accounts.own_data.erasure import delete_user
from accounts.principals import is_still_valid, resolve
from accounts.signing_in import tokens
from aiassist.lib.clock import now
from aiassist.lib.errors import InvalidCredential
from tests.factories import PASSWORD

ME = "/api/v1/me"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def disable(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(user):
    delete_user(user, user)


def bump(user):
    User.objects.get(pk=user.pk).bump_epoch()


def change_password(user):
    fresh = User.objects.get(pk=user.pk)
    fresh.set_password("another long password")
    fresh.save()


def principals(person):
    """Return one principal of each kind."""
    factory = RequestFactory()
    pair = tokens.sign_in(person.user)
    by_key = resolve(factory.get("/", headers={"x-api-key": person.key}))
    bearer = {"authorization": f"Bearer {pair.access}"}
    by_token = resolve(factory.get("/", headers=bearer))
    request = factory.get("/")
    request.session = person.web.session
    return {"api_key": by_key, "jwt": by_token, "session": resolve(request)}


def statuses(person, access):
    client = Client()
    bearer = {"authorization": f"Bearer {access}"}
    return {
        "api_key": person.api.get(ME).status_code,
        "jwt": client.get(ME, headers=bearer).status_code,
        "session": person.web.get(ME).status_code,
    }


@pytest.mark.parametrize("end", [disable, delete])
def test_t10_the_next_request_of_a_disabled_or_deleted_user_is_401(alice, end):
    pair = tokens.sign_in(alice.user)
    good = dict.fromkeys(("api_key", "jwt", "session"), 200)
    assert statuses(alice, pair.access) == good

    end(alice.user)

    assert statuses(alice, pair.access) == dict.fromkeys(good, 401)
    with pytest.raises(InvalidCredential):
        tokens.refresh(pair.refresh)


def test_t10_a_tier_change_ends_access_tokens_and_sessions(alice):
    pair = tokens.sign_in(alice.user)
    assert statuses(alice, pair.access)["session"] == 200
    bump(alice.user)
    assert statuses(alice, pair.access) == {
        "api_key": 200,  # works on, under the new tier
        "jwt": 401,
        "session": 401,
    }
    renewed = tokens.refresh(pair.refresh)
    assert statuses(alice, renewed.access)["jwt"] == 200


@pytest.mark.parametrize("end", [disable, delete, bump, change_password])
def test_t10_an_open_stream_of_every_kind_is_told_to_end(alice, end):
    held = principals(alice)
    assert {k: p.kind for k, p in held.items()} == {k: k for k in held}
    assert all(is_still_valid(p) for p in held.values())
    end(alice.user)
    assert not any(is_still_valid(p) for p in held.values())


def test_t10_a_stream_ends_with_its_own_credential(alice):
    held = principals(alice)
    keys.revoke_key(alice.api_key)
    tokens.revoke(tokens.sign_in(alice.user).refresh)
    assert not is_still_valid(held["api_key"])
    assert is_still_valid(held["jwt"])
    alice.user.token_families.update(revoked_at=now())
    assert not is_still_valid(held["jwt"])
    assert is_still_valid(held["session"])
    alice.web.logout()
    assert not is_still_valid(held["session"])


def test_t10_a_stream_ends_with_a_session_that_has_expired(alice):
    held = principals(alice)["session"]
    Session.objects.update(expire_date=now())

    assert not is_still_valid(held)


def test_a_deleted_user_is_disabled_whoever_says_otherwise(alice):
    delete_user(alice.user, alice.user)

    with pytest.raises(IntegrityError, match="user_deleted_is_disabled"):
        User.objects.filter(pk=alice.user.pk).update(is_active=True)


def signed_in(user):
    client = Client()
    client.force_login(user, BACKEND)
    client.session["x"] = 1
    return client


def test_u12_a_password_change_ends_the_other_sessions_and_tokens(alice):
    here, there = signed_in(alice.user), signed_in(alice.user)
    pair = tokens.sign_in(alice.user)
    body = {
        "oldpassword": PASSWORD,
        "password1": "a brand new phrase 7",
        "password2": "a brand new phrase 7",
    }

    here.post("/accounts/password/change/", body)

    assert User.objects.get(pk=alice.user.pk).check_password(body["password1"])
    assert here.get(ME).status_code == 200
    assert there.get(ME).status_code == 401
    assert statuses(alice, pair.access)["jwt"] == 401
    with pytest.raises(InvalidCredential):
        tokens.refresh(pair.refresh)


def test_u12_a_second_factor_ends_other_sessions_and_tokens(alice):
    there = signed_in(alice.user)
    pair = tokens.sign_in(alice.user)

    TOTP.activate(alice.user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    assert there.get(ME).status_code == 401
    with pytest.raises(InvalidCredential):
        tokens.refresh(pair.refresh)

    pair = tokens.sign_in(User.objects.get(pk=alice.user.pk))
    Authenticator.objects.get(user=alice.user).delete()
    with pytest.raises(InvalidCredential):
        tokens.refresh(pair.refresh)


def test_u12_a_better_hash_of_the_same_password_ends_nothing(alice, settings):
    epoch = User.objects.get(pk=alice.user.pk).epoch
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    assert alice.user.check_password(PASSWORD)
    stored = User.objects.get(pk=alice.user.pk)
    assert stored.password.startswith("pbkdf2")
    assert stored.epoch == epoch


def test_a_stale_copy_sets_back_neither_epoch_nor_totals(alice):
    stale = User.objects.get(pk=alice.user.pk)
    User.objects.filter(pk=alice.user.pk).update(epoch=9, requests_total=7)
    stale.full_name = "New"
    stale.save()
    stored = User.objects.get(pk=alice.user.pk)
    assert (stored.full_name, stored.epoch, stored.requests_total) == ("New", 9, 7)
