"""What the forms change, and how they refuse."""

import io
import zipfile

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey
from billing.models import UsageRecord
from tests.factories import PASSWORD
from workspaces.models import IndexJob, Workspace


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    buffer.seek(0)
    buffer.name = "code.zip"
    return buffer


def test_a_new_keys_secret_is_shown_once_and_kept_nowhere(alice):
    """U3."""
    body = {"name": "laptop", "days": "30", "scopes": ["search"]}
    made = alice.web.post(reverse("keys:create"), body)
    key = ApiKey.objects.for_user(alice.user).get()
    secret = made.context["secret"]

    assert secret in made.text and "no-store" in made["Cache-Control"]
    assert secret not in alice.web.get(reverse("keys:list")).text
    assert secret not in str(dict(alice.web.session.items()))
    assert key.scopes == ["search"]


def test_a_key_is_revoked_by_a_post_only(alice):
    address = reverse("keys:revoke", args=[alice.api_key.pk])

    alice.web.get(address)
    assert ApiKey.objects.get(pk=alice.api_key.pk).is_usable()
    alice.web.post(address)
    assert not ApiKey.objects.get(pk=alice.api_key.pk).is_usable()


def test_rotating_shows_the_successor(alice):
    shown = alice.web.post(reverse("keys:rotate", args=[alice.api_key.pk]))

    assert shown.context["secret"].startswith("aia_")


def test_a_change_without_a_csrf_token_is_refused(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(
        alice.user, "allauth.account.auth_backends.AuthenticationBackend"
    )

    refused = browser.post(reverse("workspaces:create"), {"name": "x"})

    assert refused.status_code == 403
    assert not Workspace.objects.for_user(alice.user).exists()


def test_an_archive_becomes_a_job(alice):
    address = reverse("workspaces:upload", args=[alice.workspace.pk])

    answer = alice.web.post(address, {"file": zipped({"a.py": "a = 1\n"})})

    assert answer.status_code == 302
    assert IndexJob.objects.for_workspace(alice.workspace).get().files_total == 1


def test_a_broken_archive_says_what_to_send(alice):
    broken = io.BytesIO(b"PK\x03\x04 not really")
    broken.name = "code.zip"
    address = reverse("workspaces:upload", args=[alice.workspace.pk])

    answer = alice.web.post(address, {"file": broken})

    assert answer.status_code == 400
    assert "archive" in answer.text and "data-upload-errors" in answer.text


def test_too_many_workspaces_are_refused_on_the_form(alice):
    made = 0
    while made < 50:
        answer = alice.web.post(reverse("workspaces:create"), {"name": f"w{made}"})
        if answer.status_code == 200:
            break
        made += 1

    assert "Delete a workspace." in answer.text
    assert Workspace.objects.for_user(alice.user).count() == made


def test_a_workspace_goes_only_when_its_name_is_typed(alice):
    address = reverse("workspaces:delete", args=[alice.workspace.pk])

    alice.web.post(address, {"name": "not it"})
    assert Workspace.objects.for_user(alice.user).exists()
    alice.web.post(address, {"name": alice.workspace.name})
    assert not Workspace.objects.for_user(alice.user).exists()


def test_a_search_on_the_site_counts_like_one_of_the_api(alice, vectors):
    address = reverse("workspaces:search", args=[alice.workspace.pk])

    answer = alice.web.get(address, {"q": "anything"})

    assert answer.status_code == 200
    assert UsageRecord.objects.for_user(alice.user.pk).get().feature == "search"


@pytest.mark.parametrize("query", ["x" * 2001, "<script>x</script>", "javascript:"])
def test_a_refused_query_costs_nothing(alice, query):
    address = reverse("workspaces:search", args=[alice.workspace.pk])

    answer = alice.web.get(address, {"q": query})

    assert 'class="alert alert-bad"' in answer.text
    assert not UsageRecord.objects.for_user(alice.user.pk).exists()


def test_the_theme_follows_the_profile(alice):
    alice.web.post(reverse("settings:profile"), {"full_name": "A", "theme": "dark"})

    assert alice.web.get("/").text.count('data-theme="dark"') == 1


def test_nobody_becomes_staff_through_the_profile(alice):
    """T4."""
    alice.web.post(
        reverse("settings:profile"), {"full_name": "A", "is_staff": "1", "epoch": "9"}
    )
    alice.user.refresh_from_db()

    assert (alice.user.full_name, alice.user.is_staff) == ("A", False)


def test_the_mailbox_is_of_development_only(db):
    assert Client().get("/mailbox/").status_code == 404


def test_a_full_quota_is_a_page_with_the_numbers(alice, settings):
    from billing.models import Tier  # noqa: PLC0415

    Tier.objects.filter(pk="free").update(requests_per_hour=0)
    address = reverse("workspaces:search", args=[alice.workspace.pk])

    answer = alice.web.get(address, {"q": "x"})

    assert answer.status_code == 429
    assert "of the 0 requests" in answer.text


def test_a_question_is_answered_without_javascript(alice, vectors):
    answer = alice.web.post(reverse("chat:ask"), {"message": "What is this?"})

    assert answer.status_code == 302
    shown = alice.web.get(answer["Location"])
    assert "What is this?" in shown.text and "turn-answer" in shown.text


def test_a_question_about_a_strangers_workspace_is_refused(alice, charlie):
    """T2."""
    body = {"message": "What is this?", "workspace_ids": [alice.workspace.pk]}

    answer = charlie.web.post(reverse("chat:ask"), body, follow=True)

    assert "There is nothing here under this id." in answer.text
    assert not UsageRecord.objects.for_user(charlie.user.pk).exists()


def test_an_account_goes_only_after_its_address_is_typed(alice):
    address = reverse("settings:delete")
    entered = alice.web.get(address)
    assert entered.status_code == 302 and "reauthenticate" in entered["Location"]
    alice.web.post(entered["Location"], {"password": PASSWORD})

    alice.web.post(address, {"email": "not@example.test"})
    alice.user.refresh_from_db()
    assert alice.user.is_active and alice.user.deleted_at is None

    alice.web.post(address, {"email": alice.user.email})
    assert alice.web.get(reverse("dashboard")).status_code == 302


def test_a_theme_chosen_on_another_device_arrives_with_the_overview(alice):
    alice.user.preferences = {"theme": "dark"}
    alice.user.save()

    assert alice.web.get(reverse("dashboard")).cookies["theme"].value == "dark"
    # Chosen here: this device keeps its own.
    alice.web.cookies["theme"] = "light"
    assert "theme" not in alice.web.get(reverse("dashboard")).cookies
