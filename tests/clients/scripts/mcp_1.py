"""Find a line with search_code, then ask the model, over the SDK's generation 1."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

SERVER = json.loads(Path("mcp.json").read_text())["mcpServers"]["aiassist"]


async def main() -> None:
    async with streamablehttp_client(
        SERVER["url"], headers=SERVER["headers"]
    ) as streams:
        async with ClientSession(*streams[:2]) as session:
            await session.initialize()
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert {"search_code", "list_workspaces", "read_file", "ask"} <= names
            found = await session.call_tool(
                "search_code", {"query": "how long to wait"}
            )
            assert not found.isError, found
            assert "retry_delay" in found.content[0].text, found
            said = await session.call_tool("ask", {"question": sys.argv[1]})
            assert not said.isError, said
            print(said.structuredContent["answer"])


asyncio.run(main())
