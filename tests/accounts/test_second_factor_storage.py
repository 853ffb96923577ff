"""U3: a second factor's secrets are sealed by the vault, under its key ring."""

import base64
import hashlib
from importlib import import_module

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as site

from tests.factories import PASSWORD

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
move = import_module("accounts.migrations.0013_seal_second_factors")


def right_code():
    counter = next(iter(yield_hotp_counters_from_time()))
    return format_hotp_value(hotp_value(SECRET, counter))


@pytest.fixture
def factor(alice):
    TOTP.activate(alice.user, SECRET)
    return Authenticator.objects.get(user=alice.user)


def test_u3_a_replaced_secret_key_still_opens_it_and_a_lost_one_says_so(
    alice, factor, settings, post
):
    assert factor.data["secret"].startswith("v1.")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key " * 5
    settings.SECRET_KEY_FALLBACKS = [old]
    assert factor.wrap().validate_code(right_code())

    settings.SECRET_KEY_FALLBACKS = []
    body = {"email": alice.user.email, "password": PASSWORD, "code": right_code()}
    answer = post("auth/token", body)

    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_second_factor")
    assert "cannot be read any more" in answer.json()["detail"]


def test_u3_factors_of_before_the_vault_are_sealed_anew_and_back(alice, factor):
    codes = RecoveryCodes.activate(alice.user).get_unused_codes()
    move.unseal_all(apps, None)
    digest = hashlib.sha256(f"accounts second factor:{site.SECRET_KEY}".encode())
    cipher = Fernet(base64.urlsafe_b64encode(digest.digest()))
    factor.refresh_from_db()
    assert cipher.decrypt(factor.data["secret"].encode()).decode() == SECRET

    move.seal_all(apps, None)

    factor.refresh_from_db()
    assert factor.wrap().validate_code(right_code())
    kept = Authenticator.objects.get(user=alice.user, type="recovery_codes")
    assert kept.wrap().get_unused_codes() == codes
