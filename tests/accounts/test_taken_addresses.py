"""Two people, or one person twice, want the same address at one time."""

import re
from typing import Any

from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.signing_in.forms import SignupForm
from tests.factories import PASSWORD, UserFactory
from tests.support.people import Person

WANTED = "wanted@example.test"


def test_u7_a_sign_up_sent_twice_at_one_time_makes_one_account(
    db: None, monkeypatch: Any
) -> None:
    save = SignupForm.try_save

    def save_second(form: SignupForm, request: Any) -> Any:
        # The form was valid; before it is saved, the first one was.
        UserFactory.create(email=WANTED, confirmed=False)
        return save(form, request)

    monkeypatch.setattr(SignupForm, "try_save", save_second)
    phrase = {"full_name": "A", "password1": "a long passphrase 1"}

    answer = Client().post("/accounts/signup/", {"email": WANTED, **phrase})

    assert (answer.status_code, answer["Location"]) == (302, "/accounts/confirm-email/")
    assert User.objects.filter(email=WANTED).count() == 1
    assert [message.to for message in mail.outbox] == [[WANTED]]


def test_an_address_that_somebody_took_meanwhile_is_not_confirmed(
    alice: Person,
) -> None:
    alice.web.post("/accounts/reauthenticate/", {"password": PASSWORD})
    alice.web.post("/accounts/email/", {"email": WANTED, "action_add": ""})
    (link,) = re.findall(r"/accounts/confirm-email/\S+", str(mail.outbox[-1].body))
    UserFactory.create(email=WANTED, confirmed=False)

    answer = alice.web.post(link, follow=True)

    assert answer.status_code == 200
    assert "already confirmed by a different account" in answer.text
    alice.user.refresh_from_db()
    assert alice.user.email == "alice@example.test"
    held = EmailAddress.objects.filter(user=alice.user, verified=True)
    assert [address.email for address in held] == ["alice@example.test"]
