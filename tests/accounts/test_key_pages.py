"""Keys on the site: the same rules and the same notes as through the API."""

from django.urls import reverse

from accounts import keys
from accounts.models import ApiKey, AuditEvent


def test_a_key_is_renamed_and_that_is_noted(alice):
    key = alice.api_key
    form = alice.web.get(reverse("keys:edit", args=[key.pk]))
    assert form.context["form"].initial == {"name": key.name}

    alice.web.post(reverse("keys:edit", args=[key.pk]), {"name": "new laptop"})

    key.refresh_from_db()
    assert key.name == "new laptop"
    event = AuditEvent.objects.get(action="key.changed")
    assert (event.actor_id, event.subject_id) == (alice.user.pk, key.pk)
    assert event.details == {"fields": ["name"]}


def test_one_key_too_many_is_said_on_the_form(alice, monkeypatch):
    assert alice.api_key
    monkeypatch.setattr(keys, "MAX_KEYS", 1)

    body = {"name": "second", "days": "30", "scopes": ["search"]}
    page = alice.web.post(reverse("keys:create"), body)

    assert page.status_code == 200
    assert page.context["form"].errors
    assert ApiKey.objects.for_user(alice.user).count() == 1


def test_a_key_that_has_a_successor_is_not_rotated_again(alice):
    address = reverse("keys:rotate", args=[alice.api_key.pk])
    alice.web.post(address)

    page = alice.web.post(address, follow=True)

    assert page.redirect_chain[-1][0] == reverse("keys:list")
    assert "has a successor already" in page.text
    assert ApiKey.objects.for_user(alice.user).count() == 2
