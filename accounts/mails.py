"""Mail a person: `emails/<name>_{subject.txt,body.txt,body.html}`, filled in."""

from collections.abc import Mapping

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string


def send_mail(name: str, *, to: str, context: Mapping[str, object]) -> None:
    """Send it; the templates find the site's address in `address`, "" if unknown."""
    filled = {**context, "address": _site_address()}
    subject, text, html = (
        render_to_string(f"emails/{name}_{part}", filled)
        for part in ("subject.txt", "body.txt", "body.html")
    )
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=[to])
    mail.attach_alternative(html, "text/html")
    mail.send()


def _site_address() -> str:
    """Return where the site is reached, "" when nothing says so.

    A worker has no request to read it from; what browsers may post from tells.
    """
    origins = [o for o in settings.CSRF_TRUSTED_ORIGINS if "*" not in o]
    return origins[0] if origins else ""
