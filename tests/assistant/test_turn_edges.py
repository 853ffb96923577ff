"""A turn whose reader, database or provider goes in the middle."""

import json
import socket
import threading
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError

from assistant.gateway import fim
from assistant.gateway import turn as turns
from tests.assistant.asking import (
    answer,
    data_of,
    record_after,
    streaming,
    text_of,
)
from tests.assistant.code import passage
from tests.assistant.conftest import CANARY_KEY
from tests.fakes.providers import (
    CUT,
    HOLD,
    FakeProvider,
    Script,
    anthropic_blocks,
    named_sse,
    openai_stream,
    sse,
)
from tests.support.people import Person

ASKED = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("path", ["/api/v1/assistant/chat", "/v1/chat/completions"])
def test_q2_leaving_before_the_first_word_is_settled_at_both_doors(
    path: str, asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    openai.will(Script([HOLD]))
    body = {"model": "openai/gpt-6-sol", "messages": ASKED, "stream": True}
    raw, place = json.dumps(body).encode(), urlsplit(asgi_server)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nX-API-Key: {pro.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    address = (place.hostname or "", place.port or 0)
    with closing(socket.create_connection(address, timeout=10)) as link:
        link.sendall(head.encode() + raw)
        openai.wait_until(lambda: bool(openai.chats))

    assert record_after(pro).status == "cancelled"
    openai.wait_until(lambda: openai.chats[0].closed_at is not None, 2)


def test_t10_a_database_that_is_away_cuts_no_stream(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = threading.Event()

    def is_away(principal: object) -> bool:
        asked.set()
        raise OperationalError("no connection")

    monkeypatch.setattr(turns, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(turns, "is_still_valid", is_away)
    openai.will(openai_stream("Hel", "lo", pause=0.2))

    events = answer(asgi_server, pro)

    assert asked.is_set()
    assert text_of(events) == "Hello"
    assert data_of(events, "done")["finish_reason"] == "stop"


def test_q3_what_a_broken_stream_has_told_of_its_input_is_billed(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    """Some servers count as they go; the output is counted by us, and marked so."""
    told = {"prompt_tokens": 777, "completion_tokens": 1}
    choice = {"index": 0, "delta": {"content": "Some more words"}}
    openai.will(Script([sse({"choices": [choice], "usage": told}), CUT]))

    events = answer(asgi_server, pro)

    record = record_after(pro)
    assert data_of(events, "error")["code"].startswith("provider_")
    assert (record.tokens_in, record.estimated, record.status) == (777, True, "error")
    assert record.tokens_out == 3


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_q3_what_anthropic_told_at_the_start_is_billed_when_it_breaks_off(
    path: str, asgi_server: str, pro: Person, provider: FakeProvider, settings: Any
) -> None:
    """Translated or native, and with what its cache gave."""
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    usage = {"input_tokens": 700, "cache_read_input_tokens": 77}
    whole = anthropic_blocks(
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": "Some words"}),
        usage=usage,
    )
    provider.will(Script([*whole.steps[:3], CUT]))
    body = {"model": "claude-sonnet-5-5", "messages": ASKED, "max_tokens": 50}

    with streaming(asgi_server, pro, path, **body) as response:
        assert "error" in response.read().decode()

    record = record_after(pro)
    assert (record.tokens_in, record.tokens_out) == (777, 2)
    assert (record.estimated, record.status) == (True, "error")


def test_q3_an_end_that_tells_the_input_anew_is_believed(
    pro: Person, provider: FakeProvider, settings: Any
) -> None:
    """Servers of Anthropic's wire that know the input only at the end."""
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 0}}}
    delta = {"type": "text_delta", "text": "So."}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 90, "output_tokens": 3},
    }
    piece = {"type": "content_block_delta", "index": 0, "delta": delta}
    provider.will(Script([named_sse(start), named_sse(piece), named_sse(end)]))
    body = {"model": "claude-sonnet-5-5", "messages": ASKED}

    told = pro.api.post("/v1/chat/completions", body, format="json").json()["usage"]

    assert (told["prompt_tokens"], told["completion_tokens"]) == (90, 3)


def test_retrieved_code_before_a_cursor_keeps_within_its_lines() -> None:
    long = passage(text="x = 1\n" * (fim.MAX_CONTEXT_LINES // 2))

    found = fim.as_comments([long, long, long], "python").splitlines()

    assert found[0] == "# Path: src/retries.py"
    assert len(found) == 1 + fim.MAX_CONTEXT_LINES // 2
