"""`manage.py createsuperuser`: Django's own, for people who confirm an address."""

from typing import Any

from django.contrib.auth.management.commands.createsuperuser import (
    Command as DjangoCommand,
)
from django.db import transaction

from accounts import audit
from accounts.models import User
from accounts.people import confirm_address


class Command(DjangoCommand):
    """The address counts as confirmed: who types this could read the mail, too."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        # Not in a transaction: SQLite would keep everybody waiting at the prompt.
        answer = super().handle(*args, **options)
        with transaction.atomic():
            for user in User.objects.filter(is_superuser=True, emailaddress=None):
                confirm_address(user)
                audit.record("user.created", actor=None, subject=user)
        return answer
