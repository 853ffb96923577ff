"""Which clients can be pointed at this site, and the exact configuration of each.

A client is shown only where the faces that it speaks to are served. The files' forms
are the clients' own; `tests/web/clients/` holds one golden file for each, and
`make test-clients` lets the clients themselves read them.
"""

from django.urls import Resolver404, resolve

from aiassist.connect import agents, editors, scripts
from aiassist.connect.parts import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MCP,
    MESSAGES,
    RESPONSES,
    TABBY,
    WITH_MCP,
    Client,
    Setup,
    Snippet,
)
from aiassist.lib.errors import NotFound

_EDITOR, _TERMINAL, _SCRIPT = "Editor", "Terminal agent", "Script"

__all__ = [
    "CHAT",
    "CLIENTS",
    "COMPLETIONS",
    "EMBEDDINGS",
    "MCP",
    "MESSAGES",
    "RESPONSES",
    "TABBY",
    "Client",
    "Setup",
    "Snippet",
    "available_clients",
    "get_client",
    "served_faces",
]

CLIENTS: tuple[Client, ...] = (
    Client(
        "vscode",
        "VS Code",
        _EDITOR,
        "Chat and agent mode, with your model in the picker.",
        (CHAT,),
        editors.vscode,
        hint="Run “Chat: Manage Language Models”, add a “Custom Endpoint”, and open "
        "its file from the gear. VS Code moves the key into its own secret storage.",
        scopes=WITH_MCP,
    ),
    Client(
        "continue",
        "Continue",
        _EDITOR,
        "Chat, edit and completion in VS Code and JetBrains.",
        (CHAT,),
        editors.continue_,
        scopes=WITH_MCP,
    ),
    Client(
        "cline",
        "Cline",
        _EDITOR,
        "An agent in VS Code, or in a terminal, that edits and runs.",
        (CHAT,),
        editors.cline,
        hint="In VS Code open Cline's settings and fill these in.",
        scopes=WITH_MCP,
        least_context=8_000,
    ),
    Client(
        "tabby",
        "Tabby plugin",
        _EDITOR,
        "Completion as you type, in VS Code, JetBrains and Vim.",
        (COMPLETIONS, TABBY),
        editors.tabby,
    ),
    Client(
        "claude-code",
        "Claude Code",
        _TERMINAL,
        "Anthropic's agent, over this site.",
        (MESSAGES,),
        agents.claude_code,
        scopes=WITH_MCP,
        least_context=20_000,
    ),
    Client(
        "codex",
        "Codex",
        _TERMINAL,
        "OpenAI's agent, over this site.",
        (RESPONSES,),
        agents.codex,
        scopes=WITH_MCP,
        least_context=12_000,
    ),
    Client(
        "opencode",
        "OpenCode",
        _TERMINAL,
        "An open agent for any model.",
        (CHAT,),
        agents.opencode,
        scopes=WITH_MCP,
        least_context=10_000,
    ),
    Client(
        "qwen-code",
        "Qwen Code",
        _TERMINAL,
        "Qwen's agent, over this site.",
        (CHAT,),
        agents.qwen_code,
        scopes=WITH_MCP,
        least_context=22_000,
    ),
    Client(
        "aider",
        "aider",
        _TERMINAL,
        "Pair programming that commits as it goes.",
        (CHAT,),
        agents.aider,
        hint="Keep the file out of your repository: it holds the key.",
    ),
    Client("llm", "llm", _SCRIPT, "Questions from a shell.", (CHAT,), scripts.llm),
    Client("curl", "curl", _SCRIPT, "The API, bare.", (), scripts.curl),
    Client("python", "Python", _SCRIPT, "OpenAI's package.", (CHAT,), scripts.python),
    Client("node", "Node.js", _SCRIPT, "OpenAI's package.", (CHAT,), scripts.node),
    Client(
        "anthropic",
        "Python, Anthropic",
        _SCRIPT,
        "Anthropic's package.",
        (MESSAGES,),
        scripts.anthropic,
    ),
    Client(
        "langchain",
        "LangChain",
        _SCRIPT,
        "Chains and agents in Python.",
        (CHAT,),
        scripts.langchain,
        hint="For embeddings give OpenAIEmbeddings check_embedding_ctx_length=False.",
    ),
    Client(
        "pydantic-ai",
        "Pydantic AI",
        _SCRIPT,
        "Typed agents in Python.",
        (CHAT,),
        scripts.pydantic_ai,
    ),
    Client(
        "mcp",
        "Any MCP agent",
        "Agent over MCP",
        "Gives an agent search over your workspaces.",
        (MCP,),
        scripts.mcp,
        scopes=WITH_MCP,
    ),
)


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
