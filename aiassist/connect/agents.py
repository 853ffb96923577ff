"""Agents that work in a terminal."""

from collections.abc import Iterator

from aiassist.connect.parts import (
    ANSWER_TOKENS,
    MCP,
    MODEL,
    VARIABLE,
    Setup,
    Snippet,
    as_json,
    mcp_headers,
)


def claude_code(setup: Setup) -> Iterator[Snippet]:
    """Source: code.claude.com/docs/en/llm-gateway."""
    env = {
        "ANTHROPIC_BASE_URL": setup.origin,
        "ANTHROPIC_AUTH_TOKEN": setup.key,
        "ANTHROPIC_MODEL": MODEL,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL,
    }
    yield Snippet("~/.claude/settings.json", "json", as_json({"env": env}))
    if MCP in setup.served:
        yield Snippet(
            "Search your workspaces from it",
            "bash",
            f"claude mcp add --transport http aiassist {setup.origin}{MCP} \\\n"
            f'  --header "Authorization: Bearer {setup.key}"\n',
        )


def codex(setup: Setup) -> Iterator[Snippet]:
    """Source: developers.openai.com/codex/config-reference."""
    text = (
        f'model = "{MODEL}"\n'
        'model_provider = "aiassist"\n'
        f"model_context_window = {setup.context_tokens}\n"
        f"model_auto_compact_token_limit = {setup.prompt_tokens}\n"
        "\n"
        "[model_providers.aiassist]\n"
        'name = "aiassist"\n'
        f'base_url = "{setup.base}"\n'
        f'env_key = "{VARIABLE}"\n'
        'wire_api = "responses"\n'
    )
    if MCP in setup.served:
        text += (
            "\n[mcp_servers.aiassist]\n"
            f'url = "{setup.origin}{MCP}"\n'
            f'bearer_token_env_var = "{VARIABLE}"\n'
        )
    yield Snippet("~/.codex/config.toml", "toml", text)
    yield Snippet("Start it", "bash", f"export {VARIABLE}={setup.key}\ncodex\n")


def opencode(setup: Setup) -> Iterator[Snippet]:
    """Source: opencode.ai/docs/providers (custom provider)."""
    config: dict[str, object] = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "aiassist": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "aiassist",
                "options": {"baseURL": setup.base, "apiKey": setup.key},
                "models": {
                    MODEL: {
                        "name": "aiassist",
                        "limit": {
                            "context": setup.context_tokens,
                            "output": ANSWER_TOKENS,
                        },
                    }
                },
            }
        },
        "model": f"aiassist/{MODEL}",
    }
    if MCP in setup.served:
        config["mcp"] = {
            "aiassist": {
                "type": "remote",
                "url": f"{setup.origin}{MCP}",
                "headers": mcp_headers(setup),
            }
        }
    yield Snippet("~/.config/opencode/opencode.json", "json", as_json(config))


def qwen_code(setup: Setup) -> Iterator[Snippet]:
    """Source: qwenlm.github.io/qwen-code-docs (model providers)."""
    config: dict[str, object] = {
        "modelProviders": {
            "openai": [
                {
                    "id": MODEL,
                    "name": "aiassist",
                    "baseUrl": setup.base,
                    "envKey": VARIABLE,
                    "generationConfig": {"contextWindowSize": setup.context_tokens},
                }
            ]
        },
        "env": {VARIABLE: setup.key},
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": MODEL},
    }
    if MCP in setup.served:
        config["mcpServers"] = {
            "aiassist": {
                "httpUrl": f"{setup.origin}{MCP}",
                "headers": mcp_headers(setup),
            }
        }
    yield Snippet("~/.qwen/settings.json", "json", as_json(config))


def aider(setup: Setup) -> Iterator[Snippet]:
    """Source: aider.chat/docs/llms/openai-compat.html."""
    yield Snippet(
        ".aider.conf.yml",
        "yaml",
        f"openai-api-base: {setup.base}\n"
        f"openai-api-key: {setup.key}\n"
        f"model: openai/{MODEL}\n",
    )
    yield Snippet("Start it", "bash", "aider --no-show-model-warnings\n")
