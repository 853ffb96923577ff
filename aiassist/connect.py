"""Which clients can be pointed at this site, and the exact configuration of each.

A client is shown only where the faces that it speaks to are served. The files' forms
are the clients' own; `tests/web/clients/` holds one golden file for each.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.urls import Resolver404, resolve

from accounts.scopes import ASSISTANT, SEARCH, WORKSPACES
from aiassist.lib.errors import NotFound

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
MCP = "/mcp"
TABBY = "/v1/health"

# The model's name that takes whatever the installation offers first.
MODEL = "auto"
ANSWER_TOKENS = 4096
VARIABLE = "AIASSIST_KEY"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a configuration is made of."""

    origin: str  # such as https://code.example.org
    key: str
    context_tokens: int  # what the tier sends to a model at most
    served: frozenset[str]  # the faces of this installation
    workspace_id: str = ""

    @property
    def base(self) -> str:
        return f"{self.origin}/v1"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One file, or one command, to copy."""

    title: str  # where it goes
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """An editor, agent or script, and how it is set up."""

    slug: str
    name: str
    kind: str
    summary: str
    needs: tuple[str, ...]
    snippets: Callable[[Setup], Iterator[Snippet]]
    hint: str = ""
    scopes: tuple[str, ...] = (ASSISTANT, SEARCH)
    least_context: int = 0  # tokens that its own prompt and tools alone take


def served_faces() -> frozenset[str]:
    """Return those faces that have an address here."""
    faces = (CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, MCP, TABBY)
    return frozenset(face for face in faces if _is_served(face))


def available_clients() -> list[Client]:
    """Return the clients whose faces are served, in the order of the page."""
    served = served_faces()
    return [client for client in CLIENTS if served.issuperset(client.needs)]


def get_client(slug: str) -> Client:
    """Return a client that can be used here. Raises NotFound."""
    found = next((c for c in available_clients() if c.slug == slug), None)
    if found is None:
        raise NotFound
    return found


def _is_served(address: str) -> bool:
    try:
        resolve(address)
    except Resolver404:
        return False
    return True


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _mcp_headers(setup: Setup) -> dict[str, str]:
    return {"Authorization": f"Bearer {setup.key}"}


def _vscode(setup: Setup) -> Iterator[Snippet]:
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
    yield Snippet("chatLanguageModels.json", "json", _json([provider]))
    if MCP in setup.served:
        server = {
            "type": "http",
            "url": f"{setup.origin}{MCP}",
            "headers": _mcp_headers(setup),
        }
        yield Snippet(
            ".vscode/mcp.json", "json", _json({"servers": {"aiassist": server}})
        )


def _continue(setup: Setup) -> Iterator[Snippet]:
    """Source: docs.continue.dev/reference (config.yaml)."""
    lines = [
        "name: aiassist",
        "version: 1.0.0",
        "schema: v1",
        "models:",
        *_continue_model(setup, "aiassist", ("chat", "edit", "apply")),
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


def _cline(setup: Setup) -> Iterator[Snippet]:
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


def _aider(setup: Setup) -> Iterator[Snippet]:
    """Source: aider.chat/docs/llms/openai-compat.html."""
    yield Snippet(
        ".aider.conf.yml",
        "yaml",
        f"openai-api-base: {setup.base}\n"
        f"openai-api-key: {setup.key}\n"
        f"model: openai/{MODEL}\n",
    )
    yield Snippet("Start it", "bash", "aider --no-show-model-warnings\n")


def _opencode(setup: Setup) -> Iterator[Snippet]:
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
                "headers": _mcp_headers(setup),
            }
        }
    yield Snippet("~/.config/opencode/opencode.json", "json", _json(config))


def _codex(setup: Setup) -> Iterator[Snippet]:
    """Source: developers.openai.com/codex/config-reference."""
    text = (
        f'model = "{MODEL}"\n'
        'model_provider = "aiassist"\n'
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


def _claude_code(setup: Setup) -> Iterator[Snippet]:
    """Source: code.claude.com/docs/en/llm-gateway."""
    env = {
        "ANTHROPIC_BASE_URL": setup.origin,
        "ANTHROPIC_AUTH_TOKEN": setup.key,
        "ANTHROPIC_MODEL": MODEL,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL,
    }
    yield Snippet("~/.claude/settings.json", "json", _json({"env": env}))
    if MCP in setup.served:
        yield Snippet(
            "Search your workspaces from it",
            "bash",
            f"claude mcp add --transport http aiassist {setup.origin}{MCP} \\\n"
            f'  --header "Authorization: Bearer {setup.key}"\n',
        )


def _qwen_code(setup: Setup) -> Iterator[Snippet]:
    """Source: qwenlm.github.io/qwen-code-docs (model providers)."""
    config: dict[str, object] = {
        "modelProviders": {
            "openai": [
                {
                    "id": MODEL,
                    "name": "aiassist",
                    "baseUrl": setup.base,
                    "envKey": VARIABLE,
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
                "headers": _mcp_headers(setup),
            }
        }
    yield Snippet("~/.qwen/settings.json", "json", _json(config))


def _tabby(setup: Setup) -> Iterator[Snippet]:
    """Source: tabby.tabbyml.com/docs/extensions/configurations."""
    yield Snippet(
        "~/.tabby-client/agent/config.toml",
        "toml",
        f'[server]\nendpoint = "{setup.origin}"\ntoken = "{setup.key}"\n',
    )


def _llm(setup: Setup) -> Iterator[Snippet]:
    """Source: llm.datasette.io/en/stable/other-models.html."""
    yield Snippet(
        "extra-openai-models.yaml",
        "yaml",
        "- model_id: aiassist\n"
        f"  model_name: {MODEL}\n"
        f"  api_base: {setup.base}\n"
        "  api_key_name: aiassist\n"
        "  supports_tools: true\n",
    )
    yield Snippet(
        "In a shell",
        "bash",
        'cd "$(dirname "$(llm logs path)")"   # the YAML file goes here\n'
        f"llm keys set aiassist --value {setup.key}\n"
        'llm -m aiassist "What does this project do?"\n',
    )


def _curl(setup: Setup) -> Iterator[Snippet]:
    body: dict[str, object] = {"message": "What does this project do?"}
    if setup.workspace_id:
        body["workspace_id"] = setup.workspace_id
    yield Snippet(
        "In a shell",
        "bash",
        f"export {VARIABLE}={setup.key}\n"
        f"curl -sN {setup.origin}/api/v1/assistant/chat \\\n"
        f'  -H "Authorization: Bearer ${VARIABLE}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{json.dumps({**body, 'stream': True})}'\n",
    )


def _python(setup: Setup) -> Iterator[Snippet]:
    extra = ""
    if setup.workspace_id:
        extra = f'    extra_body={{"workspace_id": "{setup.workspace_id}"}},\n'
    yield Snippet("In a shell", "bash", "pip install openai\n")
    yield Snippet(
        "ask.py",
        "python",
        "from openai import OpenAI\n\n"
        "client = OpenAI(\n"
        f'    base_url="{setup.base}",\n'
        f'    api_key="{setup.key}",\n'
        ")\n"
        "stream = client.chat.completions.create(\n"
        f'    model="{MODEL}",\n'
        '    messages=[{"role": "user", "content": "What does this project do?"}],\n'
        f"{extra}"
        "    stream=True,\n"
        ")\n"
        "for chunk in stream:\n"
        "    if chunk.choices:\n"
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n',
    )


def _mcp(setup: Setup) -> Iterator[Snippet]:
    """Source: modelcontextprotocol.io (streamable HTTP)."""
    server = {
        "type": "http",
        "url": f"{setup.origin}{MCP}",
        "headers": _mcp_headers(setup),
    }
    yield Snippet(
        "The agent's mcp.json", "json", _json({"mcpServers": {"aiassist": server}})
    )


_EDITOR, _TERMINAL, _SCRIPT = "Editor", "Terminal agent", "Script"
_WITH_MCP = (ASSISTANT, SEARCH, WORKSPACES)

CLIENTS: tuple[Client, ...] = (
    Client(
        "vscode",
        "VS Code",
        _EDITOR,
        "Chat and agent mode, with your model in the picker.",
        (CHAT,),
        _vscode,
        hint="Run “Chat: Manage Language Models”, add a “Custom Endpoint”, and open "
        "its file from the gear. VS Code moves the key into its own secret storage.",
        scopes=_WITH_MCP,
    ),
    Client(
        "continue",
        "Continue",
        _EDITOR,
        "Chat, edit and completion in VS Code and JetBrains.",
        (CHAT,),
        _continue,
        scopes=_WITH_MCP,
    ),
    Client(
        "cline",
        "Cline",
        _EDITOR,
        "An agent in VS Code that edits and runs.",
        (CHAT,),
        _cline,
        hint="Open Cline's settings and fill these in.",
    ),
    Client(
        "tabby",
        "Tabby plugin",
        _EDITOR,
        "Completion as you type, in VS Code, JetBrains and Vim.",
        (COMPLETIONS, TABBY),
        _tabby,
    ),
    Client(
        "claude-code",
        "Claude Code",
        _TERMINAL,
        "Anthropic's agent, over this site.",
        (MESSAGES,),
        _claude_code,
        scopes=_WITH_MCP,
        least_context=20_000,
    ),
    Client(
        "codex",
        "Codex",
        _TERMINAL,
        "OpenAI's agent, over this site.",
        (RESPONSES,),
        _codex,
        scopes=_WITH_MCP,
    ),
    Client(
        "opencode",
        "OpenCode",
        _TERMINAL,
        "An open agent for any model.",
        (CHAT,),
        _opencode,
        scopes=_WITH_MCP,
    ),
    Client(
        "qwen-code",
        "Qwen Code",
        _TERMINAL,
        "Qwen's agent, over this site.",
        (CHAT,),
        _qwen_code,
        scopes=_WITH_MCP,
    ),
    Client(
        "aider",
        "aider",
        _TERMINAL,
        "Pair programming that commits as it goes.",
        (CHAT,),
        _aider,
        hint="Keep the file out of your repository: it holds the key.",
    ),
    Client("llm", "llm", _SCRIPT, "Questions from a shell.", (CHAT,), _llm),
    Client("curl", "curl", _SCRIPT, "The API, bare.", (), _curl),
    Client("python", "Python", _SCRIPT, "OpenAI's package.", (CHAT,), _python),
    Client(
        "mcp",
        "Any MCP agent",
        "Agent over MCP",
        "Gives an agent search over your workspaces.",
        (MCP,),
        _mcp,
        scopes=_WITH_MCP,
    ),
)
