"""Settings: sessions, notifications, sign-in security."""

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts import keys
from accounts.expiry import warn_of_expiry
from accounts.models import ApiKey, AuditEvent
from accounts.signing_in import tokens
from aiassist.lib.clock import now
from tests.factories import PASSWORD


@pytest.fixture
def ending(alice):
    key, _ = keys.create_key(alice.user, "CI", expires_at=now() + timedelta(days=10))
    return key


def moved(key, **left):
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now() + timedelta(**left))


def test_u17_an_ending_key_is_mailed_about_once_and_once_more_near_the_end(ending):
    assert (warn_of_expiry(), warn_of_expiry()) == (1, 0)
    ApiKey.objects.filter(pk=ending.pk).update(
        expiry_warned_at=now() - timedelta(days=9), expires_at=now() + timedelta(days=1)
    )
    assert (warn_of_expiry(), warn_of_expiry()) == (1, 0)

    first = mail.outbox[0]
    assert first.to == ["alice@example.test"] and "“CI”" in first.subject
    assert ending.prefix in first.body and ending.digest not in first.body


@pytest.mark.parametrize("why", ["later", "revoked", "rotated", "disabled", "unwanted"])
def test_nobody_is_mailed_about_a_key_that_needs_nothing(alice, ending, why):
    if why == "later":
        moved(ending, days=20)
    elif why == "revoked":
        keys.revoke_key(ending)
    elif why == "rotated":
        keys.rotate_key(ending)
    elif why == "disabled":
        type(alice.user).objects.filter(pk=alice.user.pk).update(is_active=False)
    else:
        alice.web.post(reverse("settings:notifications"), {})

    assert warn_of_expiry() == 0 and mail.outbox == []


def test_a_mail_that_could_not_be_sent_stays_due(ending, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    with pytest.raises(OSError):
        warn_of_expiry()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    assert warn_of_expiry() == 1


def test_the_list_of_keys_says_which_end_soon(alice, ending):
    shown = alice.web.get(reverse("keys:list")).text

    assert "badge-warn" in shown and "Expires" in shown


def test_other_sign_ins_are_ended_from_the_page(alice, rf):
    """U12: this browser stays, the others and the tokens go; each is audited."""
    elsewhere = Client()
    backend = "allauth.account.auth_backends.AuthenticationBackend"
    for browser in (alice.web, elsewhere):
        browser.force_login(alice.user, backend)
        browser.get(reverse("dashboard"))  # the session is noted with its first page
    tokens.sign_in(alice.user, rf.post("/"))
    page = reverse("settings:sessions")
    assert len(alice.web.get(page).context["sign_ins"]) == 3

    alice.web.post(reverse("settings:sessions_end"))

    assert len(alice.web.get(page).context["sign_ins"]) == 1
    assert elsewhere.get(page).status_code == 302
    ended = AuditEvent.objects.filter(action="session.ended")
    assert ended.count() == 2


def test_one_sign_in_is_ended_by_its_owner_alone(alice, charlie, rf):
    """T1."""
    tokens.sign_in(alice.user, rf.post("/"))
    family = alice.user.token_families.get()
    address = reverse("settings:session_end", args=[family.pk])

    assert charlie.web.post(address).status_code == 404
    assert alice.web.get(address).status_code == 405
    alice.web.post(address)

    family.refresh_from_db()
    assert family.revoked_at is not None


def test_notifications_keep_the_other_preferences(alice):
    alice.web.post(reverse("settings:profile"), {"full_name": "A", "theme": "dark"})
    alice.web.post(reverse("settings:notifications"), {})

    alice.user.refresh_from_db()
    assert alice.user.preferences == {"theme": "dark", "mail_key_expiry": False}


def test_sign_in_security_offers_app_passkeys_and_codes(alice):
    shown = alice.web.get(reverse("mfa_index")).text

    assert "Authenticator app" in shown and "Passkeys" in shown


def test_m1_a_passkey_counts_as_a_second_factor_for_tokens_too(alice):
    """Its holder cannot be signed in by the password alone."""
    Authenticator.objects.create(
        user=alice.user, type=Authenticator.Type.WEBAUTHN, data={}
    )
    body = {"email": alice.user.email, "password": PASSWORD}

    answer = Client().post("/api/v1/auth/token", body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (
        401,
        "second_factor_required",
    )


def test_our_mails_say_who_where_and_what_to_do(db):
    body = {"email": "new@example.test", "full_name": "New", "password1": PASSWORD}
    Client().post("/accounts/signup/", body)
    sent = mail.outbox[0]

    assert sent.subject == "[aiassist] Confirm your e-mail address"
    assert "Hello from" not in sent.body and "/accounts/confirm-email/" in sent.body


def test_a_change_of_address_waits_and_can_be_taken_back(alice):
    page = "/accounts/email/"
    alice.web.post("/accounts/reauthenticate/", {"password": PASSWORD})
    alice.web.post(page, {"email": "new@example.test", "action_add": ""})
    waiting = alice.web.get(page).text

    assert "new@example.test" in waiting and "Not confirmed" in waiting
    assert " style=" not in waiting
    alice.web.post(page, {"email": "new@example.test", "action_remove": ""})
    assert "Not confirmed" not in alice.web.get(page).text
