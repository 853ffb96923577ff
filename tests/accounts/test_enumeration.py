"""U7: no door tells whether an address exists."""

import re
import statistics
import time

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from tests.accounts.test_password_guessing import a_while_later
from tests.factories import PASSWORD, UserFactory

NOBODY = "nobody@example.test"


@pytest.fixture
def real_hasher(settings):
    settings.PASSWORD_HASHERS = ["accounts.signing_in.hashers.Argon2"]


def same(first, second):
    """Compare two answers, but for tokens and the address that was typed."""
    blank = re.compile(r'name="csrfmiddlewaretoken" value="\w+"|[\w.+-]+@example.test')
    return (first.status_code, blank.sub("", first.content.decode())) == (
        second.status_code,
        blank.sub("", second.content.decode()),
    ) and first.headers.get("Location") == second.headers.get("Location")


def api_answer(answer):
    body = answer.json()
    body.pop("request_id")
    return answer.status_code, body


def test_u7_the_jwt_door_answers_the_same_for_every_reason(alice, post):
    UserFactory(email="unconfirmed@example.test", confirmed=False)
    UserFactory(email="disabled@example.test", is_active=False)
    answers = [
        api_answer(post("auth/token", {"email": email, "password": password}))
        for email, password in [
            (NOBODY, PASSWORD),
            (alice.user.email, "wrong"),
            ("unconfirmed@example.test", PASSWORD),
            ("disabled@example.test", PASSWORD),
        ]
    ]
    assert answers[0][0] == 401
    assert answers == [answers[0]] * 4
    assert "confirmed" in answers[0][1]["detail"]


def test_u7_login_answers_the_same(alice):
    known = Client().post(
        "/accounts/login/", {"login": alice.user.email, "password": "x"}
    )
    unknown = Client().post("/accounts/login/", {"login": NOBODY, "password": "x"})
    assert same(known, unknown)


def test_u7_a_password_reset_answers_the_same(alice):
    known = Client().post("/accounts/password/reset/", {"email": alice.user.email})
    unknown = Client().post("/accounts/password/reset/", {"email": NOBODY})
    assert same(known, unknown)
    assert [message.to for message in mail.outbox] == [[alice.user.email], [NOBODY]]


def sign_up(email):
    return Client().post(
        "/accounts/signup/",
        {"full_name": "A", "email": email, "password1": "a long passphrase 1"},
    )


def test_u7_a_sign_up_answers_the_same(alice):
    known = sign_up(alice.user.email)
    unknown = sign_up("new@example.test")
    assert known.status_code == 302
    assert same(known, unknown)
    assert User.objects.filter(email=alice.user.email).count() == 1
    assert len(mail.outbox) == 2


def median_seconds(work, rounds=11):
    taken = []
    for _ in range(rounds):
        a_while_later()
        # The processor's time: the clock also shows what else the machine does.
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def alike(first, second):
    """Whether the medians differ by less than a hash of a password takes."""
    return abs(first - second) < 0.5 * max(first, second)


def test_u7_the_jwt_door_takes_as_long_for_nobody(real_hasher, db, post):
    user = UserFactory(email="slow@example.test")
    known = median_seconds(
        lambda: post("auth/token", {"email": user.email, "password": "wrong"})
    )
    unknown = median_seconds(
        lambda: post("auth/token", {"email": NOBODY, "password": "wrong"})
    )
    assert alike(known, unknown), (known, unknown)


LOGIN, RESET = "/accounts/login/", "/accounts/password/reset/"


@pytest.mark.parametrize(
    ("door", "form"),
    [(LOGIN, {"login": "{}", "password": "x"}), (RESET, {"email": "{}"})],
)
def test_u7_a_door_of_the_site_takes_as_long_for_nobody(
    real_hasher, db, settings, door, form
):
    settings.ACCOUNT_RATE_LIMITS = False
    user = UserFactory(email="slow@example.test")

    def sent(email):
        filled = {name: value.format(email) for name, value in form.items()}
        assert Client().post(door, filled).status_code in (200, 302)

    known = median_seconds(lambda: sent(user.email))
    unknown = median_seconds(lambda: sent(NOBODY))
    assert alike(known, unknown), (known, unknown)


def test_u7_a_sign_up_takes_as_long_for_a_taken_address(real_hasher, db, settings):
    settings.ACCOUNT_RATE_LIMITS = False
    user = UserFactory(email="slow@example.test")
    numbers = iter(range(1000))
    known = median_seconds(lambda: sign_up(user.email))
    unknown = median_seconds(lambda: sign_up(f"new{next(numbers)}@example.test"))
    assert alike(known, unknown), (known, unknown)
