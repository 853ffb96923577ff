"""A local answer after the quota is used up: wished for, bounded, announced."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from aiassist.lib import clock
from assistant.models import SpareCalls
from billing.metering import windows
from billing.metering.admission import limits_for
from billing.metering.ledger import ledger_counts
from tests.assistant.asking import allow, data_of, events_of, records_of, streaming
from tests.fakes.providers import FakeProvider, ollama_stream
from tests.support.people import Person

PAID = "openai/gpt-6-sol"


@pytest.fixture
def used_up(pro: Person, openai: FakeProvider, settings: Any) -> Person:
    """Nothing is left to Alice, who wishes local answers, of which 3 are allowed."""
    settings.LOCAL_FALLBACK_PER_HOUR = 3
    pro.user.preferences = {"local_fallback": True}
    pro.user.save()
    allow(pro, requests_per_hour=0)
    return pro


def ask(person: Person, **body: Any) -> Any:
    body = {"message": "How?", "model": PAID} | body
    return person.api.post("/api/v1/assistant/chat", body, format="json")


def test_a_local_model_answers_and_it_is_said(
    used_up: Person, openai: FakeProvider
) -> None:
    openai.models = ["qwen"]
    openai.at("/ollama", ollama_stream("from ollama"))
    answer = ask(used_up)

    assert answer.json()["text"] == "from ollama"
    assert answer["X-Fallback-From"] == "quota"
    assert answer["X-Model"] == "ollama/qwen"
    assert answer.json()["usage"]["fallback_from"] == ["quota"]
    assert [seen.path for seen in openai.chats] == ["/ollama/api/chat"]
    (record,) = records_of(used_up)
    assert (record.fallback, record.provider, record.status) == (
        *("quota", "ollama"),
        "ok",
    )


def test_without_a_model_code_is_quoted(used_up: Person) -> None:
    assert ask(used_up).json()["usage"]["provider"] == "extractive"


def test_a_stream_says_it_in_its_headers(used_up: Person, asgi_server: str) -> None:
    with streaming(asgi_server, used_up, model=PAID) as response:
        assert response.headers["x-fallback-from"] == "quota"
        usage = data_of(list(events_of(response)), "usage")
    assert usage["fallback_from"] == ["quota"]


def test_q1_it_takes_nothing_from_the_quota(used_up: Person) -> None:
    before = limits_for(used_up.user)
    ask(used_up)
    after = limits_for(used_up.user)

    assert (after.hour.used, after.day.used) == (before.hour.used, before.day.used)
    assert ledger_counts(used_up.user, now=clock.now()) == (0, 0)


def test_q6_many_at_once_get_no_more_than_is_allowed(
    used_up: Person, asgi_server: str
) -> None:
    """At the lean door, and with Redis away for half of them."""
    headers = {"x-api-key": used_up.key}

    def one(number: int) -> httpx2.Response:
        if number == 6:
            windows.breaker.failed()
        body = {"model": PAID, "messages": [{"role": "user", "content": "How?"}]}
        url = f"{asgi_server}/v1/chat/completions"
        return httpx2.post(url, json=body, headers=headers, timeout=30)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(12)))
    windows.breaker.succeeded()

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 9
    good = [answer for answer in answers if answer.status_code == 200]
    assert all(answer.headers["x-fallback-from"] == "quota" for answer in good)
    assert SpareCalls.objects.get().used == 3


def test_the_next_hour_has_its_own(used_up: Person) -> None:
    for _ in range(3):
        assert ask(used_up).status_code == 200
    assert ask(used_up).status_code == 429
    SpareCalls.objects.update(
        hour_start=clock.hour_window(clock.now())[0] - timedelta(hours=1)
    )

    assert ask(used_up).status_code == 200


def test_who_does_not_wish_it_is_refused(used_up: Person) -> None:
    for preferences in ({}, {"local_fallback": False}, {"local_fallback": "yes"}):
        used_up.user.preferences = preferences
        used_up.user.save()
        assert ask(used_up).json()["code"] == "quota_exceeded"


def test_it_is_off_unless_the_operator_allows_it(
    used_up: Person, settings: Any
) -> None:
    settings.LOCAL_FALLBACK_PER_HOUR = 0

    assert ask(used_up).json()["code"] == "quota_exceeded"


def test_a_local_model_has_no_more_than_its_quota(used_up: Person) -> None:
    assert ask(used_up, model="extractive").json()["code"] == "quota_exceeded"


def test_too_many_at_one_time_is_no_reason(used_up: Person) -> None:
    allow(used_up, requests_per_hour=10, max_concurrent=0)

    assert ask(used_up).json()["code"] == "quota_exceeded"
