"""Find a line with search_code, then ask the model, over the SDK's generation 2."""

import asyncio
import json
import sys
from pathlib import Path

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

SERVER = json.loads(Path("mcp.json").read_text())["mcpServers"]["aiassist"]


async def main() -> None:
    async with httpx2.AsyncClient(headers=SERVER["headers"], timeout=60) as http:
        transport = streamable_http_client(SERVER["url"], http_client=http)
        async with Client(transport) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"search_code", "list_workspaces", "read_file", "ask"} <= names
            found = await client.call_tool("search_code", {"query": "how long to wait"})
            assert not found.is_error, found
            assert "retry_delay" in found.content[0].text, found
            said = await client.call_tool("ask", {"question": sys.argv[1]})
            assert not said.is_error, said
            print(said.structured_content["answer"])


asyncio.run(main())
