"""/mcp: what agents find and may do, by the official client, in both generations."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from django.test import Client as Browser
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from accounts.keys import create_key
from aiassist.lib.db import in_db
from tests.assistant.asking import records_of
from tests.assistant.code import indexed
from tests.fakes.providers import HOLD, FakeProvider, Script, failure, openai_stream
from tests.support.people import Person

GENERATIONS = ["legacy", "2026-07-28"]


@asynccontextmanager
async def agent(site: str, key: str, mode: str = "auto") -> AsyncIterator[Any]:
    """The official client, connected."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        transport = streamable_http_client(f"{site}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def call(person: Person, tool: str, **arguments: Any) -> Any:
    """Call a tool by hand; return the HTTP answer."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }
    return person.api.post(
        "/mcp",
        json.dumps(message),
        content_type="application/json",
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-06-18",
        },
    )


def told(answer: Any) -> dict[str, Any]:
    """Return a refusal's code and sentence."""
    result = answer.json()["result"]
    assert result["isError"] is True
    found: dict[str, Any] = result["structuredContent"]
    assert json.loads(result["content"][0]["text"]) == found
    return found


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_an_agent_finds_its_way_from_workspace_to_answer(
    mode: str, asgi_server: str, alice: Person, vectors: Any
) -> None:
    workspace = await in_db(indexed, alice)
    key = await in_db(lambda: alice.key)

    async with agent(asgi_server, key, mode) as client:
        tools = (await client.list_tools()).tools
        listed = await client.call_tool("list_workspaces", {})
        found = await client.call_tool(
            "search_code", {"query": "retry delay", "max_results": 3}
        )
        hit = found.structured_content["results"][0]
        read = await client.call_tool(
            "read_file",
            {
                "workspace_id": workspace.pk,
                "path": hit["path"],
                "start_line": hit["start_line"],
                "end_line": hit["end_line"],
            },
        )
        asked = await client.call_tool(
            "ask",
            {
                "question": "How is the retry delay computed?",
                "workspace_id": workspace.pk,
                "model": "extractive",
            },
        )

    assert [tool.name for tool in tools] == [
        *("search_code", "list_workspaces", "read_file", "ask"),
    ]
    assert [w["id"] for w in listed.structured_content["workspaces"]] == [workspace.pk]
    assert hit["path"] == "src/retries.py"
    assert "retry_delay" in read.structured_content["text"]
    assert "src/retries.py:" in asked.structured_content["answer"]
    assert asked.structured_content["citations"][0]["path"] == "src/retries.py"
    records = await in_db(records_of, alice)
    assert [(r.feature, r.endpoint) for r in records] == [
        ("search", "POST /mcp"),
        ("basic_chat", "POST /mcp"),
    ]


def test_without_a_credential_the_way_to_one_is_told(alice: Person) -> None:
    """A session's cookie opens nothing: other sites could send it along."""
    for client in (Browser(), alice.web):
        answered = client.post("/mcp", "{}", content_type="application/json")

        assert answered.status_code == 401
        challenge = answered.headers["WWW-Authenticate"]
        assert 'resource_metadata="http://testserver/.well-known/' in challenge
        assert challenge.endswith('scope="assistant search workspaces"')
    url = challenge.split('resource_metadata="')[1].split('"')[0]
    metadata = Browser().get(url.removeprefix("http://testserver")).json()
    assert metadata["resource"] == "http://testserver/mcp"
    assert "search" in metadata["scopes_supported"]


def test_a_wrong_key_is_401_and_get_is_405(alice: Person) -> None:
    wrong = Browser().post(
        "/mcp",
        "{}",
        content_type="application/json",
        headers={"Authorization": "Bearer aia_nonsense"},
    )

    assert wrong.status_code == 401
    assert wrong.json()["code"] == "malformed_credential"
    assert alice.api.get("/mcp").status_code == 405


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("https://ide.example.com", 200),
        ("https://testserver", 403),
        ("http://testserver:8001", 403),
        ("https://evil.example.com", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_origin_may_not_call_it(
    origin: str, status: int, alice: Person, settings: Any
) -> None:
    """Its name may lead here by now (DNS rebinding); programs send no Origin."""
    settings.CORS_ALLOWED_ORIGINS = ["https://ide.example.com"]
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    answered = alice.api.post(
        "/mcp",
        json.dumps(listing),
        content_type="application/json",
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-06-18",
            "Origin": origin,
        },
    )

    assert answered.status_code == status
    assert ("result" in answered.json()) == (status == 200)


def test_t2_a_strangers_workspace_is_like_an_unknown_one(
    alice: Person, charlie: Person
) -> None:
    for tool, more in (
        ("search_code", {"query": "x"}),
        ("read_file", {"path": "a.py"}),
        ("ask", {"question": "x?", "model": "extractive"}),
    ):
        foreign = call(charlie, tool, workspace_id=alice.workspace.pk, **more)
        unknown = call(charlie, tool, workspace_id="workspace_nobodys", **more)

        assert told(foreign) == told(unknown)
        assert told(foreign)["code"] == "not_found"
    listed = call(charlie, "list_workspaces").json()["result"]["structuredContent"]
    assert listed == {"workspaces": []}


def test_a_key_without_the_scope_is_told_so(alice: Person) -> None:
    _, secret = create_key(alice.user, "narrow", ["usage"])
    alice.api.credentials(HTTP_X_API_KEY=secret)

    for tool in ("search_code", "list_workspaces", "read_file", "ask"):
        assert told(call(alice, tool))["code"] == "scope_missing"
    assert records_of(alice) == []


def test_bad_arguments_are_named(alice: Person) -> None:
    refused = told(call(alice, "search_code", query="x", max_results=1000))
    assert refused["code"] == "validation_failed"
    assert refused["errors"][0]["field"] == "max_results"
    assert told(call(alice, "read_file", path="x"))["errors"][0]["field"] == (
        "workspace_id"
    )
    assert "error" in call(alice, "nothing").json()
    assert records_of(alice) == []


def test_a_used_up_quota_is_told_with_when_it_resets(alice: Person) -> None:
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up

    Tier.objects.filter(pk="free").update(requests_per_hour=1)
    first = call(alice, "search_code", query="x")
    second = call(alice, "search_code", query="x")

    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert told(second)["code"] == "quota_exceeded"
    assert told(second)["resets_at"]
    assert int(second.headers["Retry-After"]) > 0


async def test_s1_an_agent_that_leaves_ends_the_answer(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("Some", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, HOLD]))
    key = await in_db(lambda: pro.key)

    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "ask", "arguments": {"question": "x?"}},
    }
    headers = {"X-API-Key": key, "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(timeout=0.7) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(f"{asgi_server}/mcp", json=message, headers=headers)

    await asyncio.to_thread(
        openai.wait_until, lambda: openai.chats[0].closed_at is not None
    )


def test_a_session_opens_nothing_and_two_keys_are_too_many(
    alice: Person, charlie: Person
) -> None:
    assert alice.web.post("/mcp", {}, "application/json").status_code == 401

    answer = alice.api.post(
        "/mcp", {}, headers={"Authorization": f"Bearer {charlie.key}"}
    )

    assert answer.status_code == 400
    assert "WWW-Authenticate" not in answer.headers


def test_q12_a_failing_provider_is_told_and_costs_nothing(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(400))

    answer = call(pro, "ask", question="Hi", model="openai/gpt-6-sol")

    assert told(answer)["code"].startswith("provider_")
    assert answer["x-ratelimit-remaining-requests"] == "500"
    assert records_of(pro) == []
