"""Apps that nobody registered: they register themselves, or show a document."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.idp.oidc.models import Client as App
from django.core.cache import cache
from django.test import Client

from accounts.identity import newcomers
from accounts.models import TokenFamily
from aiassist.lib.clock import now
from aiassist.lib.public_egress import Trust, open_url
from tests.accounts.test_identity import API, asking, code_of, consent, get, redeem
from tests.fakes.webhook_receiver import Receiver
from tests.support.people import Person

BACK = "http://localhost:33418/callback"
METADATA = {
    "client_name": "Some Agent",
    "redirect_uris": [BACK, "https://agent.test/back", "agent://callback/x"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "client_secret_post",
    "application_type": "native",
}


def register(**changes: Any) -> Any:
    body = {k: v for k, v in (METADATA | changes).items() if v is not None}
    return Client().post(f"{API}register", body, "application/json")


def test_an_mcp_client_registers_itself_and_gets_in_with_pkce(alice: Person) -> None:
    told = Client().get("/.well-known/oauth-authorization-server").json()
    assert told["registration_endpoint"] == f"{told['issuer']}{API}register"

    answer = register()

    app = answer.json()
    assert answer.status_code == 201
    assert app["token_endpoint_auth_method"] == "none" and "client_secret" not in app
    assert set(app["scope"].split()) >= {"openid", "search"}
    assert "account" not in app["scope"]
    asked = {"client_id": app["client_id"], "redirect_uri": BACK}
    page, sent = consent(alice, resource="http://testserver/mcp", **asked)
    text = page.content.decode()
    assert "nobody here has checked it" in text and "localhost:33418" in text
    assert (
        "form-action 'self' http://localhost:33418" in page["Content-Security-Policy"]
    )
    got = parse_qs(urlsplit(sent["Location"]).query)
    assert got["iss"] == [told["issuer"]]
    made = redeem(code_of(sent), **asked).json()
    assert get("/api/v1/limits", made["access_token"]).status_code == 200


def test_only_what_is_on_the_persons_computer_is_told_to_be(alice: Person) -> None:
    told = "a program on your own computer"
    page, _ = consent(
        alice, client_id=register().json()["client_id"], redirect_uri=BACK
    )
    assert told in page.content.decode()
    for uri in ("https://localhost.evil.test/", "https://evil.test/127.0.0.1"):
        app = register(redirect_uris=[uri]).json()["client_id"]
        page, _ = consent(alice, client_id=app, redirect_uri=uri)
        assert told not in page.content.decode()


def test_localhost_may_have_another_port_than_was_registered(alice: Person) -> None:
    app = register(redirect_uris=["http://localhost/callback"]).json()
    asked = {"client_id": app["client_id"], "redirect_uri": BACK}

    _, sent = consent(alice, **asked)

    assert sent["Location"].startswith(f"{BACK}?")
    assert redeem(code_of(sent), **asked).status_code == 200
    assert App.objects.get(pk=app["client_id"]).get_redirect_uris() == [
        "http://localhost/callback"
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://a.test/"}, "invalid_redirect_uri"),
        ({"redirect_uris": [7]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.a.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://evil.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:/x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.test/" + "x" * 500]}, "invalid_redirect_uri"),
        ({"redirect_uris": [BACK] * 11}, "invalid_redirect_uri"),
        ({"client_name": ["x"]}, "invalid_client_metadata"),
        ({"client_name": "a\u202eb"}, "invalid_client_metadata"),
        ({"client_name": "a\0b"}, "invalid_client_metadata"),
        ({"logo_uri": "x" * 9000}, "invalid_client_metadata"),
    ],
    ids=str,
)
def test_u5_a_bad_registration_is_refused_as_rfc_7591_says(
    db: None, changes: dict[str, Any], error: str
) -> None:
    n_before = App.objects.count()

    answer = register(**changes)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert App.objects.count() == n_before


@pytest.mark.parametrize("body", ["", "[]", "{", "null", "[" * 5000, "\0"])
def test_u5_what_is_no_json_object_is_refused(db: None, body: str) -> None:
    answer = Client().post(f"{API}register", body, "application/json")
    assert answer.json()["error"] == "invalid_client_metadata"


def test_registrations_of_one_address_are_counted(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "accounts.identity.machine_views._REGISTRATIONS_PER_ADDRESS", "1/h"
    )
    settings.RATE_LIMIT_ENABLED = True
    cache.clear()
    assert register().status_code == 201

    answer = register()

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_an_operator_may_close_it(db: None, settings: Any) -> None:
    settings.NEW_APPS = "none"
    told = Client().get("/.well-known/oauth-authorization-server").json()
    assert "registration_endpoint" not in told
    assert not told["client_id_metadata_document_supported"]
    assert register().status_code == 403


def test_what_nobody_allowed_is_forgotten_after_a_day(alice: Person) -> None:
    used, unused, fresh = (register().json()["client_id"] for _ in range(3))
    consent(alice, client_id=used, redirect_uri=BACK)
    old = now() - timedelta(days=2)
    App.objects.exclude(pk=fresh).update(created_at=old)
    kept = set(App.objects.values_list("pk", flat=True)) - {unused}

    newcomers.forget_unused()

    assert set(App.objects.values_list("pk", flat=True)) == kept
    assert TokenFamily.objects.filter(client_id=used).exists()


@pytest.fixture
def host(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    """Where an app's document is served."""
    fake = Receiver(tmp_path).start()
    trust = Trust(frozenset({fake.host}), fake.ca_file)
    monkeypatch.setattr(newcomers, "open_url", partial(open_url, trust=trust))
    settings.NEW_APPS = "any"
    yield fake
    fake.stop()


Tell = Callable[..., str]


@pytest.fixture
def tell(host: Receiver) -> Tell:
    """Have the host tell a document once; return the app's id."""
    client_id = f"https://{host.host}/app.json"

    def once(**changes: Any) -> str:
        secretless = {"client_id": client_id, "token_endpoint_auth_method": "none"}
        host.will_tell(json.dumps(METADATA | secretless | changes).encode())
        return client_id

    return once


def test_an_app_is_known_by_the_document_behind_its_id(
    alice: Person, host: Receiver, tell: Tell
) -> None:
    assert (
        Client()
        .get("/.well-known/openid-configuration")
        .json()["client_id_metadata_document_supported"]
    )
    asked = {"client_id": tell(), "redirect_uri": BACK}

    page, sent = consent(alice, **asked)

    assert f'describes itself at <strong class="breakable">{asked["client_id"]}' in (
        page.content.decode()
    )
    assert redeem(code_of(sent), **asked).status_code == 200
    consent(alice, **asked)  # it is kept for an hour
    assert len(host.heard) == 1

    App.objects.update(data={"way": "document", "read_at": 0})
    tell(redirect_uris=["https://elsewhere.test/"])
    answer = alice.web.get("/identity/o/authorize", asked)
    assert "not the one it registered" in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"client_id": "https://other.test/app.json"}, "another client_id"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "keeps no secret"),
        ({"redirect_uris": ["http://evil.test/"]}, "neither https"),
        ({"logo_uri": "x" * 9000}, "could not be read"),
    ],
    ids=str,
)
def test_a_bad_document_is_told_to_the_person_alone(
    alice: Person, tell: Tell, changes: dict[str, Any], told: str
) -> None:
    asked = {"client_id": tell(**changes), "redirect_uri": BACK}

    answer = alice.web.get("/identity/o/authorize", asked)

    assert answer.status_code == 400 and "Location" not in answer
    assert told in answer.content.decode()
    assert not App.objects.filter(pk=asked["client_id"]).exists()


@pytest.mark.parametrize(
    "client_id",
    [
        "https://127.0.0.1/app.json",
        "https://169.254.169.254/latest",
        "https://localhost/app.json",
        "https://a.test/",
        "https://a.test/x/../y",
        "https://a.test/x?y",
        "https://me@a.test/x",
        f"https://a.test/{'x' * 100}",
    ],
)
def test_w1_a_document_is_asked_of_public_addresses_alone(
    alice: Person, settings: Any, client_id: str
) -> None:
    settings.NEW_APPS = "document"
    asked = {"client_id": client_id, "redirect_uri": BACK}

    answer = alice.web.get("/identity/o/authorize", asked)

    assert answer.status_code == 400 and "Location" not in answer
    assert not App.objects.filter(pk=client_id).exists()


def test_no_document_is_asked_for_before_somebody_signed_in(
    db: None, host: Receiver, tell: Tell
) -> None:
    asked = {"client_id": tell(), "redirect_uri": BACK}

    answer = Client().get("/identity/o/authorize", asked)

    assert answer.status_code == 302
    assert host.heard == []


def test_an_app_that_went_meanwhile_is_told_as_such(alice: Person) -> None:
    app = register().json()["client_id"]
    address = urlencode(asking(client_id=app, redirect_uri=BACK))
    page = alice.web.get(f"/identity/o/authorize?{address}").content.decode()
    signed = re.search(r'name="request" value="([^"]+)"', page)
    assert signed
    App.objects.filter(pk=app).delete()
    fields = {"request": signed[1], "scopes": ["search"], "action": "grant"}

    answer = alice.web.post("/identity/o/authorize", fields)

    assert answer.status_code == 400
    assert "not registered here" in answer.content.decode()
    nul = alice.web.get("/identity/o/authorize", {"client_id": "https://a.test/\0"})
    assert nul.status_code == 400
