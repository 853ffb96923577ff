"""The Model Context Protocol at /mcp: a door, a server by the official SDK, tools."""
