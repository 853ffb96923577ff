"""`manage.py create_api_key ada@example.com [--name laptop] [--scopes a,b]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.keys import create_key
from accounts.models import User
from aiassist.lib.errors import AppError


class Command(BaseCommand):
    help = "Create an API key and print it, this one time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="command line")
        parser.add_argument(
            "--scopes", help="Comma-separated; default: all but account."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip().lower()
        user = User.objects.living().filter(email=email).first()
        if user is None:
            raise CommandError("Nobody has this address. Use create_user first.")
        scopes = options["scopes"].split(",") if options["scopes"] else None
        try:
            _, secret = create_key(user, options["name"], scopes)
        except AppError as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(secret)
