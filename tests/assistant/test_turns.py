"""A turn that something befalls before, beside or after its stream."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from django.db import OperationalError

from aiassist.lib.db import in_db
from assistant.gateway import prompts
from assistant.gateway import turn as turns
from assistant.gateway.open import open_turn
from assistant.gateway.plan import Ask
from tests.assistant.asking import (
    answer,
    data_of,
    events_of,
    names,
    open_holds,
    record_after,
    records_of,
    streaming,
)
from tests.fakes.providers import (
    HOLD,
    FakeProvider,
    Script,
    openai_stream,
    sse,
)
from tests.support.people import Person
from tests.support.ports import wait_for

STALLED = Script(
    [*openai_stream("Some", finish="", usage=None, done=False).steps, HOLD]
)


def ask_of(person: Person) -> Ask:
    return Ask(
        principal=person.principal,
        feature="basic_chat",
        endpoint="POST /test",
        request_id="req_test_0001",
        prompt=prompts.chat("How?"),
    )


async def until(check: Any, seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not await in_db(check):
            await asyncio.sleep(0.02)


async def test_q2_a_turn_ended_before_its_first_step_gives_its_hold_back(
    transactional_db: None, pro: Person, openai: FakeProvider
) -> None:
    """A task cancelled before it starts runs no `finally`."""
    turn = await open_turn(await in_db(ask_of, pro))
    await turn.close()

    assert await in_db(open_holds, pro) == 0
    assert await in_db(records_of, pro) == []
    assert openai.chats == []


async def test_s1_a_turn_that_nobody_reads_is_ended(
    transactional_db: None,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(turns, "READER_SECONDS", 0.2)
    openai.will(STALLED)

    await open_turn(await in_db(ask_of, pro))

    await until(lambda: open_holds(pro) == 0)
    assert (await in_db(records_of, pro))[0].status == "cancelled"
    openai.wait_until(lambda: openai.chats[0].closed_at is not None)


async def test_a_slow_reader_slows_the_provider_down(
    transactional_db: None, pro: Person, openai: FakeProvider
) -> None:
    """What is not read yet is bounded."""
    n_pieces = 20_000
    openai.will(openai_stream(*["x" * 1000] * n_pieces))

    turn = await open_turn(await in_db(ask_of, pro))
    async with asyncio.timeout(5):
        while len(turn._buffer) < turns.BUFFERED_DELTAS:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # were it unbounded, all would be here by now
    sent = openai.chats[0].n_bytes_sent
    await turn.close()

    assert len(turn._buffer) == turns.BUFFERED_DELTAS
    assert sent < 1000 * n_pieces / 2  # the rest waits in the sockets' buffers


def test_q2_hanging_up_while_the_status_is_awaited_is_settled(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """/v1 holds its status back until the first token."""
    openai.will(Script([HOLD]))
    with (
        httpx2.Client(timeout=0.7) as client,
        pytest.raises(httpx2.ReadTimeout),
    ):
        client.post(
            f"{asgi_server}/v1/chat/completions",
            json={
                "model": "auto",
                "messages": [{"role": "user", "content": "Hi"}],
                "stream": True,
            },
            headers={"X-API-Key": pro.key},
        )

    assert record_after(pro).status == "cancelled"
    assert open_holds(pro) == 0


def test_a_database_that_fails_at_the_end_is_told(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(*args: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(turns, "asettle", away)

    events = answer(asgi_server, pro)

    assert names(events)[-1] == "error"
    assert data_of(events, "error")["code"] == "service_unavailable"
    assert open_holds(pro) == 1  # the sweeper's, once the database is back


@pytest.mark.parametrize(
    ("header", "code", "line"),
    [
        ({}, "internal_error", "a face failed unexpectedly"),
        ({"origin": "https://a.example"}, "service_unavailable", "a turn failed"),
    ],
    ids=["lean", "Django"],
)
def test_an_unforeseen_failure_is_told_and_its_text_is_not_logged(
    header: dict[str, str],
    code: str,
    line: str,
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("my-secret-prompt-4711")

    monkeypatch.setattr(turns, "first_to_answer", broken)

    with streaming(asgi_server, pro, headers=header) as response:
        events = list(events_of(response))

    assert data_of(events, "error")["code"] == code
    assert open_holds(pro) == 0
    assert line in caplog.text
    assert "my-secret" not in caplog.text


def test_s3_half_a_character_does_not_break_the_stream(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    piece = {"choices": [{"index": 0, "delta": {"content": "a\ud83db"}}]}
    steps = [sse(piece), *openai_stream("!").steps]
    openai.will(Script(steps))

    events = answer(asgi_server, pro)

    assert [e.data["text"] for e in events if e.name == "delta"] == ["a\ufffdb", "!"]
    assert names(events)[-1] == "done"


def test_s3_counts_that_cannot_be_true_do_not_break_the_record(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("x", usage=(10**15, -5)))

    assert names(answer(asgi_server, pro))[-1] == "done"
    assert record_after(pro).tokens_in == 0


def test_q2_two_turns_of_one_user_are_two_records(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    answer(asgi_server, pro)
    answer(asgi_server, pro)

    wait_for(lambda: len(records_of(pro)) == 2, what="two records")


def test_a_request_id_of_the_client_is_in_the_error(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([b"data: {broken\n\n"]))

    with streaming(asgi_server, pro, fallback=False) as response:
        last = [line for line in response.iter_lines() if line][-1]
        request_id = response.headers["x-request-id"]

    assert json.loads(last.removeprefix("data: "))["request_id"] == request_id
