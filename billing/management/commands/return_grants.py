"""`manage.py return_grants`: run it before Redis is stopped or replaced."""

from typing import Any

from django.core.management.base import BaseCommand

from billing.metering.returning import return_grants


class Command(BaseCommand):
    help = "Count back the calls that Redis was granted ahead and has not spent."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{return_grants()} calls returned.")
