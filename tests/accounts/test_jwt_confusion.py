"""U11: a token that is not exactly ours, and an access token, is refused."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from accounts.signing_in import tokens


def payload(user, **changes):
    """Return the claims of a good access token, changed; None leaves one out."""
    family_id = tokens.read_access(tokens.sign_in(user).access).family_id
    claims = {
        "token_type": "access",
        "exp": int(time.time()) + 3600,
        "iat": int(time.time()),
        "jti": "abc",
        "sub": user.pk,
        "fam": family_id,
        "epoch": user.epoch,
        "aud": tokens.AUDIENCE,
        "iss": tokens.ISSUER,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims, key=None, algorithm="HS256"):
    return jwt.encode(claims, key or settings.JWT_SECRET, algorithm=algorithm)


@pytest.fixture
def status(client):
    def ask(token):
        headers = {"authorization": f"Bearer {token}"}
        return client.get("/api/v1/me", headers=headers).status_code

    return ask


def test_u11_the_unchanged_token_is_good(alice, status):
    assert status(signed(payload(alice.user))) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-service"},
        {"aud": None},
        {"iss": "somebody"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"token_type": "refresh"},
        {"token_type": None},
        {"jti": None},
        {"sub": "user_somebody"},
        {"sub": None},
        {"fam": "family_other"},
        {"fam": None},
        {"epoch": 7},
        {"epoch": None},
    ],
    ids=str,
)
def test_u11_a_wrong_or_missing_claim_is_refused(alice, status, changes):
    assert status(signed(payload(alice.user, **changes))) == 401


def test_u11_a_refresh_token_is_no_access_token_and_the_other_way(alice, status, post):
    pair = tokens.sign_in(alice.user)
    assert status(pair.refresh) == 401
    assert post("auth/token/refresh", {"refresh": pair.access}).status_code == 401


def test_u11_another_secret_is_refused(alice, status):
    key = "another-secret-of-at-least-32-characters"
    assert status(signed(payload(alice.user), key)) == 401


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_u11_only_hs256_is_read(alice, status, algorithm):
    token = signed(payload(alice.user), settings.JWT_SECRET, algorithm)
    assert status(token) == 401


def test_u11_no_algorithm_is_refused(alice, status):
    assert status(jwt.encode(payload(alice.user), "", algorithm="none")) == 401


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
def test_u11_a_stripped_signature_is_refused(alice, status, name):
    body = signed(payload(alice.user)).split(".")[1]
    head = json.dumps({"alg": name, "typ": "JWT"}).encode()
    head64 = base64.urlsafe_b64encode(head).rstrip(b"=").decode()
    assert status(f"{head64}.{body}.") == 401


def test_u11_an_rsa_signature_is_refused(alice, status):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert status(signed(payload(alice.user), pem, "RS256")) == 401


def test_u11_a_changed_payload_is_refused(alice, charlie, status):
    head, _, signature = signed(payload(alice.user)).split(".")
    body = signed(payload(charlie.user)).split(".")[1]
    assert status(f"{head}.{body}.{signature}") == 401
