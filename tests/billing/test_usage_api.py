"""`GET /api/v1/usage`, its records and insights."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts.keys import create_key
from aiassist.lib import clock
from billing.models import UsageRecord
from tests.billing.people import put_on, tier, use

pytestmark = pytest.mark.django_db

NOTHING = {
    "requests": 0,
    "tokens_in": 0,
    "tokens_out": 0,
    "cost_usd_micros": 0,
    "errors": 0,
}


@pytest.fixture
def used(alice, charlie):
    """Three calls of Alice's, one of Charlie's."""
    chat: dict[str, Any] = {"provider": "openai", "model": "small", "tokens_in": 10}
    use(alice, **chat, tokens_out=5, cost_usd_micros=3)
    use(alice, **chat, status="error")
    use(alice, feature="search")
    use(charlie, tokens_in=1000)
    return alice


def test_usage_of_today_adds_up(used):
    start, end = clock.day_window(clock.now())
    body = used.api.get("/api/v1/usage").json()

    chats = {
        "requests": 2,
        "tokens_in": 20,
        "tokens_out": 5,
        "cost_usd_micros": 3,
        "errors": 1,
    }
    series = body.pop("series")
    assert body == {
        "period": "day",
        "start": clock.rfc3339(start),
        "end": clock.rfc3339(end),
        "totals": {**chats, "requests": 3},
        "by_feature": [
            {"feature": "basic_chat", **chats},
            {"feature": "search", **NOTHING, "requests": 1},
        ],
        "by_provider": [{"provider": "openai", **chats}],
        "by_model": [{"model": "small", **chats}],
    }
    assert [point["start"] for point in series] == [
        clock.rfc3339(start + timedelta(hours=hour)) for hour in range(24)
    ]
    assert [p for p in series if p["requests"]] == [
        {
            "start": clock.rfc3339(clock.hour_window(clock.now())[0]),
            **chats,
            "requests": 3,
        }
    ]


@pytest.mark.parametrize(("period", "days"), [("week", 7), ("month", 30)])
def test_longer_periods_have_a_point_per_day(alice, period, days):
    today, end = clock.day_window(clock.now())
    use(alice, now=today - timedelta(days=days), tokens_in=900)
    use(alice, now=today - timedelta(days=days - 1), tokens_in=7)
    use(alice, tokens_in=20)
    body = alice.api.get(f"/api/v1/usage?period={period}").json()

    assert (body["start"], body["end"]) == (
        clock.rfc3339(today - timedelta(days=days - 1)),
        clock.rfc3339(end),
    )
    assert len(body["series"]) == days
    assert body["series"][0]["tokens_in"] == 7
    assert body["series"][-1]["tokens_in"] == 20
    assert body["totals"]["tokens_in"] == 27


def test_an_unknown_period_is_refused(alice):
    answer = alice.api.get("/api/v1/usage?period=year")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "period"


def test_records_are_told_one_by_one(alice):
    record = use(alice, request_id="req_9", tokens_in=4, first_token_ms=8)
    body = alice.api.get("/api/v1/usage/records").json()

    assert body == {
        "results": [
            {
                "id": record.pk,
                "request_id": "req_9",
                "key_id": alice.api_key.pk,
                "workspace_id": None,
                "tier": "free",
                "endpoint": "POST /chat",
                "feature": "basic_chat",
                "provider": "",
                "model": "",
                "tokens_in": 4,
                "tokens_out": 0,
                "cost_usd_micros": 0,
                "estimated": False,
                "status": "ok",
                "latency_ms": 0,
                "first_token_ms": 8,
                "admitted_at": clock.rfc3339(record.admitted_at),
                "created_at": clock.rfc3339(record.created_at),
                "upstream": "",
                "own_key": False,
                "fallback": "",
            }
        ],
        "next": None,
    }


def test_records_come_in_pages_newest_first(alice, charlie):
    use(charlie)
    for number in range(5):
        use(alice, request_id=f"req_{number}")
    url, seen = "/api/v1/usage/records?page_size=2", []
    while url:
        body = alice.api.get(url).json()
        seen.append([row["request_id"] for row in body["results"]])
        url = body["next"]

    assert seen == [["req_4", "req_3"], ["req_2", "req_1"], ["req_0"]]


def test_records_can_be_filtered(used):
    def ids(query):
        rows = used.api.get(f"/api/v1/usage/records?{query}").json()["results"]
        return len(rows)

    assert ids("feature=search") == 1
    assert ids("status=error&provider=openai") == 1
    assert ids("model=large") == 0
    assert ids("until=2000-01-01T00:00:00Z") == 0
    assert ids("since=2000-01-01T00:00:00Z") == 3


@pytest.mark.parametrize("query", ["status=fine", "since=yesterday", "model=%00"])
def test_a_bad_filter_is_refused(alice, query):
    assert alice.api.get(f"/api/v1/usage/records?{query}").status_code == 400


def test_a_format_that_is_none_is_named(used):
    answer = used.api.get("/api/v1/usage/records?format=xml")

    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "format", "code": "invalid_choice", "detail": "One of: json, csv."}
    ]


@pytest.mark.parametrize("asked", ["?format=csv", "accept"])
def test_records_come_as_csv(used, asked):
    if asked == "accept":
        answer = used.api.get("/api/v1/usage/records", HTTP_ACCEPT="text/csv")
    else:
        answer = used.api.get(f"/api/v1/usage/records{asked}")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="usage.csv"'
    assert [row["feature"] for row in rows] == ["search", "basic_chat", "basic_chat"]
    record = UsageRecord.objects.for_user(used.user.pk).earliest("created_at")
    assert rows[-1] == {
        "id": record.pk,
        "request_id": record.request_id,
        "key_id": used.api_key.pk,
        "workspace_id": "",
        "tier": "free",
        "endpoint": "POST /chat",
        "feature": "basic_chat",
        "provider": "openai",
        "model": "small",
        "tokens_in": "10",
        "tokens_out": "5",
        "cost_usd_micros": "3",
        "estimated": "false",
        "status": "ok",
        "latency_ms": "0",
        "first_token_ms": "",
        "admitted_at": clock.rfc3339(record.admitted_at),
        "created_at": clock.rfc3339(record.created_at),
        "upstream": "",
        "own_key": "false",
        "fallback": "",
    }


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_no_cell_is_a_formula(alice, start):
    use(alice, model=f"{start}HYPERLINK(1)", request_id=f"{start}1")
    answer = alice.api.get("/api/v1/usage/records?format=csv")
    text = answer.getvalue().decode()
    row = next(csv.DictReader(io.StringIO(text, newline="")))

    assert row["model"] == f"'{start}HYPERLINK(1)"
    assert row["request_id"] == f"'{start}1"


def test_csv_holds_more_than_a_page(alice, settings):
    record = use(alice)
    UsageRecord.objects.bulk_create(
        UsageRecord(
            reservation_id=f"res_{number}",
            user=alice.user,
            request_id=f"req_{number}",
            tier_code="free",
            endpoint="x",
            feature="search",
            status="ok",
            admitted_at=record.admitted_at,
            created_at=record.created_at,
        )
        for number in range(2500)
    )
    answer = alice.api.get("/api/v1/usage/records?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))

    assert len({row["id"] for row in rows}) == len(rows) == 2501


def test_a_problem_asked_for_as_csv_is_still_a_problem(alice):
    answer = alice.api.get("/api/v1/usage/records?format=csv&status=fine")
    assert answer.status_code == 400
    assert answer.json()["code"] == "validation_failed"


def test_insights_without_usage_recommend_nothing_new(alice):
    start, end = clock.day_window(clock.now())
    assert alice.api.get("/api/v1/usage/insights").json() == {
        "start": clock.rfc3339(start - timedelta(days=29)),
        "end": clock.rfc3339(end),
        "requests": 0,
        "favourite_features": [],
        "patterns": {
            "busiest_hours": [],
            "busiest_weekday": None,
            "peak_requests_per_hour": 0,
            "peak_requests_per_day": 0,
            "average_latency_ms": None,
        },
        "recommended_tier": {
            "code": "free",
            "name": "Free",
            "current": "free",
            "reason": "There is no usage to judge by yet.",
        },
        "savings": [],
    }


def test_insights_come_from_what_was_done(alice, charlie):
    put_on(alice, "pro")
    today, _ = clock.day_window(clock.now())
    yesterday = today - timedelta(days=1)
    use(charlie, now=yesterday + timedelta(hours=3), latency_ms=9000, status="error")
    for minute in range(3):
        use(alice, now=yesterday + timedelta(hours=9, minutes=minute), latency_ms=100)
    use(alice, now=yesterday + timedelta(hours=10), feature="search", latency_ms=300)
    body = alice.api.get("/api/v1/usage/insights").json()

    assert body["favourite_features"] == [
        {"feature": "basic_chat", "requests": 3, "share": 0.75},
        {"feature": "search", "requests": 1, "share": 0.25},
    ]
    weekday = yesterday.strftime("%A").lower()
    assert body["patterns"] == {
        "busiest_hours": [{"hour": 9, "requests": 3}, {"hour": 10, "requests": 1}],
        "busiest_weekday": {"weekday": weekday, "requests": 4},
        "peak_requests_per_hour": 3,
        "peak_requests_per_day": 4,
        "average_latency_ms": 150,
    }
    assert body["recommended_tier"] == {
        "code": "free",
        "name": "Free",
        "current": "pro",
        "reason": "Your busiest hour had 3 requests, your busiest day 4, with features "
        "and providers that 'free' includes too.",
    }
    assert body["savings"] == ["The tier 'free' would have held all of your usage."]


def test_insights_see_a_tier_that_is_too_small_and_calls_that_failed(alice):
    today, _ = clock.day_window(clock.now())
    for number in range(45):
        status = "error" if number % 4 == 0 else "ok"
        spent = {"model": "large", "cost_usd_micros": 9} if number < 9 else {}
        use(alice, now=today - timedelta(hours=1), status=status, **spent)
    use(alice, now=today - timedelta(minutes=1), model="small", cost_usd_micros=1)
    body = alice.api.get("/api/v1/usage/insights").json()

    assert body["recommended_tier"] == {
        "code": "pro",
        "name": "Pro",
        "current": "free",
        "reason": "Your busiest hour had 46 requests, your busiest day 46: close to "
        "what 'free' allows; 'pro' holds 500 an hour and 2000 a day.",
    }
    assert body["savings"] == [
        "The model 'large' made 99% of your cost with 9 requests; a smaller model may "
        "do for some.",
        "12 of 46 requests failed and counted all the same.",
    ]


@pytest.mark.parametrize(
    ("requests_per_hour", "code", "words"),
    [
        (50, "free", "your tier 'free' holds that with room to spare."),
        (1, "enterprise", "more than any tier holds with a quarter to spare."),
    ],
)
def test_insights_say_why_a_tier_fits(alice, requests_per_hour, code, words):
    use(alice, now=clock.day_window(clock.now())[0] - timedelta(hours=1))
    for each in ("free", "pro", "enterprise"):
        tier(each, requests_per_hour=requests_per_hour)
    found = alice.api.get("/api/v1/usage/insights").json()["recommended_tier"]

    assert found["code"] == code
    assert found["reason"].endswith(words)


@pytest.mark.parametrize(
    "spent", [{"provider": "local"}, {"provider": "openai", "own_key": True}]
)
def test_insights_ask_no_tier_for_what_none_gates_or_the_user_paid(alice, spent):
    use(alice, **spent)

    found = alice.api.get("/api/v1/usage/insights").json()["recommended_tier"]

    assert found["code"] == "free"


def test_insights_can_be_switched_off(alice, settings):
    settings.ANALYTICS_ENABLED = False
    assert alice.api.get("/api/v1/usage/insights").status_code == 404


def test_a_key_without_the_scope_sees_no_usage(alice):
    _, secret = create_key(alice.user, "narrow", scopes=["search"])
    alice.api.credentials(HTTP_X_API_KEY=secret)

    for path in ("usage", "usage/records", "usage/insights"):
        answer = alice.api.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert alice.api.get("/api/v1/limits").status_code == 200


def test_insights_name_no_model_where_none_stands_out(alice):
    for model in ("a", "b", "c"):
        use(alice, provider="openai", model=model, cost_usd_micros=100)

    savings = alice.api.get("/api/v1/usage/insights").json()["savings"]

    assert not any("model" in hint for hint in savings)


def test_the_page_of_usage_shortens_large_numbers_and_long_times(alice):
    use(alice, tokens_in=2_500_000, latency_ms=42_500)

    shown = alice.web.get(reverse("usage:home"), {"period": "day"}).text

    assert "2.5 M" in shown
    assert "42.5 s" in shown
