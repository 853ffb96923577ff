"""Between the request and its stream: what is admitted is never left behind."""

import asyncio
from typing import Any

import pytest

from aiassist.lib.db import in_db
from aiassist.lib.errors import ServiceUnavailable
from assistant.gateway import open as opening
from assistant.gateway import plan
from billing.metering.admission import aadmit
from tests.assistant.asking import open_holds, records_of
from tests.assistant.test_turns import ask_of, until
from tests.fakes.providers import FakeProvider
from tests.support.people import Person


async def test_s1_leaving_while_being_admitted_gives_the_hold_back(
    transactional_db: None,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database has the hold already, the caller never learns of it."""
    admit = aadmit
    held = asyncio.Event()

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        admission = await admit(*args, **kwargs)
        held.set()
        await asyncio.sleep(0.2)
        return admission

    monkeypatch.setattr(opening, "aadmit", slowly)
    task = asyncio.create_task(opening.open_turn(await in_db(ask_of, pro)))
    await asyncio.wait_for(held.wait(), 3)
    assert await in_db(open_holds, pro) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: open_holds(pro) == 0)
    assert openai.chats == []


def test_a_search_that_fails_costs_nothing(
    pro: Person, openai: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**kwargs: Any) -> None:
        raise ServiceUnavailable("The vector database is away.")

    monkeypatch.setattr(plan, "search", away)
    body = {"message": "How?", "workspace_id": pro.workspace.pk}

    answered = pro.api.post("/api/v1/assistant/chat", body, format="json")

    assert (answered.status_code, answered.json()["code"]) == (
        503,
        "service_unavailable",
    )
    assert answered.headers["x-ratelimit-remaining-requests"] == "500"
    assert records_of(pro) == []
    assert open_holds(pro) == 0
    assert openai.chats == []


def test_a_crash_while_searching_gives_the_hold_back(
    pro: Person, openai: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(plan, "search", broken)
    pro.api.raise_request_exception = False
    body = {"message": "How?", "workspace_id": pro.workspace.pk}

    answered = pro.api.post("/api/v1/assistant/chat", body, format="json")

    assert answered.status_code == 500
    assert open_holds(pro) == 0
