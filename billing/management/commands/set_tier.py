"""`manage.py set_tier alice@example.com pro`: what the admin does, from a shell."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from billing.models import Tier
from billing.tiers.selectors import tiers_by_rank
from billing.tiers.subscriptions import change_tier


class Command(BaseCommand):
    help = "Move a user to a tier, at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the user's e-mail address")
        parser.add_argument("tier", help="the code of the tier, such as 'pro'")

    def handle(self, *args: Any, **options: Any) -> None:
        email, code = options["email"], options["tier"]
        user = User.objects.living().filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"No user has the address {email}.")
        tier = Tier.objects.filter(pk=code).first()
        if tier is None:
            known = ", ".join(tier.code for tier in tiers_by_rank())
            raise CommandError(f"There is no tier '{code}'. There are: {known}.")
        change_tier(user, tier, actor=None)
        self.stdout.write(f"{user.email} is on the tier '{tier.code}' now.")
