"""Make the tables, the people and the client; then serve."""

import os
from urllib.parse import urlsplit

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.browser.provider.settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after setup()
from oauth2_provider.models import Application  # noqa: E402

from tests.browser.provider import CLIENT_ID, CLIENT_SECRET, PASSWORD  # noqa: E402
from tests.browser.provider.claims import people  # noqa: E402


def register() -> None:
    for name in people():
        User.objects.create_user(name, password=PASSWORD)
    Application.objects.create(
        name="aiassist",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=os.environ["REDIRECT_URI"],
        algorithm=Application.RS256_ALGORITHM,
    )


if __name__ == "__main__":
    call_command("migrate", run_syncdb=True, verbosity=0)
    register()
    call_command("runserver", urlsplit(os.environ["ISSUER"]).netloc, use_reloader=False)
