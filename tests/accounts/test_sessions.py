"""Where somebody is signed in, and ending it."""

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from accounts.models import AuditEvent
from accounts.signing_in import tokens
from accounts.signing_in.middleware import PRECISION
from aiassist.lib.clock import now

PATH = "/api/v1/me/sessions"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def browser(user, agent="Firefox"):
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR="203.0.113.7")
    client.force_login(user, BACKEND)
    client.get("/api/v1/me")
    return client


def test_browsers_and_token_holders_are_listed(alice):
    here = browser(alice.user)
    tokens.sign_in(alice.user)

    answer = here.get(PATH)

    found = {row["kind"]: row for row in answer.json()["results"]}
    assert answer.json()["next"] is None
    assert found["browser"]["ip"] == "203.0.113.7"
    assert found["browser"]["user_agent"] == "Firefox"
    assert found["browser"]["is_current"]
    assert not found["token"]["is_current"]
    assert str(here.session.session_key) not in answer.content.decode()


def test_one_sign_in_is_ended_and_the_others_stay(alice, account_api):
    here, there = browser(alice.user, "here"), browser(alice.user, "there")
    pair = tokens.sign_in(alice.user)
    rows = account_api.get(PATH).json()["results"]
    ids = {row["user_agent"] or row["kind"]: row["id"] for row in rows}

    assert account_api.delete(f"{PATH}/{ids['there']}").status_code == 204
    assert account_api.delete(f"{PATH}/{ids['token']}").status_code == 204

    assert here.get("/api/v1/me").status_code == 200
    assert there.get("/api/v1/me").status_code == 401
    bearer = {"authorization": f"Bearer {pair.access}"}
    assert Client().get("/api/v1/me", headers=bearer).status_code == 401
    assert AuditEvent.objects.filter(action="session.ended").count() == 2


def test_a_strangers_session_is_not_found(alice, charlie, account_api):
    browser(charlie.user)
    theirs = tokens.read_access(tokens.sign_in(charlie.user).access).family_id
    for session_id in (theirs, "session_unknown"):
        assert account_api.delete(f"{PATH}/{session_id}").status_code == 404


def test_the_last_sight_of_a_session_is_written_once_a_minute(
    alice, django_assert_num_queries
):
    client = browser(alice.user)
    first = UserSession.objects.get().last_seen_at
    client.get("/api/v1/me")
    assert UserSession.objects.get().last_seen_at == first

    UserSession.objects.update(last_seen_at=now() - PRECISION)
    client.get("/api/v1/me")
    assert UserSession.objects.get().last_seen_at >= first


@pytest.mark.parametrize("n_browsers", [1, 6])
def test_any_number_of_browsers_is_read_in_five_queries(
    alice, account_api, django_assert_num_queries, n_browsers
):
    for _ in range(n_browsers):
        browser(alice.user)
    with django_assert_num_queries(5):
        assert len(account_api.get(PATH).json()["results"]) == n_browsers


def test_u12_a_browser_of_an_older_password_is_listed_no_more(alice, account_api):
    browser(alice.user, "old")
    alice.user.set_password("another long password")
    alice.user.save()
    alice.user.refresh_from_db()
    browser(alice.user, "new")

    rows = account_api.get(PATH).json()["results"]

    assert [row["user_agent"] for row in rows] == ["new"]
    assert UserSession.objects.count() == 1
