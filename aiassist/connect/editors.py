"""Editors and their plugins."""

from collections.abc import Iterator

from aiassist.connect.parts import (
    ANSWER_TOKENS,
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MCP,
    MODEL,
    Setup,
    Snippet,
    as_json,
    mcp_headers,
)


def vscode(setup: Setup) -> Iterator[Snippet]:
    """Source: code.visualstudio.com/docs/copilot (custom endpoint, MCP servers)."""
    model = {
        "id": MODEL,
        "name": "aiassist",
        "url": f"{setup.origin}{CHAT}",
        "toolCalling": True,
        "vision": False,
        "maxInputTokens": max(1000, setup.context_tokens - ANSWER_TOKENS // 4),
        "maxOutputTokens": ANSWER_TOKENS,
    }
    provider = {
        "name": "aiassist",
        "vendor": "customendpoint",
        "apiKey": setup.key,
        "apiType": "chat-completions",
        "models": [model],
    }
    yield Snippet("chatLanguageModels.json", "json", as_json([provider]))
    if MCP in setup.served:
        server = {
            "type": "http",
            "url": f"{setup.origin}{MCP}",
            "headers": mcp_headers(setup),
        }
        yield Snippet(
            ".vscode/mcp.json", "json", as_json({"servers": {"aiassist": server}})
        )


def continue_(setup: Setup) -> Iterator[Snippet]:
    """Source: docs.continue.dev/reference (config.yaml)."""
    lines = [
        "name: aiassist",
        "version: 1.0.0",
        "schema: v1",
        "models:",
        *_continue_model(setup, "aiassist", ("chat", "edit", "apply")),
        "    defaultCompletionOptions:",
        f"      contextLength: {setup.context_tokens}",
        f"      maxTokens: {ANSWER_TOKENS}",
    ]
    if COMPLETIONS in setup.served:
        lines += _continue_model(setup, "aiassist completion", ("autocomplete",))
        lines.append("    useLegacyCompletionsEndpoint: true")
    if EMBEDDINGS in setup.served:
        lines += _continue_model(setup, "aiassist embeddings", ("embed",))
    if MCP in setup.served:
        lines += [
            "mcpServers:",
            "  - name: aiassist",
            "    type: streamable-http",
            f"    url: {setup.origin}{MCP}",
            "    requestOptions:",
            "      headers:",
            f"        Authorization: Bearer {setup.key}",
        ]
    yield Snippet("~/.continue/config.yaml", "yaml", "\n".join(lines) + "\n")


def _continue_model(setup: Setup, name: str, roles: tuple[str, ...]) -> list[str]:
    return [
        f"  - name: {name}",
        "    provider: openai",
        f"    model: {MODEL}",
        f"    apiBase: {setup.base}",
        f"    apiKey: {setup.key}",
        f"    roles: [{', '.join(roles)}]",
    ]


def cline(setup: Setup) -> Iterator[Snippet]:
    rows = (
        ("API Provider", "OpenAI Compatible"),
        ("Base URL", setup.base),
        ("OpenAI Compatible API Key", setup.key),
        ("Model ID", MODEL),
        ("Context Window Size", str(setup.context_tokens)),
        ("Max Output Tokens", str(ANSWER_TOKENS)),
    )
    text = "".join(f"{name:<26} {value}\n" for name, value in rows)
    yield Snippet("Settings of Cline", "text", text)
    yield Snippet(
        "Cline in a terminal",
        "bash",
        "cline auth openai-compatible \\\n"
        f"  --apikey {setup.key} \\\n"
        f"  --baseurl {setup.base} \\\n"
        f"  --modelid {MODEL}\n",
    )
    if MCP in setup.served:
        yield Snippet(
            "Search your workspaces from the terminal",
            "bash",
            f"cline mcp add aiassist {setup.origin}{MCP} \\\n"
            "  --transport streamable-http --yes \\\n"
            f'  --header "Authorization: Bearer {setup.key}"\n',
        )


def tabby(setup: Setup) -> Iterator[Snippet]:
    """Source: tabby.tabbyml.com/docs/extensions/configurations."""
    yield Snippet(
        "~/.tabby-client/agent/config.toml",
        "toml",
        f'[server]\nendpoint = "{setup.origin}"\ntoken = "{setup.key}"\n',
    )
