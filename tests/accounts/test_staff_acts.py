"""What staff do to people and sign-ins in the admin, and what is noted of it."""

import pytest
from django.contrib.admin.utils import quote
from django.urls import reverse

from accounts import keys, staff
from accounts.models import ApiKey, AuditEvent, TokenFamily
from accounts.signing_in import tokens
from tests.factories import PASSWORD, UserFactory

PHRASE = "a brand new phrase 7"
ACTS = ("change", "insights", "impersonate", "sign-out", "password")


def password_page(person):
    return f"/admin/accounts/user/{person.user.pk}/password/"


def noted(action):
    return list(
        AuditEvent.objects.filter(action=action).values_list("actor_id", "subject_id")
    )


def test_m4_staff_are_asked_before_they_look_as_somebody(alice, stella):
    page = stella.web.get(f"/admin/accounts/user/{alice.user.pk}/impersonate/")

    assert "Look at the site as alice@example.test?" in page.text
    assert noted("impersonation.began") == []
    assert "You look at the site" not in stella.web.get(reverse("dashboard")).text


def test_m4_who_looks_as_nobody_ends_nothing(alice):
    answer = alice.web.post(reverse("impersonation_end"))

    assert answer.status_code == 302
    assert not AuditEvent.objects.filter(action__startswith="impersonation").exists()


def test_m4_even_an_unknown_address_stays_shut_meanwhile(alice, stella):
    stella.web.post(f"/admin/accounts/user/{alice.user.pk}/impersonate/")

    assert stella.web.get("/no-such-page").status_code == 403


@pytest.mark.parametrize("written", [str, quote])
def test_u12_a_password_that_staff_set_ends_what_was_open(alice, stella, post, written):
    """Django writes an id's underscores as codes in its links."""
    pair = tokens.sign_in(alice.user)
    assert alice.web.get(reverse("dashboard")).status_code == 200

    body = {"usable_password": "true", "password1": PHRASE, "password2": PHRASE}
    page = f"/admin/accounts/user/{written(alice.user.pk)}/password/"
    assert stella.web.post(page, body).status_code == 302

    assert alice.web.get(reverse("dashboard")).status_code == 302
    assert post("auth/token/refresh", {"refresh": pair.refresh}).status_code == 401
    new = {"email": alice.user.email, "password": PHRASE}
    assert post("auth/token", new).status_code == 200
    assert noted("password.changed") == [(stella.user.pk, alice.user.pk)]


@pytest.mark.parametrize("written", [str, quote])
def test_an_id_that_looks_like_djangos_codes_leads_to_its_page(stella, written):
    person = UserFactory.create(pk="user_5BAnd3F", email="coded@example.test")
    key, _ = keys.create_key(person, "laptop")
    ApiKey.objects.filter(pk=key.pk).update(id="key_5D")

    for page in (
        *(f"user/{written(person.pk)}/{act}" for act in ACTS),
        f"apikey/{written('key_5D')}/change",
    ):
        answer = stella.web.get(f"/admin/accounts/{page}/")
        assert answer.status_code == 200 and "coded@example.test" in answer.text, page


def test_a_password_that_staff_mistype_changes_and_notes_nothing(alice, stella, post):
    body = {"usable_password": "true", "password1": PHRASE, "password2": "another"}
    assert stella.web.post(password_page(alice), body).status_code == 200

    old = {"email": alice.user.email, "password": PASSWORD}
    assert post("auth/token", old).status_code == 200
    assert noted("password.changed") == []


def test_m3_a_sign_in_by_token_is_revoked_once(alice, stella, client, post):
    pair = tokens.sign_in(alice.user)
    family = TokenFamily.objects.get()
    body = {"action": "revoke", "_selected_action": [family.pk]}
    for _ in range(2):
        stella.web.post("/admin/accounts/tokenfamily/", body)

    answer = client.get(
        "/api/v1/me", headers={"Authorization": f"Bearer {pair.access}"}
    )
    assert answer.status_code == 401
    assert post("auth/token/refresh", {"refresh": pair.refresh}).status_code == 401
    assert noted("token.revoked") == [(stella.user.pk, family.pk)]


def test_a_long_list_opens_without_counting_every_row(stella, monkeypatch):
    for number in range(5):
        AuditEvent.objects.create(action="login", subject_id=f"user_{number}")
    monkeypatch.setattr(staff, "EXACT_UP_TO", 3)

    page = stella.web.get("/admin/accounts/auditevent/")

    assert page.status_code == 200
    assert page.context["cl"].paginator.count >= 4


@pytest.mark.parametrize("rows", [[], ["a", "b"]])
def test_a_list_that_is_no_query_is_counted_as_it_is(rows):
    assert staff.QuickPaginator(rows, 10).count == len(rows)
