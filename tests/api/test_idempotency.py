"""Q13: `Idempotency-Key`: one effect, replayed answer, per user, 24 h."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from django.db import OperationalError

from accounts.idempotency import MAX_ANSWER_BYTES, forget_old
from accounts.keys import create_key, revoke_key
from accounts.models import ApiKey, IdempotentCall
from accounts.scopes import ALL_SCOPES
from aiassist.lib.clock import now
from assistant.gateway import turn
from tests.assistant.asking import (
    allow,
    open_holds,
    records_of,
    settled_after,
    streaming,
)
from tests.assistant.conftest import on_tier
from tests.fakes.providers import HOLD, FakeProvider, Script, failure, openai_stream
from tests.support import pool
from tests.support.people import Person
from tests.support.ports import wait_for
from workspaces.models import Workspace

KEY: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "7f2b6c1e-one"}
HEADER = {"Idempotency-Key": "7f2b6c1e-one"}


def make(person: Person, name: str = "code", **headers: Any) -> Any:
    body = {"name": name}
    return person.api.post("/api/v1/workspaces", body, format="json", **(KEY | headers))


def names(person: Person) -> list[str]:
    rows = Workspace.objects.for_user(person.user)
    return list(rows.values_list("name", flat=True))


def test_q13_twice_is_once_and_answers_alike(alice: Person) -> None:
    first, again = make(alice), make(alice)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Content-Type"] == first["Content-Type"]
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert names(alice) == ["code"]


def test_q13_without_a_key_twice_is_twice(alice: Person) -> None:
    for _ in range(2):
        alice.api.post("/api/v1/workspaces", {"name": "code"}, format="json")

    assert len(names(alice)) == 2
    assert not IdempotentCall.objects.exists()


def test_q13_another_body_or_address_is_refused(alice: Person) -> None:
    make(alice)
    other = make(alice, name="other")
    elsewhere = alice.api.post("/api/v1/limits/check", {}, format="json", **KEY)

    for answer in (other, elsewhere):
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key_reused"
    assert names(alice) == ["code"]


def test_q13_another_users_key_is_another(alice: Person, charlie: Person) -> None:
    mine, theirs = make(alice), make(charlie)

    assert theirs.status_code == 201
    assert "Idempotent-Replayed" not in theirs
    assert theirs.json()["id"] != mine.json()["id"]


def test_q13_a_refused_call_may_be_sent_again(alice: Person) -> None:
    allow(alice, max_workspaces=0)
    assert 400 <= make(alice).status_code < 500
    allow(alice, max_workspaces=5)

    assert make(alice).status_code == 201


def test_q13_after_a_day_the_key_is_new(alice: Person) -> None:
    make(alice)
    row = IdempotentCall.objects.get()
    assert timedelta(hours=23) < row.expires_at - now() <= timedelta(hours=24)
    IdempotentCall.objects.update(expires_at=now())

    assert "Idempotent-Replayed" not in make(alice)
    assert len(names(alice)) == 2


def test_q13_what_has_run_out_is_forgotten(alice: Person) -> None:
    make(alice)
    assert forget_old() == 0
    IdempotentCall.objects.update(expires_at=now())
    assert forget_old() == 1


def test_q13_one_that_still_runs_is_waited_for(alice: Person) -> None:
    make(alice)
    IdempotentCall.objects.update(state="running")
    answer = make(alice)

    assert (answer.status_code, answer["Retry-After"]) == (409, "1")
    assert answer.json()["code"] == "idempotency_in_progress"


@pytest.mark.parametrize("key", ["", "two words", "ü", "k" * 256])
def test_q13_a_bad_key_is_refused(key: str, alice: Person) -> None:
    answer = make(alice, HTTP_IDEMPOTENCY_KEY=key)

    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_idempotency_key"


def test_q13_u3_an_answer_that_holds_a_secret_is_kept_sealed(alice: Person) -> None:
    _, secret = create_key(alice.user, "all", ALL_SCOPES)
    alice.api.credentials(HTTP_X_API_KEY=secret)
    made = [
        alice.api.post("/api/v1/keys", {"name": "new"}, format="json", **KEY).json()
        for _ in range(2)
    ]

    assert made[0]["key"] == made[1]["key"]
    assert ApiKey.objects.for_user(alice.user).filter(name="new").count() == 1
    kept = json.dumps(list(IdempotentCall.objects.values()), default=str)
    assert made[0]["key"] not in kept
    assert HEADER["Idempotency-Key"] not in kept, "the key opens the answer"


def test_q13_a_key_with_fewer_rights_does_not_get_the_answer(alice: Person) -> None:
    make(alice)
    _, secret = create_key(alice.user, "search", ["search"])
    alice.api.credentials(HTTP_X_API_KEY=secret)

    assert make(alice).status_code == 422


def test_q13_a_wrong_credential_gets_nothing(alice: Person) -> None:
    make(alice)
    alice.api.credentials(HTTP_X_API_KEY="aia_wrong")

    assert make(alice).status_code == 401


CHAT = {
    "model": "openai/gpt-6-sol",
    "messages": [{"role": "user", "content": "How?"}],
}


@pytest.fixture
def openai(settings: Any) -> Iterator[FakeProvider]:
    fake = FakeProvider().start()
    settings.OPENAI_BASE_URL = f"{fake.url}/openai/v1"
    settings.OPENAI_API_KEY = "k"
    yield fake
    fake.stop()


def send(site: str, person: Person, path: str, **body: Any) -> httpx2.Response:
    headers = HEADER | {"x-api-key": person.key}
    return httpx2.post(site + path, json=body, headers=headers, timeout=30)


def test_q13_in_parallel_one_is_carried_out(asgi_server: str, alice: Person) -> None:
    def one(_: int) -> httpx2.Response:
        return send(asgi_server, alice, "/api/v1/workspaces", name="code")

    assert alice.key  # made here, not by one of the threads
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(24)))

    counts = Counter(answer.status_code for answer in answers)
    assert counts.keys() <= {201, 409}
    assert counts[201] >= 1
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
    assert len(names(alice)) == 1


def test_s8_a_call_with_a_key_gives_its_connection_back(
    asgi_server: str, alice: Person
) -> None:
    assert send(asgi_server, alice, "/api/v1/workspaces", name="code").is_success

    wait_for(lambda: pool.in_use() == 0, what="the pool")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"stream": True}),
        ("/v1/messages", CHAT | {"max_tokens": 50, "stream": True}),
        ("/api/v1/assistant/chat", {"message": "How?", "stream": True}),
        ("/api/v1/assistant/chat", {"message": "How?"}),
    ],
)
def test_q13_an_answer_is_charged_once_and_replayed(
    path: str,
    body: dict[str, Any],
    asgi_server: str,
    alice: Person,
    openai: FakeProvider,
) -> None:
    on_tier(alice, "pro")
    openai.will(openai_stream("one", " answer"))
    first = send(asgi_server, alice, path, **body)
    wait_for(
        lambda: IdempotentCall.objects.get().state == "done",
        what="the answer to be kept",
    )
    again = send(asgi_server, alice, path, **body)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len(openai.chats) == 1
    assert len(settled_after(alice, 1)) == 1


def test_q13_a_provider_that_failed_is_asked_again(
    asgi_server: str, alice: Person, openai: FakeProvider
) -> None:
    on_tier(alice, "pro")
    openai.will(failure(400), openai_stream("now"))
    asked: Any = {"headers": HEADER, "message": "How?", "model": CHAT["model"]}
    with streaming(asgi_server, alice, **asked) as first:
        assert b"provider_rejected" in first.read()
    wait_for(lambda: not IdempotentCall.objects.exists())

    with streaming(asgi_server, alice, **asked) as again:
        assert b"now" in again.read()


def test_q13_s1_a_stream_that_was_left_is_not_made_twice(
    asgi_server: str, alice: Person, openai: FakeProvider
) -> None:
    on_tier(alice, "pro")
    openai.will(Script([*openai_stream("one", done=False, finish="").steps, HOLD]))
    url, headers = (
        f"{asgi_server}/v1/chat/completions",
        HEADER | {"x-api-key": alice.key},
    )
    with httpx2.stream(
        "POST", url, json=CHAT | {"stream": True}, headers=headers, timeout=20
    ) as response:
        assert b"one" in next(response.iter_raw())
    wait_for(lambda: IdempotentCall.objects.get().state == "lost", seconds=10)
    again = httpx2.post(url, json=CHAT | {"stream": True}, headers=headers, timeout=20)

    assert again.status_code == 409
    assert again.json()["error"]["code"] == "idempotent_answer_lost"
    assert len(openai.chats) == 1
    assert len(settled_after(alice, 1)) == 1


def test_q13_who_hangs_up_on_a_whole_answer_gets_it_later(
    asgi_server: str, alice: Person, openai: FakeProvider
) -> None:
    on_tier(alice, "pro")
    openai.will(openai_stream("late", pause=1.0))
    url, headers = (
        f"{asgi_server}/v1/chat/completions",
        HEADER | {"x-api-key": alice.key},
    )
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(url, json=CHAT, headers=headers, timeout=0.5)
    wait_for(lambda: IdempotentCall.objects.get().state == "done", seconds=10)

    assert "late" in httpx2.post(url, json=CHAT, headers=headers, timeout=20).text
    assert len(openai.chats) == 1
    assert len(records_of(alice)) == 1


@pytest.mark.parametrize("ends_by", ["the time limit", "a revoked key"])
def test_q13_s1_a_whole_answer_that_nobody_waits_for_is_bounded(
    ends_by: str,
    asgi_server: str,
    alice: Person,
    openai: FakeProvider,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It frees what it holds, and the key may be used again."""
    on_tier(alice, "pro")
    openai.will(Script([HOLD], content_type="application/json"))
    if ends_by == "the time limit":
        settings.PROVIDER_TOTAL_TIMEOUT_SECONDS = 1.0
    monkeypatch.setattr(turn, "RECHECK_SECONDS", 0.5)
    key, secret = create_key(alice.user, "other", ALL_SCOPES)
    headers = HEADER | {"x-api-key": secret}
    with pytest.raises(httpx2.TimeoutException):
        url = f"{asgi_server}/v1/chat/completions"
        httpx2.post(url, json=CHAT, headers=headers, timeout=0.4)
    if ends_by == "a revoked key":
        revoke_key(key)

    openai.wait_until(lambda: not openai.open_chats)
    wait_for(lambda: not IdempotentCall.objects.exists())
    assert open_holds(alice) == 0


def test_q13_an_answer_too_large_to_keep_says_so(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.idempotency.MAX_ANSWER_BYTES", 10)
    assert MAX_ANSWER_BYTES > 10
    make(alice)
    answer = make(alice)

    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotent_answer_lost"
    assert names(alice) == ["code"]


def test_q13_without_the_database_nothing_is_made(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the call was made before cannot be known."""

    def away(*args: object) -> None:
        raise OperationalError

    monkeypatch.setattr("accounts.idempotency.begin", away)
    answer = make(alice)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert names(alice) == []
