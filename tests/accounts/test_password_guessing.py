"""U1: guessing stops at 5 per 5 minutes an account and 10 a minute an address."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.db import connections
from django.test import Client

from accounts.models import AuditEvent, GuessWindow
from accounts.signing_in import guessing
from accounts.signing_in.forms import TOO_MANY
from aiassist.lib.clock import now
from aiassist.lib.errors import TooManyAttempts
from tests.factories import PASSWORD, UserFactory

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
LOGIN = "/accounts/login/"


def totp_for(user):
    return TOTP.activate(user, SECRET)


def right_code():
    return format_hotp_value(hotp_value(SECRET, next(yield_hotp_counters_from_time())))


def wrong_code():
    return format_hotp_value((int(right_code()) + 1) % 10**6)


def a_while_later():
    """Move all counted tries out of their windows."""
    for window in GuessWindow.objects.all():
        window.hits = [hit - 301 for hit in window.hits]
        window.save()


def judged(action="login.failed"):
    """How many tries were judged at all; a refused one is not."""
    return AuditEvent.objects.filter(action=action).count()


def test_u1_of_a_thousand_wrong_logins_over_every_door_five_are_judged(alice, post):
    site, email = Client(), alice.user.email

    def guess_at(door, password):
        if door == "api":
            return post("auth/token", {"email": email, "password": password})
        if door == "site":
            return site.post(LOGIN, {"login": email, "password": password})
        form = {"username": email, "password": password}
        return site.post("/admin/login/?next=/admin/", form)

    # The site's door is asked least, as it draws a page each time.
    doors = (["site"] + ["admin"] * 3 + ["api"] * 6) * 100
    answers = [guess_at(door, f"wrong {n}") for n, door in enumerate(doors)]

    assert judged() == 5
    told = {(door, a.status_code) for door, a in zip(doors, answers, strict=True)}
    assert told == {("site", 200), ("site", 429), ("admin", 302), ("api", 401)} | {
        ("api", 429)
    }
    refusal = answers[-1]
    assert refusal.json()["code"] == "too_many_attempts"
    assert refusal.json()["scope"] == "account"
    assert 0 < int(refusal["Retry-After"]) <= 300
    assert guess_at("api", PASSWORD).status_code == 429
    assert guess_at("site", PASSWORD).status_code == 429
    assert "_auth_user_id" not in site.session


def test_u1_the_right_password_is_not_even_tried_while_the_door_is_closed(alice, post):
    for _ in range(5):
        post("auth/token", {"email": alice.user.email, "password": "wrong"})
    right = {"email": alice.user.email.upper(), "password": PASSWORD}
    assert post("auth/token", right).status_code == 429
    a_while_later()
    assert post("auth/token", right).status_code == 200


def test_u1_an_address_stops_after_ten_over_many_accounts(db, post):
    bodies = [{"email": f"u{n}@example.test", "password": "x"} for n in range(200)]
    answers = [post("auth/token", body) for body in bodies]
    assert [a.status_code for a in answers] == [401] * 10 + [429] * 190
    assert answers[-1].json()["scope"] == "ip"


def test_u1_an_unknown_account_is_counted_like_a_known_one(alice, post):
    known = [
        post("auth/token", {"email": alice.user.email, "password": "x"})
        for _ in range(6)
    ]
    a_while_later()
    unknown = [
        post("auth/token", {"email": "nobody@example.test", "password": "x"})
        for _ in range(6)
    ]
    assert [a.status_code for a in known] == [a.status_code for a in unknown]


def test_u1_right_passwords_are_not_counted(alice, post):
    body = {"email": alice.user.email, "password": PASSWORD}
    assert {post("auth/token", body).status_code for _ in range(20)} == {200}


def test_u1_the_site_stops_after_five(alice):
    client = Client()
    for _ in range(20):
        client.post(LOGIN, {"login": alice.user.email, "password": "wrong"})

    assert judged() == 5
    answer = client.post(LOGIN, {"login": alice.user.email, "password": PASSWORD})
    assert "Too many" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    a_while_later()
    client.post(LOGIN, {"login": alice.user.email, "password": PASSWORD})
    assert "_auth_user_id" in client.session


def test_u1_the_doors_share_their_counters(alice, post):
    client = Client()
    for _ in range(3):
        client.post(LOGIN, {"login": alice.user.email, "password": "wrong"})
    answers = [
        post("auth/token", {"email": alice.user.email, "password": "wrong"})
        for _ in range(3)
    ]
    assert [a.status_code for a in answers] == [401, 401, 429]


def test_u1_the_admin_has_no_password_form_of_its_own(stella):
    client = Client()
    shown = client.get("/admin/login/?next=/admin/")
    sent = client.post(
        "/admin/login/", {"username": stella.user.email, "password": PASSWORD}
    )
    assert shown["Location"] == "/accounts/login/?next=%2Fadmin%2F"
    assert sent["Location"].startswith("/accounts/login/")
    assert "_auth_user_id" not in client.session


def test_u1_codes_stop_after_five_on_the_site(alice):
    totp_for(alice.user)
    client = Client()
    client.post(LOGIN, {"login": alice.user.email, "password": PASSWORD})
    for _ in range(50):
        client.post("/accounts/2fa/authenticate/", {"code": wrong_code()})

    assert judged("second_factor.failed") == 5
    client.post("/accounts/2fa/authenticate/", {"code": right_code()})
    assert "_auth_user_id" not in client.session
    a_while_later()
    client.post("/accounts/2fa/authenticate/", {"code": right_code()})
    assert "_auth_user_id" in client.session


def test_u1_codes_stop_after_five_at_the_jwt_door(alice, post):
    totp_for(alice.user)
    body = {"email": alice.user.email, "password": PASSWORD}
    challenge = post("auth/token", body).json()["challenge"]

    answers = [
        post("auth/token", {"challenge": challenge, "code": wrong_code()})
        for _ in range(100)
    ]

    assert [a.status_code for a in answers] == [401] * 5 + [429] * 95
    assert judged("second_factor.failed") == 5


def test_u1_new_challenges_do_not_give_new_tries(alice, post):
    totp_for(alice.user)
    body = {"email": alice.user.email, "password": PASSWORD, "code": wrong_code()}
    answers = [post("auth/token", body).status_code for _ in range(8)]
    assert answers == [401] * 5 + [429] * 3


def test_u1_the_current_password_is_guarded_too(alice):
    body = {"oldpassword": "wrong", "password1": "n3w-passw0rd!", "password2": "x"}
    for _ in range(5):
        alice.web.post("/accounts/password/change/", body)
    with pytest.raises(TooManyAttempts):
        guessing.take(alice.user.email, None)


def test_u1_a_door_closed_elsewhere_keeps_the_password_as_it_is(alice):
    for _ in range(guessing.PER_ACCOUNT.limit):
        guessing.take(alice.user.email, None)
    phrase = "n3w-passw0rd! phrase"
    body = {"oldpassword": PASSWORD, "password1": phrase, "password2": phrase}

    page = alice.web.post("/accounts/password/change/", body)

    assert page.context["form"].errors["oldpassword"] == [TOO_MANY]
    alice.user.refresh_from_db()
    assert alice.user.check_password(PASSWORD)


def test_u1_a_right_try_frees_its_place_even_when_the_counters_were_tidied(alice):
    with guessing.attempt(alice.user.email, None) as attempt:
        GuessWindow.objects.all().delete()
        attempt.succeed()
    for _ in range(guessing.PER_ACCOUNT.limit):
        guessing.take(alice.user.email, None)


def test_u1_reauthentication_is_guarded_too(alice):
    for _ in range(5):
        alice.web.post("/accounts/reauthenticate/", {"password": "wrong"})
    assert judged() == 5
    alice.web.post("/accounts/reauthenticate/", {"password": PASSWORD})
    with pytest.raises(TooManyAttempts):
        guessing.take(alice.user.email, None)


@pytest.mark.django_db(transaction=True)
def test_u1_forty_tries_at_once_are_judged_five_times():
    user = UserFactory(email="u1@example.test")

    def guess(n):
        try:
            return (
                Client()
                .post(
                    "/api/v1/auth/token",
                    {"email": user.email, "password": f"wrong{n}"},
                    content_type="application/json",
                )
                .status_code
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(guess, range(40)))

    assert sorted(set(outcomes)) == [401, 429]
    assert outcomes.count(401) == 5
    assert judged() == 5


def test_u1_the_counters_do_not_need_redis(alice, post, redis_server):
    redis_server.kill()
    body = {"email": alice.user.email, "password": "wrong"}
    answers = [post("auth/token", body).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2


def test_u1_the_site_opens_with_redis_down(alice, redis_server):
    redis_server.kill()
    client = Client()
    client.post(LOGIN, {"login": alice.user.email, "password": PASSWORD})
    assert "_auth_user_id" in client.session


def test_u1_counters_name_nobody_and_are_forgotten(alice, post):
    post("auth/token", {"email": alice.user.email, "password": "wrong"})
    assert alice.user.email not in repr(list(GuessWindow.objects.values()))
    assert guessing.forget_old() == 0
    GuessWindow.objects.update(updated_at=now() - guessing.LONGEST_WINDOW * 2)
    assert guessing.forget_old() == 2


def test_a_second_factor_opens_the_jwt_door_in_two_steps(alice, post):
    totp_for(alice.user)
    first = post("auth/token", {"email": alice.user.email, "password": PASSWORD})
    problem = first.json()
    assert (first.status_code, problem["code"]) == (401, "second_factor_required")
    assert problem["methods"] == ["totp", "recovery_code"]

    body = {"challenge": problem["challenge"], "code": right_code()}
    assert post("auth/token", body).status_code == 200
    assert post("auth/token", body).status_code == 401  # a code is good once


def test_a_second_factor_opens_the_jwt_door_in_one_step(alice, post):
    totp_for(alice.user)
    body = {"email": alice.user.email, "password": PASSWORD, "code": right_code()}
    assert post("auth/token", body).status_code == 200


@pytest.mark.parametrize("challenge", ["nonsense", "a:b:c", ""])
def test_a_made_up_challenge_is_refused(db, post, challenge):
    body = {"challenge": challenge, "code": "123456"}
    assert post("auth/token", body).status_code in (400, 401)


def test_a_challenge_dies_with_a_password_change(alice, post):
    totp_for(alice.user)
    body = {"email": alice.user.email, "password": PASSWORD}
    challenge = post("auth/token", body).json()["challenge"]
    alice.user.set_password("another long password")
    alice.user.save()
    answer = post("auth/token", {"challenge": challenge, "code": right_code()})
    assert answer.status_code == 401


def test_authenticator_secrets_are_stored_encrypted(alice):
    totp_for(alice.user)
    stored = Authenticator.objects.get(user=alice.user)
    assert SECRET not in repr(stored.data)
    assert stored.wrap().validate_code(right_code())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"challenge": "x"}, "code"),
        ({"email": "alice@example.test"}, "password"),
        ({"password": "x"}, "email"),
    ],
)
def test_what_a_sign_in_lacks_is_named(db, post, body, field):
    answer = post("auth/token", body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
