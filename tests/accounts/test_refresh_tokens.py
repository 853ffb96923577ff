"""U9: a refresh token is used once; replay ends its whole family."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections

from accounts.errors import TokenReplayed
from accounts.models import AuditEvent, TokenFamily, User
from accounts.signing_in import tokens
from aiassist.lib.clock import now
from aiassist.lib.errors import AppError, InvalidCredential

LATER = tokens.RETRY_GRACE + timedelta(seconds=1)


def let_time_pass(delta=LATER):
    """Move the last rotation into the past, which is what the grace looks at."""
    for family in TokenFamily.objects.all():
        family.rotated_at -= delta
        family.save()


def bearer(client, access):
    headers = {"authorization": f"Bearer {access}"}
    return client.get("/api/v1/me", headers=headers).status_code


def test_u9_a_refresh_token_gives_a_new_pair(alice, client, post):
    first = tokens.sign_in(alice.user)

    answer = post("auth/token/refresh", {"refresh": first.refresh})

    second = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert second["refresh"] != first.refresh
    assert (second["token_type"], second["expires_in"]) == ("Bearer", 24 * 3600)
    assert bearer(client, second["access"]) == 200


def test_u9_a_replay_ends_the_whole_family(alice, client, post):
    first = tokens.sign_in(alice.user)
    second = tokens.refresh(first.refresh)
    let_time_pass()

    replay = post("auth/token/refresh", {"refresh": first.refresh})

    assert (replay.status_code, replay.json()["code"]) == (401, "token_replayed")
    assert post("auth/token/refresh", {"refresh": second.refresh}).status_code == 401
    assert bearer(client, second.access) == 401
    assert AuditEvent.objects.filter(action="token.replayed").count() == 1


def test_u9_a_replay_ends_no_other_sign_in(alice):
    other = tokens.sign_in(alice.user)
    first = tokens.sign_in(alice.user)
    tokens.refresh(first.refresh)
    let_time_pass()
    with pytest.raises(TokenReplayed):
        tokens.refresh(first.refresh)
    tokens.refresh(other.refresh)


def test_u9_a_retry_within_ten_seconds_gives_the_same_successor(alice):
    first = tokens.sign_in(alice.user)
    second = tokens.refresh(first.refresh)
    assert tokens.refresh(first.refresh).refresh == second.refresh


def test_u9_the_grace_covers_the_last_rotation_only(alice):
    first = tokens.sign_in(alice.user)
    second = tokens.refresh(first.refresh)
    tokens.refresh(second.refresh)
    with pytest.raises(TokenReplayed):
        tokens.refresh(first.refresh)


@pytest.mark.django_db(transaction=True)
def test_u9_twenty_at_once_give_one_successor():
    user = User.objects.create_user("u9@example.test", "x")
    first = tokens.sign_in(user)

    def refresh(_):
        try:
            return tokens.refresh(first.refresh).refresh
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(refresh, range(20)))

    family = TokenFamily.objects.get()
    assert len(answers) == 1
    assert tokens.RefreshToken(answers.pop())["jti"] == family.current_jti
    assert family.revoked_at is None


@pytest.mark.django_db(transaction=True)
def test_u9_twenty_replays_at_once_end_the_family_once():
    user = User.objects.create_user("u9@example.test", "x")
    first = tokens.sign_in(user)
    tokens.refresh(first.refresh)
    let_time_pass()

    def replay(_):
        try:
            tokens.refresh(first.refresh)
        except AppError as error:
            return type(error)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(replay, range(20)))

    assert outcomes.count(TokenReplayed) == 1
    assert outcomes.count(InvalidCredential) == 19


@pytest.mark.parametrize("which", ["access", "refresh"])
def test_u9_revoking_either_token_ends_both(alice, client, post, which):
    pair = tokens.sign_in(alice.user)

    answer = post("auth/token/revoke", {"token": getattr(pair, which)})

    assert answer.status_code == 204
    assert bearer(client, pair.access) == 401
    assert post("auth/token/refresh", {"refresh": pair.refresh}).status_code == 401


def test_u9_a_refresh_token_is_revoked_under_the_name_it_was_given_by(alice, post):
    pair = tokens.sign_in(alice.user)

    assert post("auth/token/revoke", {"refresh": pair.refresh}).status_code == 204
    assert post("auth/token/refresh", {"refresh": pair.refresh}).status_code == 401
    assert post("auth/token/revoke", {}).json()["errors"][0]["field"] == "token"


def test_u9_revoking_nonsense_is_fine(db, post):
    assert post("auth/token/revoke", {"token": "nonsense"}).status_code == 204


def test_u9_a_family_that_ran_out_is_refused_and_later_forgotten(alice):
    pair = tokens.sign_in(alice.user)
    TokenFamily.objects.update(expires_at=now() - timedelta(seconds=1))
    with pytest.raises(InvalidCredential):
        tokens.refresh(pair.refresh)
    TokenFamily.objects.update(expires_at=now() - timedelta(days=31))
    assert tokens.forget_old() == 1


def test_u9_revoking_what_was_forgotten_already_is_fine(alice, post):
    pair = tokens.sign_in(alice.user)
    TokenFamily.objects.all().delete()

    answer = post("auth/token/revoke", {"token": pair.refresh})

    assert answer.status_code == 204
