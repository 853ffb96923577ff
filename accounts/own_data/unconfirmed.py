"""Forget sign-ups whose address nobody confirmed.

Until then the account cannot be used, and the address is taken: the person it really
belongs to could not sign up with a password of their own.
"""

from datetime import timedelta

from accounts.models import User
from accounts.own_data.erasure import delete_user
from aiassist.lib.clock import now

KEPT_FOR = timedelta(days=7)  # a confirmation link lives three days
AT_MOST = 500  # in one run; the next one goes on


def forget_unconfirmed() -> int:
    """Delete who signed up a week ago and never got in; returns how many."""
    waiting = (
        User.objects.living()
        .filter(
            date_joined__lt=now() - KEPT_FOR,
            last_login__isnull=True,
            is_staff=False,
            emailaddress__isnull=False,
            api_keys__isnull=True,
            token_families__isnull=True,
        )
        .exclude(emailaddress__verified=True)
        .distinct()
    )
    found = list(waiting[:AT_MOST])
    for user in found:
        delete_user(user, None)
    return len(found)
