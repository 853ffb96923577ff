"""A turn that something befalls before, beside or after its stream."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from django.db import OperationalError

from aiassist.lib.db import in_db
from assistant.gateway import prompts
from assistant.gateway import turn as turns
from assistant.gateway.open import open_turn
from assistant.gateway.plan import Ask
from billing.outbox import outbox
from tests.assistant.asking import (
    answer,
    data_of,
    names,
    open_holds,
    record_after,
    records_of,
    streaming,
)
from tests.fakes.providers import (
    HOLD,
    REPEAT,
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


def test_an_unforeseen_failure_is_told_and_its_text_is_not_logged(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("my-secret-prompt-4711")

    monkeypatch.setattr(turns, "answers", broken)

    events = answer(asgi_server, pro)

    assert data_of(events, "error")["code"] == "service_unavailable"
    assert open_holds(pro) == 0
    assert "a turn failed unexpectedly" in caplog.text
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


async def test_s1_200_streams_left_at_random_leave_nothing_behind(
    asgi_server: str, pro: Person, openai: FakeProvider, settings: Any
) -> None:
    """Upstream connections, slots and holds are free within 2 s.

    That is for a machine that opens 200 streams in 3 s; a busier one, or one that
    measures coverage, is given as much more as it took to open them.
    """
    settings.USAGE_WRITE_SECONDS = 60  # as in production, records follow later
    await in_db(_raise_limits)
    key = await in_db(lambda: pro.key)
    openai.will(openai_stream(*["word "] * 2000, pause=0.05))
    chance = random.Random(4711)
    began = time.monotonic()

    async with _client(asgi_server, key) as client:
        leave, opened = asyncio.Event(), asyncio.Semaphore(0)
        leaving = [
            asyncio.create_task(
                _listen(client, opened, leave, chance.uniform(0.0, 1.0))
            )
            for _ in range(200)
        ]
        for _ in leaving:
            await opened.acquire()
        slowness = max(1.0, (time.monotonic() - began) / 3)
        assert await in_db(open_holds, pro) == 200
        leave.set()
        await asyncio.gather(*leaving)
    await until(lambda: open_holds(pro) == 0, seconds=2.0 * slowness)

    openai.wait_until(lambda: openai.open_chats == [], seconds=2.0)
    await in_db(outbox.write)
    records = await in_db(records_of, pro)
    assert [record.status for record in records] == ["cancelled"] * 200


async def test_t9_nobody_is_given_somebody_elses_answer(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """Each asks for something else; a third of them leave at random."""
    await in_db(_raise_limits)
    key = await in_db(lambda: pro.key)
    steps = openai_stream(finish="stop").steps
    openai.will(Script([0.05, REPEAT, 0.05, REPEAT, *steps]))
    chance = random.Random(4712)

    async def ask(client: httpx2.AsyncClient, n: int) -> bool:
        word = f"word{n}x"
        patience = chance.uniform(0.05, 1.0) if n % 3 == 0 else 30.0
        try:
            async with asyncio.timeout(patience):
                answered = await client.post(
                    "/api/v1/assistant/chat",
                    json={"message": word, "stream": n % 2 == 0},
                )
        except TimeoutError:
            return True
        told = set(re.findall(r"word\d+x", answered.text))
        return answered.status_code == 200 and told == {word}

    async with _client(asgi_server, key) as client:
        assert all(await asyncio.gather(*(ask(client, n) for n in range(120))))


def test_q2_two_turns_of_one_user_are_two_records(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    answer(asgi_server, pro)
    answer(asgi_server, pro)

    wait_for(lambda: len(records_of(pro)) == 2, seconds=2, what="two records")


def test_a_request_id_of_the_client_is_in_the_error(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([b"data: {broken\n\n"]))

    with streaming(asgi_server, pro, fallback=False) as response:
        last = [line for line in response.iter_lines() if line][-1]
        request_id = response.headers["x-request-id"]

    assert json.loads(last.removeprefix("data: "))["request_id"] == request_id


def _raise_limits() -> None:
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up

    Tier.objects.filter(pk="pro").update(max_concurrent=500, requests_per_hour=10_000)


@asynccontextmanager
async def _client(site: str, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=site,
        headers={"X-API-Key": key},
        timeout=30,
        limits=httpx2.Limits(max_connections=300),
    ) as client:
        yield client


async def _listen(
    client: httpx2.AsyncClient,
    opened: asyncio.Semaphore,
    leave: asyncio.Event,
    seconds: float,
) -> None:
    """Open a stream, read it, and hang up `seconds` after all may leave."""
    body = {"message": "How?", "stream": True}
    async with client.stream("POST", "/api/v1/assistant/chat", json=body) as response:
        pieces = response.aiter_bytes()
        async for piece in pieces:
            if b"event: delta" in piece:
                break
        opened.release()
        await leave.wait()
        await asyncio.sleep(seconds)
        await pieces.aclose()
