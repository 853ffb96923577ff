"""MeteredMixin and metered(): admit, work, settle, and the headers of answers."""

import pytest
from django.http import HttpRequest
from django.test import override_settings
from django.urls import path
from rest_framework.response import Response

from aiassist.lib.errors import NotFound, ProviderError
from billing.api.mixins import MeteredMixin
from billing.metering.admission import limits_for
from billing.metering.holds import n_open
from billing.metering.ledger import Settlement
from billing.metering.metered_block import metered
from billing.metering.requests import request_id_of
from billing.models import UsageRecord
from tests.billing.people import ask, tier

pytestmark = pytest.mark.django_db


class SearchView(MeteredMixin):
    metered_feature = "search"

    def settlement_of(self, response):
        return Settlement(workspace_id=self.kwargs["workspace_id"], tokens_in=3)

    def post(self, request, workspace_id):
        match request.data.get("fate"):
            case "missing":
                raise NotFound
            case "provider":
                raise ProviderError
            case "crash":
                raise RuntimeError("a bug")
        return Response({"found": n_open(request.user.pk)})


class PlainView(MeteredMixin):
    metered_feature = "search"

    def post(self, request):
        return Response({})


urlpatterns = [
    path("ws/<str:workspace_id>/search", SearchView.as_view()),
    path("plain", PlainView.as_view()),
]


@pytest.fixture(autouse=True)
def _urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


def search(person, fate=""):
    return person.api.post("/ws/workspace_1/search", {"fate": fate}, format="json")


def test_an_answer_is_held_while_it_runs_and_settled_after(alice):
    answer = search(alice)

    assert answer.json() == {"found": 1}
    assert n_open(alice.user.pk) == 0
    record = UsageRecord.objects.get()
    assert (record.feature, record.status, record.tokens_in) == ("search", "ok", 3)
    assert record.endpoint == "POST /ws/<str:workspace_id>/search"
    assert record.workspace_id == "workspace_1"


def test_a_view_that_says_no_more_costs_a_call_and_no_token(alice):
    alice.api.post("/plain", {}, format="json")

    record = UsageRecord.objects.get()
    assert (record.tokens_in, record.tokens_out, record.status) == (0, 0, "ok")


def test_a_metered_answer_tells_what_is_left(alice):
    tier(requests_per_hour=10, requests_per_day=5)
    answer = search(alice)

    assert answer["x-ratelimit-limit-requests"] == "5"
    assert answer["x-ratelimit-remaining-requests"] == "4"
    assert 0 < int(answer["x-ratelimit-reset-requests"]) <= 86400
    assert answer["RateLimit-Policy"] == '"hour";q=10;w=3600, "day";q=5;w=86400'
    hour, day = answer["RateLimit"].split(", ")
    assert hour.startswith('"hour";r=9;t=')
    assert day.startswith('"day";r=4;t=')


@pytest.mark.parametrize(("fate", "status"), [("missing", 404), ("provider", 502)])
def test_q12_a_failed_answer_costs_nothing_and_says_so(alice, fate, status):
    answer = search(alice, fate)

    assert answer.status_code == status
    assert answer["x-ratelimit-remaining-requests"] == "50"
    assert limits_for(alice.user).hour.used == 0
    assert not UsageRecord.objects.exists()


def test_a_crash_costs_nothing(alice):
    alice.api.raise_request_exception = False
    assert search(alice, "crash").status_code == 500
    assert n_open(alice.user.pk) == 0
    assert limits_for(alice.user).hour.used == 0


def test_a_refusal_is_a_problem_with_headers(alice):
    tier(requests_per_hour=1)
    search(alice)
    answer = search(alice)

    assert answer.status_code == 429
    body = answer.json()
    assert body.pop("request_id") is not None
    seconds = body.pop("retry_after_seconds")
    assert answer["Retry-After"] == str(seconds)
    assert answer["x-ratelimit-remaining-requests"] == "0"
    assert answer["RateLimit"].startswith(f'"hour";r=0;t={seconds}')
    resets_at = body.pop("resets_at")
    assert body == {
        "type": "/guides/errors/#quota_exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "1 of the 1 requests that your tier 'free' allows in this hour are "
        "used.",
        "code": "quota_exceeded",
        "policy": "hour",
        "scope": "user",
        "limit": 1,
        "used": 1,
        "alternatives": [
            f"Wait until {resets_at}.",
            "Move to the tier 'pro' (500 requests an hour).",
        ],
    }


@pytest.mark.parametrize("method", ["get", "options", "delete"])
def test_what_does_no_work_is_not_metered(alice, method):
    getattr(alice.api, method)("/ws/workspace_1/search")
    assert limits_for(alice.user).hour.used == 0
    assert not UsageRecord.objects.exists()


def test_calls_that_fail_cost_no_quota_yet_are_held_back(alice, monkeypatch):
    monkeypatch.setattr(SearchView, "throttle_per_user", "3/h")
    codes = [search(alice, "missing").status_code for _ in range(4)]
    assert codes == [404, 404, 404, 429]


def test_nobody_is_metered_without_a_credential(client):
    assert client.post("/ws/workspace_1/search").status_code == 401


def test_a_request_without_an_id_gets_one():
    assert request_id_of(HttpRequest()).startswith("req_")


def test_a_metered_block_settles(alice):
    with metered(
        alice.principal,
        feature="search",
        endpoint="page",
        request_id="req_1",
        workspace_id="workspace_1",
    ):
        assert n_open(alice.user.pk) == 1
    record = UsageRecord.objects.get()
    assert (record.request_id, record.workspace_id) == ("req_1", "workspace_1")


def test_a_metered_block_that_raises_costs_nothing(alice):
    with (
        pytest.raises(ProviderError),
        metered(alice.principal, feature="search", endpoint="x", request_id="r"),
    ):
        raise ProviderError
    assert limits_for(alice.user).hour.used == 0
    assert ask(alice)
