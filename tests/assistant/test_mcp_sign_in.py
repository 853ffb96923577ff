"""MCP's official client signs a person in: it needs the address alone, no key."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from pydantic import AnyUrl

from accounts.models import TokenFamily
from aiassist.lib.db import in_db
from tests.accounts.test_identity import consent_at
from tests.support.people import Person

BACK = "http://localhost:33418/callback"


class Drawer:
    """What the client remembers between two starts."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


class Browser:
    """Opens the address that the client asks for, and allows what it wants."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.came_back: dict[str, list[str]] = {}

    async def open(self, address: str) -> None:
        asked = urlsplit(address)
        _, sent = await in_db(
            consent_at, self.person, f"{asked.path}?{asked.query}", asked.netloc
        )
        assert sent["Location"].startswith(f"{BACK}?")
        self.came_back = parse_qs(urlsplit(sent["Location"]).query)

    async def wait(self) -> AuthorizationCodeResult:
        got = {name: values[0] for name, values in self.came_back.items()}
        return AuthorizationCodeResult(
            code=got["code"], state=got["state"], iss=got["iss"]
        )


async def test_an_mcp_client_without_a_key_signs_its_person_in(
    asgi_server: str, alice: Person
) -> None:
    drawer, browser = Drawer(), Browser(alice)
    sign_in = OAuthClientProvider(
        f"{asgi_server}/mcp",
        OAuthClientMetadata(client_name="Some agent", redirect_uris=[AnyUrl(BACK)]),
        drawer,
        redirect_handler=browser.open,
        callback_handler=browser.wait,
    )
    async with httpx2.AsyncClient(auth=sign_in, timeout=20) as http:
        transport = streamable_http_client(f"{asgi_server}/mcp", http_client=http)
        async with Client(transport) as client:
            listed = await client.call_tool("list_workspaces", {})

    assert listed.is_error is False
    apps = TokenFamily.objects.values_list("client__name", flat=True)
    assert await in_db(list, apps) == ["Some agent"]
    assert set(drawer.tokens.scope.split()) == {"assistant", "search", "workspaces"}
