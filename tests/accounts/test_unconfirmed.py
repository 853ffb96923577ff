"""A sign-up that nobody confirms is forgotten after a week."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from accounts.keys import create_key
from accounts.models import AuditEvent, User
from accounts.own_data.unconfirmed import KEPT_FOR, forget_unconfirmed
from accounts.tasks import tidy_task
from aiassist.lib.clock import now
from tests.factories import UserFactory

LONG_AGO = KEPT_FOR + timedelta(minutes=1)


def signed_up(*, ago: timedelta = LONG_AGO, **fields: object) -> User:
    user: User = UserFactory.create(
        confirmed=False, date_joined=now() - ago, last_login=None, **fields
    )
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    return user


def test_it_is_deleted_and_its_address_is_free_again(db, queue):
    user = signed_up(email="dora@example.test")

    tidy_task()
    queue.run()

    assert not User.objects.filter(pk=user.pk).exists()
    assert AuditEvent.objects.filter(action="user.erased", subject_id=user.pk).exists()
    body = {"email": user.email, "full_name": "Dora", "password1": "a new phrase 77"}
    Client().post("/accounts/signup/", body)
    assert User.objects.filter(email=user.email).exists()


@pytest.mark.parametrize(
    "kept",
    [
        {"ago": KEPT_FOR - timedelta(minutes=1)},
        {"is_staff": True},
    ],
    ids=["younger than a week", "staff"],
)
def test_others_are_kept(db, kept):
    signed_up(**kept)

    assert forget_unconfirmed() == 0


def test_who_confirmed_or_ever_got_in_is_kept(db, queue):
    confirmed, changing, signed_in, with_key = (signed_up() for _ in range(4))
    EmailAddress.objects.filter(user=confirmed).update(verified=True)
    EmailAddress.objects.create(user=changing, email="old@example.test", verified=True)
    User.objects.filter(pk=signed_in.pk).update(last_login=now())
    create_key(with_key, "made by staff")

    assert forget_unconfirmed() == 0


def test_it_may_run_twice(db, queue):
    signed_up()

    assert (forget_unconfirmed(), forget_unconfirmed()) == (1, 0)
