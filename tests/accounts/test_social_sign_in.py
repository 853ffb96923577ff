"""U13: a provider's word about an address opens nobody's account."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.core import mail
from django.test import Client

from accounts.models import AuditEvent, User
from tests.factories import PASSWORD, UserFactory
from tests.fakes.idp import FakeIdp

START = "/accounts/oidc/oidc/login/"
PHRASE = "a brand new phrase 7"


@pytest.fixture
def idp(settings) -> Iterator[FakeIdp]:
    fake = FakeIdp().start()
    app = {
        "provider_id": "oidc",
        "name": "Test",
        "client_id": "us",
        "secret": "secret",
        "settings": {"server_url": fake.url, "scope": ["openid", "email", "profile"]},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True}
    }
    yield fake
    fake.stop()


def come_from(idp, *, sub="s1", email="", verified=False, client=None, **query):
    """Sign in at the provider and come back; returns the browser."""
    client = client or Client()
    idp.claims = {"sub": sub, "email": email, "email_verified": verified, "name": "Eve"}
    left = client.post(START, query_params=query)
    state = parse_qs(urlsplit(left["Location"]).query)["state"][0]
    client.get(f"{START}callback/", {"code": "c", "state": state})
    return client


def who(client):
    return client.session.get("_auth_user_id")


@pytest.mark.parametrize("theirs_verified", [True, False])
@pytest.mark.parametrize("ours_verified", [True, False])
def test_u13_an_address_links_to_no_account(idp, db, theirs_verified, ours_verified):
    victim = UserFactory(email="victim@example.test", confirmed=False)
    EmailAddress.objects.create(
        user=victim, email=victim.email, verified=ours_verified, primary=True
    )

    client = come_from(idp, email="Victim@example.test", verified=theirs_verified)

    assert who(client) is None
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1
    # The owner of the address is told, the visitor is not.
    assert [message.to for message in mail.outbox] == [["victim@example.test"]]


def test_u13_an_unverified_new_address_must_be_confirmed_first(idp, db):
    client = come_from(idp, email="new@example.test", verified=False)
    assert who(client) is None
    assert not EmailAddress.objects.get(email="new@example.test").verified
    assert len(mail.outbox) == 1


def test_u13_a_verified_new_address_signs_up_at_once(idp, db):
    client = come_from(idp, email="new@example.test", verified=True)
    user = User.objects.get()
    assert who(client) == user.pk
    assert (user.email, user.full_name) == ("new@example.test", "Eve")
    assert not user.has_usable_password()


def test_u13_the_subject_is_the_person_whatever_the_address(idp, db):
    first = who(come_from(idp, sub="s1", email="a@example.test", verified=True))
    again = who(come_from(idp, sub="s1", email="b@example.test", verified=True))
    other = who(come_from(idp, sub="s2", email="c@example.test", verified=True))
    assert first == again
    assert other not in (None, first)


def test_u13_another_subject_with_a_known_address_is_nobody(idp, db):
    come_from(idp, sub="s1", email="a@example.test", verified=True)
    assert who(come_from(idp, sub="s2", email="a@example.test", verified=True)) is None
    assert SocialAccount.objects.count() == 1


def test_u13_who_is_signed_in_may_connect_a_provider(idp, alice):
    client = alice.web
    come_from(idp, sub="s9", email="x@example.test", client=client, process="connect")
    assert not SocialAccount.objects.exists()  # a cookie alone is not enough
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert SocialAccount.objects.get().user == alice.user
    assert AuditEvent.objects.filter(action="provider.connected").exists()
    assert who(come_from(idp, sub="s9", email="x@example.test")) == alice.user.pk


def test_u13_a_forged_state_is_refused(idp, db):
    client = Client()
    client.post(START)
    idp.claims = {"sub": "s1", "email": "a@example.test", "email_verified": True}
    client.get(f"{START}callback/", {"code": "c", "state": "forged"})
    assert who(client) is None
    assert not User.objects.exists()


def test_sign_in_uses_pkce_and_keeps_no_tokens(idp, db):
    come_from(idp, email="a@example.test", verified=True)
    assert "code_verifier" in idp.exchanges[0]
    assert not SocialToken.objects.exists()


def test_a_get_does_not_leave_for_the_provider(idp, db):
    assert Client().get(START).status_code == 200


def providers_with(**variables):
    """Return the configured providers of a process with these variables alone."""
    code = (
        "import json; from aiassist.settings import auth;"
        "print(json.dumps(auth.SOCIALACCOUNT_PROVIDERS))"
    )
    names = ("GITHUB", "GOOGLE", "MICROSOFT", "AUTH0", "OIDC")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def pair(name):
    return {f"{name}_CLIENT_ID": "id", f"{name}_CLIENT_SECRET": "secret"}


def test_no_provider_is_on_by_itself():
    assert providers_with() == {}
    assert providers_with(GITHUB_CLIENT_ID="id") == {}
    assert providers_with(**pair("OIDC")) == {}


def test_each_provider_is_switched_on_by_its_variables():
    found = providers_with(
        **pair("GITHUB"),
        **pair("GOOGLE"),
        **pair("MICROSOFT"),
        **pair("AUTH0"),
        **pair("OIDC"),
        AUTH0_DOMAIN="tenant.auth0.com",
        OIDC_ISSUER="https://idp.example/realm/",
    )
    assert found["github"]["SCOPE"] == ["user:email", "read:user"]
    assert found["google"]["SCOPE"] == ["openid", "email", "profile"]
    assert set(found["microsoft"]["SCOPE"]) >= {"openid", "email", "profile"}
    auth0, oidc = found["openid_connect"]["APPS"]
    assert auth0["settings"]["server_url"] == "https://tenant.auth0.com"
    assert oidc["settings"]["server_url"] == "https://idp.example/realm"
    assert auth0["settings"]["scope"] == ["openid", "email", "profile"]
    assert all(provider["OAUTH_PKCE_ENABLED"] for provider in found.values())


def test_m3_a_disconnected_provider_opens_nothing_and_is_noted(idp, db):
    client = come_from(idp, sub="s1", email="a@example.test", verified=True)
    user_id = who(client)
    client.post("/accounts/password/set/", {"password1": PHRASE, "password2": PHRASE})
    client.post("/accounts/reauthenticate/", {"password": PHRASE})

    account = SocialAccount.objects.get()
    client.post("/accounts/3rdparty/", {"account": account.pk})

    assert not SocialAccount.objects.exists()
    event = AuditEvent.objects.get(action="provider.disconnected")
    assert (event.actor_id, event.details["provider"]) == (user_id, account.provider)
    again = come_from(idp, sub="s1", email="a@example.test", verified=True)
    assert who(again) is None


@pytest.mark.parametrize("provider", ["github", "google", "microsoft", "oidc/nobody"])
def test_a_provider_that_is_not_switched_on_is_no_address(db, provider):
    for ask in (Client().get, Client().post):
        assert ask(f"/accounts/{provider}/login/").status_code == 404


@pytest.mark.parametrize("provider", ["github", "auth0"])
def test_an_account_of_a_provider_switched_off_since_can_be_disconnected(
    alice, provider
):
    held = SocialAccount.objects.create(user=alice.user, provider=provider, uid="7")
    page = "/accounts/3rdparty/"
    alice.web.post("/accounts/reauthenticate/", {"password": PASSWORD})

    assert "Disconnect" in alice.web.get(page).text
    assert alice.web.post(page, {"account": held.pk}).status_code == 302
    assert not SocialAccount.objects.exists()
