"""Editors and CLIs sign people in by a device code, or by a code with PKCE."""

import base64
import hashlib
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.idp.oidc.internal.oauthlib import device_codes
from allauth.idp.oidc.models import Client as App
from allauth.idp.oidc.models import Token
from django.core.cache import cache
from django.test import Client

from accounts.identity.clients import DEVICE_CODE, is_registered, require_safe_redirect
from accounts.models import AuditEvent, SigningKey, TokenFamily, User
from accounts.own_data import exports
from accounts.own_data.erasure import delete_user
from accounts.scopes import DEFAULT_KEY_SCOPES

API = "/identity/o/api/"
FORM = "application/x-www-form-urlencoded"
VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .decode()
    .rstrip("=")
)
BACK = "http://127.0.0.1:53682/callback"


def send(path, **fields):
    return Client().post(API + path, urlencode(fields), content_type=FORM)


def bearer(access):
    return {"headers": {"authorization": f"Bearer {access}"}}


def get(path, access):
    return Client().get(path, **bearer(access))


def begin(**fields):
    """A device asks for its codes."""
    answer = send("device/code", client_id="aiassist-cli", **fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def poll(device_code):
    """The device asks again, as if five seconds had gone by."""
    key = device_codes.cache_device_code_key(device_code)
    if waiting := cache.get(key):
        cache.set(key, {**waiting, "last_poll_at": 0}, timeout=300)
    return send(
        "token",
        grant_type=DEVICE_CODE,
        client_id="aiassist-cli",
        device_code=device_code,
    )


def press(person, user_code, action="confirm"):
    """The person presses a button on the page that shows the code."""
    address = f"/identity/o/device?code={user_code}"
    return person.web.post(address, {"action": action})


def connect(person, **fields):
    """The whole device flow; returns the token answer."""
    codes = begin(**fields)
    assert press(person, codes["user_code"]).status_code == 200
    answer = poll(codes["device_code"])
    assert answer.status_code == 200, answer.content
    return answer.json()


def refresh(token, client_id="aiassist-cli"):
    return send(
        "token", grant_type="refresh_token", client_id=client_id, refresh_token=token
    )


def asking(**changes):
    fields = {
        "client_id": "aiassist-editor",
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "openid search",
        "state": "s1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def consent(person, **changes):
    """Open the page and allow all that is asked; returns the redirect's answer."""
    scopes = changes.pop("granted", None)
    address = f"/identity/o/authorize?{urlencode(asking(**changes))}"
    return consent_at(person, address, scopes=scopes)


def consent_at(person, address, host="testserver", scopes=None):
    """Open an address that an app sent its person to, and press Allow there."""
    page = person.web.get(address, headers={"host": host})
    signed = re.search(r'name="request" value="([^"]+)"', page.content.decode())
    assert signed, page.content.decode()
    fields = {
        "request": signed[1],
        "scopes": scopes or parse_qs(urlsplit(address).query)["scope"][0].split(),
        "action": "grant",
    }
    sent = person.web.post("/identity/o/authorize", fields, headers={"host": host})
    return page, sent


def code_of(answer):
    return parse_qs(urlsplit(answer["Location"]).query)["code"][0]


def redeem(code, **changes):
    fields = {
        "grant_type": "authorization_code",
        "client_id": "aiassist-editor",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return send("token", **{n: v for n, v in fields.items() if v is not None})


def age_spent_tokens():
    for token in Token.objects.filter(data__has_key="spent"):
        token.created_at -= timedelta(seconds=11)
        token.save()


def test_a_device_code_becomes_tokens_that_refresh_and_end(alice):
    codes = begin()
    assert codes["verification_uri"] == "http://testserver/identity/o/device"
    assert poll(codes["device_code"]).json()["error"] == "authorization_pending"
    page = alice.web.get(f"/identity/o/device?code={codes['user_code']}")
    assert codes["user_code"] in page.content.decode()
    assert "Search: find code" in page.content.decode()

    assert "is connected" in press(alice, codes["user_code"]).content.decode()
    first = poll(codes["device_code"]).json()
    assert set(first["scope"].split()) == DEFAULT_KEY_SCOPES
    assert get("/api/v1/limits", first["access_token"]).status_code == 200
    assert poll(codes["device_code"]).json()["error"] == "invalid_grant"

    second = refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert get("/api/v1/limits", second["access_token"]).status_code == 200

    gone = send("revoke", client_id="aiassist-cli", token=second["refresh_token"])
    assert gone.status_code == 200
    for pair in (first, second):
        assert get("/api/v1/limits", pair["access_token"]).status_code == 401
    assert refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    acts = AuditEvent.objects.filter(actor_id=alice.user.pk)
    assert set(acts.values_list("action", flat=True)) >= {
        "app.connected",
        "token.revoked",
    }


def test_an_editor_gets_tokens_by_a_code_with_pkce(alice):
    page, sent = consent(alice, state="xyz")
    policy = page["Content-Security-Policy"]
    assert "form-action 'self' http://127.0.0.1:53682" in policy
    assert sent["Location"].startswith(f"{BACK}?")
    assert parse_qs(urlsplit(sent["Location"]).query)["state"] == ["xyz"]

    made = redeem(code_of(sent)).json()

    assert set(made["scope"].split()) == {"openid", "search"}
    assert made["id_token"].count(".") == 2
    told = get(f"{API}userinfo", made["access_token"]).json()
    assert told == {"sub": alice.user.pk}
    assert redeem(code_of(sent)).json()["error"] == "invalid_grant"


def test_a_code_without_its_verifier_gives_nothing(alice):
    for changes in ({"code_verifier": None}, {"code_verifier": "w" * 64}):
        _, sent = consent(alice)
        assert redeem(code_of(sent), **changes).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"prompt": "none"},
        {"client_id": "nobody"},
        {"redirect_uri": "http://127.0.0.1:53682/callback?next=evil"},
        {"redirect_uri": "http://127.0.0.1:53682/callback/"},
        {"redirect_uri": "http://127.0.0.1@evil.test/callback"},
        {"redirect_uri": "http://me@127.0.0.1:53682/callback"},
        {"redirect_uri": "http://localhost:53682/callback"},
        {"redirect_uri": "https://127.0.0.1:53682/callback"},
        {"redirect_uri": "http://evil.test/callback"},
        {"redirect_uri": None},
    ],
    ids=str,
)
def test_a_request_that_is_not_exact_is_told_to_the_person_alone(alice, changes):
    answer = alice.web.get("/identity/o/authorize", asking(**changes))

    assert answer.status_code == 400
    assert "Location" not in answer


def test_nobody_is_asked_before_they_signed_in(db):
    answer = Client().get("/identity/o/authorize", asking(prompt="none"))
    assert answer["Location"].startswith("/accounts/login/?next=/identity/o/authorize")


def test_a_scope_that_the_app_may_not_ask_for_is_refused(alice):
    answer = alice.web.get("/identity/o/authorize", asking(scope="account"))
    assert "error=invalid_scope" in answer["Location"]
    asked = send("device/code", client_id="aiassist-cli", scope="account")
    assert asked.json()["error"] == "invalid_scope"


def test_a_token_opens_what_the_person_ticked_and_no_more(alice):
    _, sent = consent(alice, scope="search usage", granted=["search"])
    access = redeem(code_of(sent)).json()["access_token"]

    refused = get("/api/v1/usage", access)

    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    made = Client().post("/api/v1/keys", {"name": "n"}, **bearer(access))
    assert made.status_code == 403


def test_a_device_that_named_no_scope_gets_none_by_naming_it_later(alice):
    App.objects.filter(pk="aiassist-cli").update(
        scopes="search\nusage", default_scopes="search"
    )
    codes = begin()
    press(alice, codes["user_code"])

    made = send(
        "token",
        grant_type=DEVICE_CODE,
        client_id="aiassist-cli",
        device_code=codes["device_code"],
        scope="search usage",
    )

    assert made.json()["scope"] == "search"


def test_u9_a_replayed_refresh_token_ends_its_family(alice):
    first = connect(alice)
    second = refresh(first["refresh_token"]).json()
    # Within the grace it may be the client's own retry: refused, and no more.
    assert refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert get("/api/v1/limits", second["access_token"]).status_code == 200

    age_spent_tokens()
    assert refresh(first["refresh_token"]).json()["error"] == "invalid_grant"

    assert get("/api/v1/limits", second["access_token"]).status_code == 401
    assert refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    assert AuditEvent.objects.filter(action="token.replayed").count() == 1


def disable(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(user):
    delete_user(user, user)


def change_password(user):
    fresh = User.objects.get(pk=user.pk)
    fresh.set_password("another long password")
    fresh.save()


@pytest.mark.parametrize("end", [disable, delete, change_password])
def test_t10_u12_an_apps_tokens_end_with_the_others(alice, end):
    pair = connect(alice)
    approved = begin()
    press(alice, approved["user_code"])

    end(alice.user)

    assert get("/api/v1/limits", pair["access_token"]).status_code == 401
    assert get(f"{API}userinfo", pair["access_token"]).status_code == 401
    assert refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"
    # What was approved before and not fetched yet, too.
    assert poll(approved["device_code"]).status_code == 400


def test_t10_a_tier_change_ends_access_tokens_and_the_next_is_of_the_new_tier(alice):
    pair = connect(alice)
    User.objects.get(pk=alice.user.pk).bump_epoch()

    assert get("/api/v1/limits", pair["access_token"]).status_code == 401
    fresh = refresh(pair["refresh_token"]).json()
    assert get("/api/v1/limits", fresh["access_token"]).status_code == 200


def test_u12_signing_out_everywhere_else_disconnects_apps(alice):
    pair = connect(alice)
    page = alice.web.get("/dashboard/settings/sessions/").content.decode()
    assert "aiassist CLI" in page and "Disconnect" in page

    alice.web.post("/dashboard/settings/sessions/end/")

    assert get("/api/v1/limits", pair["access_token"]).status_code == 401
    assert refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"


def test_one_app_is_disconnected_and_the_other_stays(alice, account_api):
    gone, stays = connect(alice), connect(alice)
    rows = account_api.get("/api/v1/me/sessions").json()["results"]
    apps = [row for row in rows if row["kind"] == "app"]
    assert {row["app"] for row in apps} == {"aiassist CLI"}
    mine = Token.objects.by_value(gone["access_token"]).get().data["family"]

    assert account_api.delete(f"/api/v1/me/sessions/{mine}").status_code == 204

    assert get("/api/v1/limits", gone["access_token"]).status_code == 401
    assert get("/api/v1/limits", stays["access_token"]).status_code == 200


def test_a_device_code_is_decided_once_by_one_person(alice, charlie):
    codes = begin()
    key = device_codes.cache_device_code_key(codes["device_code"])
    waiting = cache.get(key)
    press(alice, codes["user_code"])
    again = press(charlie, codes["user_code"])
    cache.set(key, waiting, timeout=300)  # as one sees it who presses at once
    at_once = press(charlie, codes["user_code"])
    cache.delete(key)

    assert "is connected" not in again.content.decode()
    assert at_once.status_code == 400
    assert not TokenFamily.objects.filter(user=charlie.user).exists()


def test_a_refused_device_learns_so(alice):
    codes = begin()
    assert "was refused" in press(alice, codes["user_code"], "deny").content.decode()
    assert poll(codes["device_code"]).json()["error"] == "access_denied"
    assert not TokenFamily.objects.exists()


def test_a_foreign_page_cannot_press_the_button(alice):
    codes = begin()
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = alice.web.cookies
    address = f"/identity/o/device?code={codes['user_code']}"

    assert browser.post(address, {"action": "confirm"}).status_code == 403
    assert poll(codes["device_code"]).json()["error"] == "authorization_pending"


def test_another_app_gets_nothing_for_a_code_or_a_token(alice):
    codes = begin()
    press(alice, codes["user_code"])
    fields = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"]}
    assert send("token", client_id="aiassist-editor", **fields).status_code == 400
    pair = poll(codes["device_code"]).json()

    assert refresh(pair["refresh_token"], "aiassist-editor").status_code == 400
    send("revoke", client_id="nobody", token=pair["access_token"])

    assert get("/api/v1/limits", pair["access_token"]).status_code == 200


def test_a_code_that_two_bring_at_once_ends_what_the_first_got(alice):
    codes = begin()
    press(alice, codes["user_code"])
    key = device_codes.cache_device_code_key(codes["device_code"])
    waiting = cache.get(key)
    first = poll(codes["device_code"]).json()
    cache.set(key, waiting, timeout=300)

    assert poll(codes["device_code"]).json()["error"] == "invalid_grant"
    assert get("/api/v1/limits", first["access_token"]).status_code == 401


@pytest.mark.parametrize("path", ["token", "revoke", "device/code"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"client_id": "a\0b"},
        {"client_id": "x" * 9000},
        {"client_id": "aiassist-cli", "grant_type": "refresh_token"},
        {
            "client_id": "aiassist-cli",
            "resource": "https://evil.test/",
            "grant_type": "authorization_code",
            "code": "x",
        },
        {"grant_type": "password", "username": "a", "password": "b"},
        {"client_id": "aiassist-cli", "grant_type": "client_credentials"},
    ],
    ids=str,
)
def test_u5_bad_input_is_refused_as_oauth_does(db, path, fields):
    answer = send(path, **fields)
    assert answer.status_code in (200, 400, 401)
    if answer.status_code != 200:
        assert answer.json()["error"]
    assert Client().post(API + path, "{}", "application/json").status_code == 400


def test_u3_tokens_are_stored_as_digests(alice):
    pair = connect(alice)
    text = "".join(str(row) for row in Token.objects.values())
    text += "".join(str(row) for row in TokenFamily.objects.values())
    assert pair["access_token"] not in text
    assert pair["refresh_token"] not in text


def test_the_signing_key_is_made_once_and_kept_sealed(db):
    keys = Client().get("/.well-known/jwks.json").json()["keys"]
    again = Client().get("/.well-known/jwks.json").json()["keys"]
    assert keys == again and len(keys) == 1
    assert "PRIVATE" not in SigningKey.objects.get().sealed


def test_the_metadata_leads_from_mcp_to_the_provider(db):
    client = Client()
    mcp = client.get("/.well-known/oauth-protected-resource/mcp").json()
    (server,) = mcp["authorization_servers"]
    for name in ("openid-configuration", "oauth-authorization-server"):
        told = client.get(f"/.well-known/{name}").json()
        assert told["issuer"] == server
        assert told["code_challenge_methods_supported"] == ["S256"]
        assert told["response_types_supported"] == ["code"]
        assert set(mcp["scopes_supported"]) <= set(told["scopes_supported"])
        assert told["token_endpoint"] == f"{server}{API}token"


def test_too_many_calls_of_one_address_are_refused(db, settings, monkeypatch):
    monkeypatch.setattr("accounts.identity.machine_views._PER_ADDRESS", "1/m")
    settings.RATE_LIMIT_ENABLED = True
    cache.clear()
    send("token")
    answer = send("token")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_d4_an_export_tells_of_apps_and_not_their_tokens(alice):
    pair = connect(alice)
    told = exports.collect(alice.user)
    row = told["tables"]["allauth_idp_oidc.Token"][0]
    assert row["client_id"] == "aiassist-cli"
    digest = Token.objects.by_value(pair["access_token"]).get().hash
    assert digest not in str(told)


def test_staff_register_an_app_and_see_its_secret_once(stella):
    fields = {
        "name": "Our IDE",
        "type": "confidential",
        "redirect_uris": "https://ide.example.test/back",
        "scopes": ["search"],
        "default_scopes": ["search"],
        "grant_types": ["authorization_code", "refresh_token"],
    }
    address = "/admin/allauth_idp_oidc/client/add/"
    answer = stella.web.post(address, fields, follow=True)
    app = App.objects.get(name="Our IDE")
    secret = re.search(r"shown this once: (\w+)", answer.content.decode())
    assert secret and app.check_secret(secret[1])
    assert app.get_scopes() == ["search"]
    assert AuditEvent.objects.filter(action="app.registered").exists()
    page = stella.web.get(f"/admin/allauth_idp_oidc/client/{app.pk}/change/")
    assert app.secret not in page.content.decode()

    bad = fields | {"redirect_uris": "javascript:alert(1)", "name": "bad"}
    assert stella.web.post(address, bad).status_code == 200
    assert not App.objects.filter(name="bad").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "http://evil.test/",
        "https://*.example.test/",
        "https://a@b.test/",
        "https://a.test/#f",
        "javascript:/x",
        "data:/x",
        "callback",
        "http://localhost.evil.test/",
        "http://localhost@evil.test/",
    ],
)
def test_an_unsafe_address_is_not_registered(uri):
    with pytest.raises(Exception, match="neither https"):
        require_safe_redirect(uri)


def test_a_loopback_may_have_any_port_and_nothing_else_may(db):
    known = ["http://127.0.0.1/cb", "http://[::1]/cb", "https://a.test/cb", "ed://x/cb"]
    known.append("http://localhost/cb")
    for uri in known:
        require_safe_redirect(uri)
        assert is_registered(uri, known)
    assert is_registered("http://[::1]:8123/cb", known)
    assert is_registered("http://localhost:8123/cb", known)
    assert not is_registered("http://localhost.evil.test:8123/cb", known)
    assert not is_registered("https://a.test:8123/cb", known)
    assert not is_registered("http://127.0.0.1:1x/cb", known)


def test_u6_an_apps_token_goes_wherever_a_key_goes(alice):
    access = connect(alice)["access_token"]
    models = get("/v1/models", access)
    assert models.status_code == 200
    assert get("/api/v1/workspaces", access).status_code == 200
    by_header = Client().get("/api/v1/limits", headers={"x-api-key": access})
    assert by_header.status_code == 200
    question = {"query": "where is it?"}
    asked = Client().post(
        "/api/v1/assistant/query", question, "application/json", **bearer(access)
    )
    assert asked.status_code == 200, asked.content
    talking = next(m["id"] for m in models.json()["data"] if "extractive" in m["id"])
    call = {"model": talking, "messages": [{"role": "user", "content": "hi"}]}
    said = Client().post(
        "/v1/chat/completions", call, "application/json", **bearer(access)
    )
    assert said.status_code == 200, said.content
