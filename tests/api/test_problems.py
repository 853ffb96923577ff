"""Every failure is a problem+json that names what to do (RFC 9457)."""

import json

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest
from rest_framework import exceptions as drf
from rest_framework import serializers

from aiassist.api.problems import field_errors, problem_response
from aiassist.lib.errors import NotFound, QuotaExceeded, ServiceUnavailable


@pytest.fixture
def context() -> dict[str, object]:
    request = HttpRequest()
    request.request_id = "req-12345678"  # type: ignore[attr-defined]
    return {"request": request}


def test_our_own_errors_carry_code_sentence_and_details(context):
    error = QuotaExceeded(
        policy="hour",
        scope="user",
        limit=50,
        used=50,
        resets_at="2026-11-23T10:00:00Z",
        alternatives=["Wait until the hour is over."],
        retry_after_seconds=900,
        headers={"x-ratelimit-remaining-requests": "0"},
    )

    response = problem_response(error, context)

    assert response is not None
    assert response.data == {
        "type": "/guides/errors/#quota_exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Your tier's requests for this window are used up.",
        "code": "quota_exceeded",
        "request_id": "req-12345678",
        "policy": "hour",
        "scope": "user",
        "limit": 50,
        "used": 50,
        "resets_at": "2026-11-23T10:00:00Z",
        "alternatives": ["Wait until the hour is over."],
        "retry_after_seconds": 900,
    }
    assert response.headers["Retry-After"] == "900"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (NotFound(), 404, "not_found"),
        (PermissionDenied("canary-reason"), 403, "permission_denied"),
        (OperationalError("canary-dsn"), 503, "service_unavailable"),
        (ServiceUnavailable(), 503, "service_unavailable"),
        (drf.NotAuthenticated(), 401, "not_authenticated"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (drf.ParseError("canary-body"), 400, "unreadable_body"),
        (RequestDataTooBig(), 413, "too_large"),
    ],
)
def test_the_frameworks_errors_get_our_words(context, error, status, code):
    response = problem_response(error, context)

    assert response is not None
    assert (response.status_code, response.data["code"]) == (status, code)
    assert "canary" not in json.dumps(response.data)


def test_a_foreign_and_an_unknown_id_answer_alike(context):
    """T1."""
    ours = problem_response(NotFound(), context)
    djangos = problem_response(Http404("No Workspace matches"), context)

    assert ours is not None and djangos is not None
    assert ours.data == djangos.data


def test_a_401_says_how_to_authenticate(context):
    response = problem_response(drf.NotAuthenticated(), context)

    assert response is not None
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="aiassist"'


def test_a_frameworks_own_wait_is_passed_on(context):
    response = problem_response(drf.Throttled(wait=7.2), context)

    assert response is not None
    assert (response.status_code, response.headers["Retry-After"]) == (429, "8")


def test_a_503_says_when_to_come_back(context):
    response = problem_response(ServiceUnavailable(), context)

    assert response is not None
    assert response.headers["Retry-After"] == "5"


def test_a_crash_is_left_to_django(context):
    assert problem_response(RuntimeError("boom"), context) is None


class Inner(serializers.Serializer[object]):
    name = serializers.CharField()


class Outer(serializers.Serializer[object]):
    query = serializers.CharField(max_length=3)
    items = Inner(many=True)


def test_validation_names_each_field_with_its_path():
    outer = Outer(data={"query": "long", "items": [{"name": "a"}, {}]})
    with pytest.raises(drf.ValidationError) as caught:
        outer.is_valid(raise_exception=True)

    assert list(field_errors(caught.value.get_full_details())) == [
        {
            "field": "query",
            "code": "max_length",
            "detail": "Ensure this field has no more than 3 characters.",
        },
        {
            "field": "items.1.name",
            "code": "required",
            "detail": "This field is required.",
        },
    ]
