"""A stream from the provider's socket to the client's: every way it can end."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from django.db import connection

from assistant.gateway import turn as turns
from tests.assistant.asking import (
    allow,
    answer,
    data_of,
    events_of,
    many_streams,
    names,
    open_holds,
    record_after,
    released_after,
    settled_after,
    streaming,
    text_of,
)
from tests.fakes.providers import (
    CUT,
    HOLD,
    FakeProvider,
    Script,
    failure,
    html_page,
    openai_stream,
)
from tests.support import pool
from tests.support.people import Person
from tests.support.ports import wait_for


def stalled(*pieces: str) -> Script:
    """A stream that stops after these pieces and stays open."""
    steps = openai_stream(*pieces, finish="", usage=None, done=False).steps
    return Script([*steps, HOLD])


def test_an_answer_streams_event_by_event(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hel", "lo", usage=(7, 2)))

    events = answer(asgi_server, pro)

    assert names(events) == ["context", "delta", "usage", "done"]
    assert text_of(events) == "Hello"
    assert data_of(events, "usage") == {
        "tokens_in": 7,
        "tokens_out": 2,
        "cost_usd_micros": 34,  # 7 × 2 + 2 × 10 micro-dollars
        "estimated": False,
        "provider": "openai",
        "model": "openai/gpt-6-sol",
    }
    done = data_of(events, "done")
    assert done["finish_reason"] == "stop"
    assert done["conversation_id"] == data_of(events, "context")["conversation_id"]


def test_pieces_arrive_while_the_provider_still_speaks(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled("first"))

    with streaming(asgi_server, pro) as response:
        for event in events_of(response):
            if event.name == "delta":
                assert event.data == {"text": "first"}
                break


def test_the_headers_forbid_buffering_and_tell_the_limits(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    with streaming(asgi_server, pro) as response:
        headers = response.headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-ratelimit-remaining-requests"] == "499"


def test_the_record_says_what_it_cost(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hello", usage=(1000, 200)))

    answer(asgi_server, pro)

    record = record_after(pro)
    assert (record.provider, record.model) == ("openai", "gpt-6-sol")
    assert (record.tokens_in, record.tokens_out) == (1000, 200)
    assert record.cost_usd_micros == 4000
    assert (record.status, record.estimated) == ("ok", False)
    assert record.first_token_ms is not None
    assert record.first_token_ms <= record.latency_ms


def test_q2_hanging_up_in_the_middle_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled("These are some words"))

    with streaming(asgi_server, pro) as response:
        next(e for e in events_of(response) if e.name == "delta")

    record = record_after(pro)
    assert record.status == "cancelled"
    assert record.estimated
    assert record.tokens_in > 0
    assert record.tokens_out == 4
    assert open_holds(pro) == 0


def test_q2_hanging_up_before_the_first_token_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled())

    with streaming(asgi_server, pro) as response:
        events = events_of(response)  # held: a dropped generator hangs up at once
        next(events)
        openai.wait_until(lambda: bool(openai.chats))

    record = record_after(pro)
    assert (record.status, record.tokens_out) == ("cancelled", 0)
    assert record.tokens_in > 0


def test_q2_hanging_up_at_byte_0_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """The client sends its request and closes without reading a byte."""
    openai.will(stalled())

    with streaming(asgi_server, pro):
        openai.wait_until(lambda: bool(openai.chats))

    assert record_after(pro).status == "cancelled"


def test_q2_hanging_up_before_the_usage_frame_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("All of it", usage=None, done=False).steps
    openai.will(Script([*steps, HOLD]))

    with streaming(asgi_server, pro) as response:
        next(e for e in events_of(response) if e.name == "delta")

    record = record_after(pro)
    assert (record.status, record.tokens_out, record.estimated) == (
        "cancelled",
        3,
        True,
    )


def test_q2_a_json_answer_that_nobody_waits_for_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled("Some"))
    with (
        httpx2.Client(timeout=0.7) as client,
        pytest.raises(httpx2.ReadTimeout),
    ):
        client.post(
            f"{asgi_server}/api/v1/assistant/chat",
            json={"message": "Hello?"},
            headers={"X-API-Key": pro.key},
        )

    assert record_after(pro).status == "cancelled"
    openai.wait_until(lambda: openai.chats[0].closed_at is not None)


def test_s1_hanging_up_closes_the_upstream_connection(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled("Some"))

    with streaming(asgi_server, pro) as response:
        next(e for e in events_of(response) if e.name == "delta")
        left_at = time.monotonic()

    openai.wait_until(lambda: openai.chats[0].closed_at is not None)
    closed_at = openai.chats[0].closed_at
    assert closed_at is not None
    assert closed_at - left_at < 2
    wait_for(lambda: open_holds(pro) == 0, seconds=2, what="the slot")


@pytest.mark.parametrize(
    ("name", "script", "phase"),
    [
        ("PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS", Script([], before=9.0), "first_byte"),
        ("PROVIDER_IDLE_TIMEOUT_SECONDS", stalled("Some"), "idle"),
        ("PROVIDER_TOTAL_TIMEOUT_SECONDS", stalled("Some"), "total"),
    ],
)
def test_s2_a_hanging_provider_ends_in_an_error_event(
    name: str,
    script: Script,
    phase: str,
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    settings: Any,
) -> None:
    setattr(settings, name, 0.4)
    openai.will(script)
    started = time.monotonic()

    events = answer(asgi_server, pro, fallback=False)

    assert time.monotonic() - started < 5
    error = data_of(events, "error")
    assert (error["code"], error["status"]) == ("provider_timeout", 504)
    assert error["phase"] == phase
    assert names(events)[-1] == "error"


@pytest.mark.parametrize(
    "script",
    [
        Script([b"data: {not json\n\n"]),
        Script([b"x" * 2**20] * 50),
        html_page(),
        Script([*openai_stream("x", finish="", usage=None, done=False).steps, CUT]),
    ],
    ids=["bad JSON", "a 50 MB line", "HTML", "a cut frame"],
)
def test_s3_a_malformed_stream_is_one_error_event(
    script: Script, asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(script)

    events = answer(asgi_server, pro, fallback=False)

    assert [e.name for e in events].count("error") == 1
    assert data_of(events, "error")["code"] in (
        "provider_malformed",
        "provider_unavailable",
    )


def test_q12_a_failure_before_the_first_token_costs_nothing(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(500))

    events = answer(asgi_server, pro, fallback=False)

    assert names(events) == ["context", "error"]
    released_after(pro)
    limits = streaming(asgi_server, pro, fallback=False)
    with limits as response:
        assert response.headers["x-ratelimit-remaining-requests"] == "499"


def test_q12_retries_are_charged_once(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(500), failure(429, retry_after=1), openai_stream("At last"))

    events = answer(asgi_server, pro)

    assert text_of(events) == "At last"
    assert len(openai.chats) == 3
    assert record_after(pro).status == "ok"


def test_a_failure_after_the_first_token_is_charged_and_not_retried(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("Half an", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    events = answer(asgi_server, pro)

    assert names(events) == ["context", "delta", "usage", "error"]
    assert data_of(events, "usage")["estimated"] is True
    assert len(openai.chats) == 1
    record = record_after(pro)
    assert (record.status, record.estimated) == ("error", True)


def test_q3_a_provider_that_reports_nothing_used_is_billed_nothing(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hello", usage=(0, 0)))

    usage = data_of(answer(asgi_server, pro), "usage")

    assert (usage["tokens_in"], usage["tokens_out"], usage["cost_usd_micros"]) == (
        0,
        0,
        0,
    )
    assert usage["estimated"] is False
    assert not record_after(pro).estimated


def test_q3_unknown_usage_is_estimated_and_marked(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Hello there", usage=None))

    usage = data_of(answer(asgi_server, pro), "usage")

    assert usage["estimated"] is True
    assert usage["tokens_in"] > 0
    assert usage["tokens_out"] == 2
    assert record_after(pro).estimated


def test_heartbeats_keep_a_silent_stream_alive(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "HEARTBEAT_SECONDS", 0.1)
    openai.will(openai_stream("late", pause=0.6))

    assert [e.name for e in answer(asgi_server, pro)].count("") >= 3


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within how many seconds is tried in test_access_in_many_processes."""
    monkeypatch.setattr(turns, "RECHECK_SECONDS", 0.4)


def test_t10_a_revoked_key_ends_its_open_stream(
    asgi_server: str, pro: Person, openai: FakeProvider, looks_often: None
) -> None:
    openai.will(stalled("Some"))

    with streaming(asgi_server, pro) as response:
        events = events_of(response)
        next(e for e in events if e.name == "delta")
        _revoke(pro)
        rest = list(events)

    assert data_of(rest, "error")["code"] == "access_ended"
    assert record_after(pro).status == "cancelled"
    assert openai.chats[0].closed_at is not None


def test_t10_a_disabled_user_s_open_stream_ends(
    asgi_server: str, pro: Person, openai: FakeProvider, looks_often: None
) -> None:
    openai.will(stalled("Some"))

    with streaming(asgi_server, pro) as response:
        events = events_of(response)
        next(e for e in events if e.name == "delta")
        pro.user.bump_epoch()
        rest = list(events)

    assert data_of(rest, "error")["code"] == "access_ended"


def test_a_shutdown_ends_streams_with_an_error_event(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(stalled("Some"))

    with streaming(asgi_server, pro) as response:
        events = events_of(response)
        next(e for e in events if e.name == "delta")
        turns.end_all()
        rest = list(events)

    assert data_of(rest, "error")["code"] == "service_unavailable"
    assert record_after(pro).status == "cancelled"


def test_s8_two_hundred_streams_share_a_pool_of_ten(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    pool_of_ten: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Looking at credentials again takes a connection for a moment, 67 times a second.
    monkeypatch.setattr(turns, "RECHECK_SECONDS", 600)
    n_streams = 200
    allow(pro, max_concurrent=n_streams)
    openai.will(stalled("Some"))

    with many_streams(asgi_server, pro, n_streams, until=b"Some"):
        assert open_holds(pro) == n_streams
        wait_for(lambda: pool.in_use() == 0, seconds=15, what="the pool")
        headers = {"X-API-Key": pro.key}
        assert httpx2.get(f"{asgi_server}/api/v1/me", headers=headers).is_success

    assert len(settled_after(pro, n_streams)) == n_streams
    wait_for(lambda: open_holds(pro) == 0, what="every hold's end")


@pytest.fixture
def pool_of_ten(transactional_db: None) -> Iterator[None]:
    """A pool of its own, as large as production's (DATABASE_POOL_SIZE)."""
    options = connection.settings_dict["OPTIONS"]["pool"]
    pool.start_anew()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(options, "max_size", 10)
        yield
        pool.start_anew()


def _revoke(person: Person) -> None:
    from accounts.keys import revoke_key  # noqa: PLC0415 - needs Django set up

    revoke_key(person.api_key, actor=person.user)
