"""Deleting a person: gone at once, erased soon, again if something was lost."""

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session

from accounts.models import ApiKey, AuditEvent, TokenFamily, User
from accounts.own_data import erasure
from accounts.signing_in.tokens import sign_in
from aiassist.lib.registry import erasers


@pytest.fixture
def eraser():
    """An app that remembers whom it erased, and can be made to fail."""

    class Eraser:
        seen: list[str] = []
        fails = False

        def __call__(self, user):
            if self.fails:
                raise OSError("the vector database is away")
            self.seen.append(user.pk)
            return 3

    before = dict(erasers.entries)
    found = Eraser()
    found.seen = []
    erasers.register("test", found)
    yield found
    erasers.entries = before


def test_the_account_is_deleted_through_the_api(alice, account_api, queue, eraser):
    user_id = alice.user.pk
    sign_in(alice.user)
    assert alice.web.get("/api/v1/me").status_code == 200

    assert account_api.delete("/api/v1/me").status_code == 204

    assert account_api.get("/api/v1/me").status_code == 401
    assert not ApiKey.objects.filter(revoked_at=None).exists()
    assert not TokenFamily.objects.filter(revoked_at=None).exists()
    queue.run()
    assert eraser.seen == [user_id]
    assert not User.objects.filter(pk=user_id).exists()
    assert not Session.objects.exists()
    receipt = AuditEvent.objects.get(action="user.erased").details
    assert receipt["test"] == 3
    assert receipt["rows"] >= 3


def test_it_may_run_twice(alice, eraser):
    erasure.delete_user(alice.user, alice.user)
    erasure.delete_user(alice.user, alice.user)
    erasure.erase(alice.user.pk)
    erasure.erase(alice.user.pk)
    assert eraser.seen == [alice.user.pk]
    assert AuditEvent.objects.filter(action="user.deleted").count() == 1
    assert AuditEvent.objects.filter(action="user.erased").count() == 1


def test_a_person_who_was_not_deleted_is_not_erased(alice, eraser):
    erasure.erase(alice.user.pk)
    assert eraser.seen == []
    assert User.objects.filter(pk=alice.user.pk).exists()


def test_j8_a_failed_erasure_is_repeated_by_the_sweeper(alice, queue, eraser):
    eraser.fails = True
    erasure.delete_user(alice.user, alice.user)
    queue.clear()  # the broker lost the message
    with pytest.raises(OSError):
        erasure.erase(alice.user.pk)
    assert User.objects.filter(pk=alice.user.pk).exists()

    eraser.fails = False
    assert erasure.sweep() == 1
    queue.run()
    assert not User.objects.filter(pk=alice.user.pk).exists()
    assert erasure.sweep() == 0


def test_the_address_is_free_again_afterwards(alice):
    erasure.delete_user(alice.user, None)
    erasure.erase(alice.user.pk)
    User.objects.create_user("alice@example.test", "x")


def test_two_runs_at_once_erase_once(alice, eraser):
    runs = []

    def the_other_run_is_quicker(user):
        runs.append(user.pk)
        if len(runs) == 1:
            erasure.erase(user.pk)
        return 0

    erasers.register("slow", the_other_run_is_quicker)
    erasure.delete_user(alice.user, alice.user)

    erasure.erase(alice.user.pk)

    assert len(runs) == 2
    assert AuditEvent.objects.filter(action="user.erased").count() == 1


def test_what_goes_with_a_person_is_not_noted_as_an_act(alice):
    """Their second factor and providers go with the row, which nobody asked for."""
    TOTP.activate(alice.user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    SocialAccount.objects.create(user=alice.user, provider="github", uid="7")
    erasure.delete_user(alice.user, alice.user)

    erasure.erase(alice.user.pk)

    acts = set(AuditEvent.objects.values_list("action", flat=True))
    assert "user.erased" in acts
    assert not acts & {"second_factor.removed", "provider.disconnected"}
