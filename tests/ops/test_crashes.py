"""M5 for crash reports: what failed leaves the house, what it was about does not."""

import json
from typing import Any

import pytest
import sentry_sdk
from django.core.exceptions import ImproperlyConfigured
from sentry_sdk.transport import Transport

from aiassist import crashes

DSN = "https://key@sentry.example/1"
CANARY = "kanarienvogel"


class BrokenPart(Exception):
    pass


class Kept(Transport):
    """Sends nothing anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.envelopes.append(envelope)


@pytest.fixture
def sent(settings: Any) -> Any:
    """Crash once with a canary in all that the SDK looks at; yields what it sends."""
    settings.SENTRY_DSN = DSN
    kept = Kept()
    client = sentry_sdk.Client(
        **crashes.options(), transport=kept, default_integrations=False
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        scope.set_user({"email": f"{CANARY}@example.test"})
        scope.set_extra("prompt", CANARY)
        scope.add_breadcrumb({"message": CANARY})
        scope.add_event_processor(_with_a_request)
        _crash()
    return json.loads(json.dumps(kept.envelopes[0].get_event(), default=str))


def _with_a_request(event: Any, hint: Any) -> Any:
    event["request"] = {
        "method": "POST",
        "url": "https://aiassist.example/api/v1/me",
        "query_string": CANARY,
        "headers": {"X-Api-Key": CANARY},
        "cookies": {"sessionid": CANARY},
        "data": {"message": CANARY},
    }
    return event


def _crash() -> None:
    secret = CANARY * 2
    try:
        raise BrokenPart(f"refused\nDETAIL: Failing row contains ({secret})")
    except BrokenPart:
        sentry_sdk.capture_exception()


def test_m5_a_crash_report_tells_what_failed_and_where(sent: Any) -> None:
    (crash,) = sent["exception"]["values"]

    assert crash["type"] == "BrokenPart"
    assert crash["stacktrace"]["frames"][-1]["function"] == "_crash"
    assert sent["request"] == {
        "method": "POST",
        "url": "https://aiassist.example/api/v1/me",
    }


def test_m5_a_crash_report_holds_no_contents(sent: Any) -> None:
    assert CANARY not in json.dumps(sent)


def test_a_dsn_that_is_none_stops_the_start(settings: Any) -> None:
    settings.SENTRY_DSN = "https://sentry.example/1"  # no key

    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN"):
        crashes.report_crashes()


def test_without_a_dsn_nothing_is_reported(settings: Any) -> None:
    settings.SENTRY_DSN = ""

    crashes.report_crashes()

    assert not sentry_sdk.get_client().is_active()
