"""Every answer carries a request id and the security headers."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import AsyncClient, Client

from aiassist.lib.request_ids import current_request_id
from aiassist.lib.security_headers import SECURITY_HEADERS
from tests.support.people import Person

# Public pages of each kind: a view, a page, the API, its errors, a static file.
PLACES = ("/health", "/", "/docs", "/api/v1/me", "/api/v1/nowhere", "/nowhere/")


def test_every_request_gets_an_id_of_its_own(client: Client):
    first, second = client.get("/health"), client.get("/health")

    assert re.fullmatch(r"req_[0-9A-Za-z]{22}", first["X-Request-ID"])
    assert first["X-Request-ID"] != second["X-Request-ID"]


def test_a_callers_own_id_is_kept(client: Client):
    answer = client.get("/health", headers={"X-Request-ID": "trace-0123.abc_9"})

    assert answer["X-Request-ID"] == "trace-0123.abc_9"


@pytest.mark.parametrize(
    "hostile",
    [
        "short",
        "x" * 65,
        "has space 123",
        'quote"quote"',
        "new\\nline-1234",
        "ümlaut-123",
    ],
)
def test_a_hostile_id_is_replaced(client: Client, hostile: str):
    answer = client.get("/health", headers={"X-Request-ID": hostile})

    assert answer["X-Request-ID"].startswith("req_")


async def test_async_requests_have_one_too(async_client: AsyncClient):
    answer = await async_client.get("/health", headers={"X-Request-ID": "abcdefgh"})

    assert answer["X-Request-ID"] == "abcdefgh"


def test_the_id_does_not_outlive_its_request(client: Client):
    client.get("/health", headers={"X-Request-ID": "abcdefgh"})

    assert current_request_id.get() == ""


@pytest.mark.parametrize("place", PLACES)
def test_every_page_carries_the_security_headers(client: Client, db: None, place: str):
    answer = client.get(place)

    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = {
        words[0]: words[1:]
        for words in map(str.split, answer["Content-Security-Policy"].split(";"))
        if words
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    for name, value in SECURITY_HEADERS.items():
        assert answer[name] == value


def test_probes_may_call_by_any_host_and_pages_may_not(client: Client, db: None):
    assert client.get("/health", headers={"Host": "10.0.0.7:8000"}).status_code == 200
    assert client.get("/", headers={"Host": "10.0.0.7:8000"}).status_code == 400


def test_a_listed_origin_may_call_the_api_and_others_may_not(
    client: Client, settings: object, db: None
):
    settings.CORS_ALLOWED_ORIGINS = ["https://editor.test"]  # type: ignore[attr-defined]

    ours = client.get("/api/v1/me", headers={"Origin": "https://editor.test"})
    foreign = client.get("/api/v1/me", headers={"Origin": "https://evil.test"})
    page = client.get("/", headers={"Origin": "https://editor.test"})

    assert ours["Access-Control-Allow-Origin"] == "https://editor.test"
    assert "Access-Control-Allow-Credentials" not in ours
    assert "Access-Control-Allow-Origin" not in foreign
    assert "Access-Control-Allow-Origin" not in page


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/v1/workspaces", "content-type, x-api-key, idempotency-key"),
        ("/v1/chat/completions", "authorization, x-stainless-lang, x-workspace-id"),
        ("/v1/messages", "anthropic-version, content-type, x-api-key"),
        ("/mcp", "authorization, mcp-protocol-version, mcp-session-id"),
    ],
)
def test_a_listed_origin_may_send_what_clients_send(
    path: str, sent: str, client: Client, settings: Any
):
    settings.CORS_ALLOWED_ORIGINS = ["https://editor.test"]

    preflight = client.options(
        path,
        headers={
            "Origin": "https://editor.test",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": sent,
        },
    )

    allowed = preflight["Access-Control-Allow-Headers"].split(", ")
    assert set(sent.split(", ")) <= set(allowed)


async def read(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


async def test_a_static_file_is_sent_whole_and_without_a_warning(
    async_client: AsyncClient,
):
    file = Path(finders.find("css/tokens.css") or "")

    answer: Any = await async_client.get("/static/css/tokens.css")

    assert answer.is_async  # else Django reads it at once, and warns
    assert await read(answer) == file.read_bytes()
    answer.close()


async def test_an_unchanged_static_file_has_no_body(async_client: AsyncClient):
    first = await async_client.get("/static/css/tokens.css")
    first.close()

    again = await async_client.get(
        "/static/css/tokens.css",
        headers={"If-Modified-Since": first["Last-Modified"]},
    )

    assert again.status_code == 304


async def test_a_part_of_a_static_file_is_that_part(async_client: AsyncClient):
    file = Path(finders.find("css/tokens.css") or "")

    answer = await async_client.get(
        "/static/css/tokens.css", headers={"Range": "bytes=2-9"}
    )

    assert answer.status_code == 206
    assert await read(answer) == file.read_bytes()[2:10]
    answer.close()


@pytest.mark.parametrize("path", ["/", "/dashboard/", "/api/v1/me"])
def test_u5_a_cookie_with_a_nul_is_refused(db: None, path: str):
    # As browsers quote what a cookie may not hold; Django reads it as a NUL.
    answer = Client().get(path, headers={"Cookie": r'sessionid="0123456789\000"'})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/admin/accounts/auditevent/", "/admin/accounts/user/", "/guides/"]
)
def test_a_question_with_a_nul_is_refused(stella: Person, path: str):
    assert stella.web.get(f"{path}?kind=%00").status_code == 400


@pytest.mark.parametrize("path", ["/dashboard/", "/accounts/email/", "/", "/nowhere"])
def test_a_page_of_somebodys_is_kept_by_no_cache(alice: Person, path: str):
    assert alice.web.get(path)["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/nowhere", "/v1/models"])
@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_an_answer_to_a_credential_is_kept_by_no_cache(
    alice: Person, header: str, path: str
):
    credential = f"Bearer {alice.key}" if header == "Authorization" else alice.key

    answer = Client().get(path, headers={header: credential})

    assert answer["Cache-Control"] == "private, no-store"


def test_caches_may_keep_what_anybody_gets(client: Client, alice: Person):
    style = alice.web.get("/static/css/base.css")
    style.close()

    assert "no-store" not in style["Cache-Control"]
    assert "Cache-Control" not in client.get("/health/nowhere")
