"""`GET /api/v1/limits` and `POST /api/v1/limits/check`."""

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from aiassist.lib import clock
from billing.api import examples
from billing.api import serializers as shapes
from billing.metering.admission import limits_for
from billing.models import Reservation, Tier, UsageRecord
from tests.billing.people import ask, put_on, tier, use

pytestmark = pytest.mark.django_db

MB = 1024 * 1024


def test_limits_tell_what_is_allowed_and_what_is_left(alice):
    use(alice)
    ask(alice)
    now = clock.now()

    answer = alice.api.get("/api/v1/limits")
    assert answer.status_code == 200
    assert answer.json() == {
        "tier": {"code": "free", "name": "Free"},
        "enforced": True,
        "features": ["basic_chat", "code_explanation"],
        "providers": ["extractive", "ollama"],
        "max_file_bytes": MB,
        "max_storage_bytes": 200 * MB,
        "max_workspaces": 5,
        "max_files_per_workspace": 20_000,
        "context_tokens": 4_000,
        "own_provider_keys": False,
        "override": None,
        "windows": [
            {
                "policy": "hour",
                "limit": 50,
                "used": 2,
                "remaining": 48,
                "resets_at": clock.rfc3339(clock.hour_window(now)[1]),
            },
            {
                "policy": "day",
                "limit": 200,
                "used": 2,
                "remaining": 198,
                "resets_at": clock.rfc3339(clock.day_window(now)[1]),
            },
            {
                "policy": "concurrency",
                "limit": 4,
                "used": 1,
                "remaining": 3,
                "resets_at": None,
            },
        ],
    }


def test_limits_cost_nothing_and_are_ones_own(alice, charlie):
    use(charlie)
    for _ in range(3):
        alice.api.get("/api/v1/limits")
    assert limits_for(alice.user).hour.used == 0


def test_limits_follow_an_edit_and_a_change_of_tier(alice):
    put_on(alice, "pro")
    tier("pro", requests_per_hour=7)
    body = alice.api.get("/api/v1/limits").json()

    assert body["tier"]["code"] == "pro"
    assert body["windows"][0]["limit"] == 7
    assert body["context_tokens"] == 16_000


def test_an_allowed_wish_has_no_reasons(alice):
    wish = {"feature": "basic_chat", "provider": "ollama", "file_bytes": MB}
    answer = alice.api.post("/api/v1/limits/check", wish, format="json")

    assert answer.status_code == 200
    assert answer.json() == {"allowed": True, "reasons": []}


def test_search_is_metered_but_not_gated(alice):
    answer = alice.api.post("/api/v1/limits/check", {"feature": "search"}, "json")
    assert answer.json() == {"allowed": True, "reasons": []}


def test_every_refusal_is_told_as_the_real_call_would(alice):
    tier(requests_per_day=5)
    use(alice)
    wish = {
        "feature": "code_generation",
        "provider": "openai",
        "file_bytes": 2 * MB,
        "requests": 5,
    }
    body = alice.api.post("/api/v1/limits/check", wish, format="json").json()

    assert body["allowed"] is False
    feature, provider, size, requests = body["reasons"]
    assert feature == {
        "type": "/guides/errors/#feature_not_in_tier",
        "title": "Forbidden",
        "status": 403,
        "detail": "Your tier 'free' does not include the feature 'code_generation'; "
        "the tier 'pro' does.",
        "code": "feature_not_in_tier",
        "policy": "features",
        "scope": "user",
        "limit": ["basic_chat", "code_explanation"],
        "used": "code_generation",
        "resets_at": None,
        "alternatives": [
            "Use one of: basic_chat, code_explanation.",
            "Move to the tier 'pro'.",
        ],
    }
    assert provider == {
        "type": "/guides/errors/#provider_not_in_tier",
        "title": "Forbidden",
        "status": 403,
        "detail": "Your tier 'free' does not include the provider 'openai'; "
        "the tier 'pro' does.",
        "code": "provider_not_in_tier",
        "policy": "providers",
        "scope": "user",
        "limit": ["extractive", "ollama"],
        "used": "openai",
        "resets_at": None,
        "alternatives": [
            "Use a model of: extractive, ollama.",
            "Move to the tier 'pro'.",
        ],
    }
    assert size == {
        "type": "/guides/errors/#file_too_large",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": "The file has 2.0 MB. The tier 'free' takes 1.0 MB a file, "
        "'pro' 10.0 MB a file.",
        "code": "file_too_large",
        "policy": "file_bytes",
        "scope": "request",
        "limit": MB,
        "used": 2 * MB,
        "resets_at": None,
        "alternatives": [
            "Split the file or leave it out.",
            "Move to the tier 'pro' (10.0 MB a file).",
        ],
    }
    midnight = clock.day_window(clock.now())[1]
    waited = requests.pop("retry_after_seconds")
    assert 0 < waited <= timedelta(days=1).total_seconds()
    assert requests == {
        "type": "/guides/errors/#quota_exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "1 of the 5 requests that your tier 'free' allows in this day are "
        "used.",
        "code": "quota_exceeded",
        "policy": "day",
        "scope": "user",
        "limit": 5,
        "used": 1,
        "resets_at": clock.rfc3339(midnight),
        "alternatives": [
            f"Wait until {clock.rfc3339(midnight)}.",
            "Move to the tier 'pro' (2000 requests a day).",
        ],
    }


def test_a_dry_run_spends_nothing(alice):
    alice.api.post("/api/v1/limits/check", {"requests": 3}, format="json")

    assert limits_for(alice.user).hour.used == 0
    assert not Reservation.objects.exists()
    assert not UsageRecord.objects.exists()


def test_the_largest_tier_has_nothing_better_to_offer(alice):
    put_on(alice, "enterprise")
    answer = alice.api.post(
        "/api/v1/limits/check", {"file_bytes": 200 * MB}, format="json"
    )
    assert answer.json()["reasons"][0]["alternatives"] == [
        "Split the file or leave it out."
    ]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"feature": "magic"}, "feature"),
        ({"file_bytes": -1}, "file_bytes"),
        ({"requests": "many"}, "requests"),
        ({"requests": 2**70}, "requests"),
    ],
)
def test_a_bad_wish_is_refused_by_field(alice, wish, field):
    answer = alice.api.post("/api/v1/limits/check", wish, format="json")

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/v1/limits"),
        ("post", "/api/v1/limits/check"),
        ("get", "/api/v1/usage"),
        ("get", "/api/v1/usage/records"),
        ("get", "/api/v1/usage/insights"),
    ],
)
def test_nobody_without_a_credential_gets_in(db, method, path):
    answer = getattr(APIClient(), method)(path)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/limits"),
        ("get", "/api/v1/limits/check"),
        ("post", "/api/v1/usage"),
        ("delete", "/api/v1/usage/records"),
        ("put", "/api/v1/usage/insights"),
    ],
)
def test_a_wrong_method_is_told(alice, method, path):
    answer = getattr(alice.api, method)(path)
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"


def test_no_limits_are_told_as_such(alice, settings):
    settings.RATE_LIMIT_ENABLED = False
    tier(requests_per_hour=0)

    assert alice.api.get("/api/v1/limits").json()["enforced"] is False
    answer = alice.api.post("/api/v1/limits/check", {"requests": 9}, format="json")
    assert answer.json()["allowed"] is True


@pytest.mark.parametrize(
    ("example", "shape"),
    [
        (examples.LIMITS, shapes.LimitsOutput),
        (examples.REFUSED_WISH, shapes.LimitsCheckOutput),
        (examples.USAGE, shapes.UsageOutput),
        (examples.INSIGHTS, shapes.InsightsOutput),
    ],
    ids=["limits", "check", "usage", "insights"],
)
def test_an_example_of_the_reference_has_the_shape_it_shows(example, shape):
    assert set(example.value) == set(shape().fields)


def test_a_dry_run_of_no_request_asks_for_the_rest_alone(alice):
    tier(requests_per_hour=0)
    body = {"requests": 0, "file_bytes": 1}

    answer = alice.api.post("/api/v1/limits/check", body, format="json")

    assert answer.json() == {"allowed": True, "reasons": []}


def test_the_largest_tier_is_told_to_wait_and_nothing_else(alice):
    tier(requests_per_hour=10**6, requests_per_day=1)
    Tier.objects.exclude(pk="free").delete()
    body = {"requests": 2}

    answer = alice.api.post("/api/v1/limits/check", body, format="json")
    (reason,) = answer.json()["reasons"]

    assert [words.split()[0] for words in reason["alternatives"]] == ["Wait"]
