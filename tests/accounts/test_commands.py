"""What operators type."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import keys
from accounts.models import AuditEvent, User

PHRASE = "a brand new phrase 7"


def run(*args):
    out = StringIO()
    call_command(*args, stdout=out, no_color=True)
    return out.getvalue().strip()


def test_a_key_is_made_and_printed_once(alice):
    secret = run("create_api_key", "Alice@Example.test", "--name", "ci")
    assert keys.authenticate(secret).name == "ci"


def test_a_key_for_nobody_or_with_a_made_up_scope_is_refused(alice):
    with pytest.raises(CommandError, match="Nobody has this address"):
        run("create_api_key", "nobody@example.test")
    with pytest.raises(CommandError, match="no such scope"):
        run("create_api_key", alice.user.email, "--scopes", "root")


def test_a_user_is_made_and_can_sign_in(db, post, monkeypatch):
    monkeypatch.setenv("AIASSIST_PASSWORD", PHRASE)
    run("create_user", "New@Example.test", "--name", "New", "--staff")
    body = {"email": "new@example.test", "password": PHRASE}
    assert post("auth/token", body).status_code == 200
    assert User.objects.get().is_staff


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("not an address", PHRASE, "valid email"),
        ("new@example.test", "short", "too short"),
        ("alice@example.test", PHRASE, "has an account already"),
    ],
)
def test_a_bad_user_is_refused(alice, monkeypatch, email, password, message):
    monkeypatch.setenv("AIASSIST_PASSWORD", password)
    with pytest.raises(CommandError, match=message):
        run("create_user", email)


def test_a_user_without_a_password_cannot_sign_in_with_one(db):
    run("create_user", "sso@example.test", "--no-password")
    client = Client()
    client.post("/accounts/login/", {"login": "sso@example.test", "password": "x"})
    assert not User.objects.get().has_usable_password()
    assert "_auth_user_id" not in client.session


def typed(monkeypatch, *passwords):
    answers = iter(passwords)
    monkeypatch.delenv("AIASSIST_PASSWORD", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))


def test_a_password_is_asked_for_twice(db, post, monkeypatch):
    typed(monkeypatch, PHRASE, PHRASE)
    run("create_user", "new@example.test")
    body = {"email": "new@example.test", "password": PHRASE}
    assert post("auth/token", body).status_code == 200


def test_two_different_passwords_make_nobody(db, monkeypatch):
    typed(monkeypatch, PHRASE, "another phrase 8")
    with pytest.raises(CommandError, match="differ"):
        run("create_user", "new@example.test")
    assert not User.objects.exists()


def test_nobody_is_made_without_an_address(db):
    with pytest.raises(ValueError, match="e-mail address"):
        User.objects.create_user("")


def test_a_superuser_may_sign_in_at_once_and_only_one_has_the_address(
    db, post, monkeypatch
):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PHRASE)
    arguments = ("createsuperuser", "--noinput", "--email", "Boss@Example.test")
    run(*arguments)

    body = {"email": "boss@example.test", "password": PHRASE}
    assert post("auth/token", body).status_code == 200
    assert User.objects.get().is_superuser
    assert AuditEvent.objects.filter(action="user.created").count() == 1
    with pytest.raises(CommandError, match="already taken"):
        run(*arguments)
