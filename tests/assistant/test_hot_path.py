"""What a metered call asks of the database and of Redis, once all is known."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from aiassist.lib import shared_breaker
from assistant.gateway import known, turn, vitals
from assistant.providers.vendors import VENDORS
from billing.metering import entry
from billing.metering.outbox import outbox
from tests.assistant.asking import streaming
from tests.assistant.code import indexed
from tests.assistant.test_own_keys import TlsProvider, given, theirs
from tests.fakes.providers import FakeProvider, openai_stream
from tests.support.people import Person

OWN = "/api/v1/assistant"
HI = [{"role": "user", "content": "Hi"}]
CODE = {"code": "x = 1", "language": "python"}
CHAT: dict[str, Any] = {"model": "gpt-6-sol", "messages": HI}
HOT: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "gpt-6-sol", "prompt": "x = "},
    "/v1/messages": CHAT | {"max_tokens": 9},
    "/v1/responses": {"model": "gpt-6-sol", "input": "Hi"},
    f"{OWN}/chat": {"messages": HI},
    f"{OWN}/explain": CODE,
    f"{OWN}/generate": {"instruction": "Sort it", "language": "python"},
    f"{OWN}/complete": {"prefix": "x = ", "language": "python"},
}
SCRIPTS = ("eval", "evalsha", "fcall")
__all__ = ["theirs"]  # a fixture
Asked = Callable[[str, dict[str, Any]], tuple[int, int, int]]


@pytest.fixture
def asked(
    asgi_server: str,
    pro: Person,
    openai: FakeProvider,
    settings: Any,
    redis_client: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Asked]:
    """Streams an answer; returns its status, queries and scripts run in Redis."""
    # What a timer reads, or one call in a second or many.
    monkeypatch.setattr(shared_breaker, "REFRESH_SECONDS", 60.0)
    monkeypatch.setattr(vitals, "TOLD_SECONDS", 60.0)
    monkeypatch.setattr(entry, "CACHED_MS", 60_000)
    monkeypatch.setattr(known, "OWN_KEYS_SECONDS", 60.0)
    monkeypatch.setattr(turn, "RECHECK_SECONDS", 60.0)
    settings.CATALOGUE_CACHE_SECONDS = 60.0
    settings.USAGE_WRITE_SECONDS = 60  # records are written in batches, later
    openai.default = openai_stream("Hello")
    queries: list[str] = []
    execute = CursorWrapper.execute

    def noted(self: Any, sql: Any, params: Any = None) -> Any:
        queries.append(str(sql))
        return execute(self, sql, params)

    def n_scripts() -> int:
        stats = redis_client.info("commandstats")
        return sum(stats.get(f"cmdstat_{n}", {}).get("calls", 0) for n in SCRIPTS)

    def ask(path: str, body: dict[str, Any]) -> tuple[int, int, int]:
        before, n_queries = n_scripts(), len(queries)
        with streaming(asgi_server, pro, path, **body) as response:
            said = response.read()
        assert b'"error":{' not in said and b"event: error" not in said
        return response.status_code, len(queries) - n_queries, n_scripts() - before

    monkeypatch.setattr(CursorWrapper, "execute", noted)
    yield ask
    monkeypatch.undo()
    outbox.write()


def test_the_hot_path_asks_no_database_and_redis_twice(asked: Asked) -> None:
    for path, body in HOT.items():  # fills the caches, and the upstream's page
        asked(path, body)

    found = {path: asked(path, body) for path, body in HOT.items()}

    assert found == dict.fromkeys(HOT, (200, 0, 2))


def test_a_key_of_ones_own_asks_no_database_either(
    asked: Asked, pro: Person, theirs: TlsProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VENDORS, "openai", theirs.base_url)
    assert given(pro, theirs, base_url="").status_code == 201
    theirs.default = openai_stream("from theirs")
    for path, body in HOT.items():
        asked(path, body | {"model": "openai/gpt-6-sol"})

    found = {p: asked(p, HOT[p] | {"model": "openai/gpt-6-sol"}) for p in HOT}

    assert found == dict.fromkeys(HOT, (200, 0, 2))
    assert len(theirs.chats) == 2 * len(HOT)


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"message": "How long is waited?"}, 12),
        ({"messages": HI, "workspace_id": "mine"}, 14),
        ({"message": "How long is waited?", "workspace_id": "mine"}, 25),
    ],
    ids=["kept", "with code", "kept, with code"],
)
def test_who_needs_rows_of_text_asks_a_few_times_and_never_for_a_token(
    body: dict[str, Any],
    most: int,
    asked: Asked,
    pro: Person,
    openai: FakeProvider,
    vectors: Any,
) -> None:
    """What was said before and the passages found are rows of the database."""
    if "workspace_id" in body:
        body = body | {"workspace_id": indexed(pro).pk}
    asked(f"{OWN}/chat", body)

    few = asked(f"{OWN}/chat", body)
    openai.default = openai_stream(*["word "] * 50)
    many = asked(f"{OWN}/chat", body)

    assert few == many
    assert (few[0], few[2]) == (200, 2)
    assert 0 < few[1] <= most
