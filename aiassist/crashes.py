"""Crashes go to Sentry when SENTRY_DSN says where: what failed, never with what.

The stack and the exception's name leave the house. Bodies, headers, query strings,
local variables and the log lines before it do not, as they hold prompts, code and
credentials.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from aiassist.lib.logs import redacted

_OF_THE_REQUEST = ("method", "url")
_NOT_SENT = ("breadcrumbs", "extra", "server_name", "user")


def report_crashes() -> None:
    """Send this process's crashes to SENTRY_DSN; without one, to nobody."""
    if not settings.SENTRY_DSN:
        return
    # Takes a fifth of a second to load, which those without it need not wait for.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    try:
        sentry_sdk.init(**options())
    except BadDsn as error:
        raise ImproperlyConfigured("SENTRY_DSN must be a DSN of Sentry's.") from error


def options() -> dict[str, Any]:
    """Return what the SDK is started with."""
    return {
        "dsn": settings.SENTRY_DSN,
        "release": settings.VERSION,
        "max_request_body_size": "never",
        "include_local_variables": False,
        "max_breadcrumbs": 0,
        "before_send": without_contents,
    }


def without_contents(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Return the event without what a request, a row or a log line held."""
    for name in _NOT_SENT:
        event.pop(name, None)
    request = event.pop("request", {})
    event["request"] = {k: request[k] for k in _OF_THE_REQUEST if k in request}
    for crash in event.get("exception", {}).get("values", ()):
        crash["value"] = redacted(str(crash.get("value", "")))
    if said := event.pop("logentry", None):
        event["logentry"] = {"message": redacted(str(said.get("message", "")))}
    return event
