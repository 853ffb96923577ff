"""What a client's configuration is made of, and the shapes that it comes in."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from accounts.scopes import ASSISTANT, SEARCH, WORKSPACES

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
# What a client may do that reads code over MCP as well.
WITH_MCP = (ASSISTANT, SEARCH, WORKSPACES)


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

    @property
    def prompt_tokens(self) -> int:
        """What of the context is left for a prompt when an answer has its room."""
        return max(1000, self.context_tokens - ANSWER_TOKENS)


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


def as_json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def mcp_headers(setup: Setup) -> dict[str, str]:
    return {"Authorization": f"Bearer {setup.key}"}
