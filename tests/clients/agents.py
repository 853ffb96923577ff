"""The agents: each reads a note with a tool of its own, most search our code."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.clients.home import NOTE, Home
from tests.clients.model import Pick
from tests.clients.packages import Installed, Npm, PyPI
from tests.clients.site import Block
from tests.clients.trial import Ask, Client, SetUp, Trial, follow
from tests.clients.wires import Call, Offered

PATH = object()  # as a tool's argument: the note's whole path
SEARCH_CODE = "mcp__aiassist__search_code"


def tool(name: str, **arguments: object) -> Pick:
    """Return what picks the tool of this name, if it is offered."""

    def pick(tools: Offered, project: Path) -> Call | None:
        filled = {
            key: str(project / NOTE) if value is PATH else value
            for key, value in arguments.items()
        }
        return (name, filled) if name in tools else None

    return pick


def search_code(tools: Offered, project: Path) -> Call | None:
    """Pick our own tool, under whatever name the client gives it."""
    query = {"query": "how long to wait"}
    found = next((name for name in tools if name.endswith("search_code")), None)
    if found is not None:
        return found, query
    # These two name the tools of servers in their prompt and show them on demand.
    if "tool_call" in tools:  # Qwen Code
        return "tool_call", {"name": SEARCH_CODE, "arguments": query}
    if "ToolSearch" in tools:  # Claude Code
        return "ToolSearch", {"query": f"select:{SEARCH_CODE}", "max_results": 1}
    return None


def _program(name: str, *options: str) -> Ask:
    """Return the command: a program of the package, the prompt as last argument."""

    def ask(home: Home, installed: Installed, prompt: str) -> list[str]:
        return [str(installed.bin / name), *options, prompt]

    return ask


def _running(*titles: str) -> SetUp:
    """Return what follows the page and runs its commands of these titles."""

    def set_up(home: Home, blocks: Sequence[Block]) -> None:
        home.follow(blocks)
        for block in blocks:
            if block.title in titles:
                home.must_run(block.text)

    return set_up


def _cline(home: Home, blocks: Sequence[Block]) -> None:
    """Follow the page, and tell its settings to count nothing."""
    settings = home.home / ".cline" / "data" / "settings" / "global-settings.json"
    home.write(settings, json.dumps({"telemetryOptOut": True}))
    titles = ("Cline in a terminal", "Search your workspaces from the terminal")
    _running(*titles)(home, blocks)


def _qwen_code(home: Home, blocks: Sequence[Block]) -> None:
    """Follow the page, and tell the project's settings to count nothing."""
    home.follow(blocks)
    quiet = {"privacy": {"usageStatisticsEnabled": False}}
    home.write(home.project / ".qwen" / "settings.json", json.dumps(quiet))


def _agent(
    name: str,
    package: PyPI | Npm,
    page: str,
    ask: Ask,
    *,
    pick: Pick | None = None,
    searches: bool = False,
    set_up: SetUp = follow,
    env: Mapping[str, str] | None = None,
) -> Client:
    trials = [Trial("turn", ask, set_up=set_up)]
    if pick is not None:
        trials.append(Trial("tool", ask, pick, set_up))
    if searches:
        trials.append(Trial("search", ask, search_code, set_up))
    return Client(name, package, page, trials, env or {})


AGENTS = (
    _agent(
        "aider",
        PyPI("aider-chat", "aider"),
        "aider",
        _program("aider", "--no-show-model-warnings", "--yes-always", "--message"),
        env={
            "AIDER_ANALYTICS_DISABLE": "true",
            "AIDER_CHECK_UPDATE": "false",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    ),
    _agent(
        "Codex CLI",
        Npm("@openai/codex", "codex"),
        "codex",
        _program(
            *("codex", "exec", "--dangerously-bypass-approvals-and-sandbox"),
            *("-c", "analytics.enabled=false", "-c", "features.plugins=false"),
            *("-c", "check_for_update_on_startup=false"),
        ),
        pick=tool("exec_command", cmd=f"cat {NOTE}"),
        searches=True,
    ),
    _agent(
        "OpenCode",
        Npm("opencode-ai", "opencode"),
        "opencode",
        _program("opencode", "run", "--auto"),
        pick=tool("bash", command=f"cat {NOTE}", description="Reads the note"),
        searches=True,
        env={
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        },
    ),
    _agent(
        "Qwen Code",
        Npm("@qwen-code/qwen-code", "qwen-code"),
        "qwen-code",
        _program("qwen", "--yolo"),
        pick=tool("read_file", file_path=PATH),
        searches=True,
        set_up=_qwen_code,
    ),
    _agent(
        "Continue CLI",
        Npm("@continuedev/cli", "continue"),
        "continue",
        _program("cn", "--auto", "--print"),
        pick=tool("Bash", command=f"cat {NOTE}"),
        searches=True,
        env={"CONTINUE_TELEMETRY_ENABLED": "0"},
    ),
    _agent(
        "Cline CLI",
        Npm("cline", "cline"),
        "cline",
        _program("cline"),
        pick=tool("run_commands", commands=[f"cat {NOTE}"]),
        searches=True,
        set_up=_cline,
        env={"CLINE_NO_AUTO_UPDATE": "1"},
    ),
    _agent(
        "Claude Code",
        Npm("@anthropic-ai/claude-code", "claude-code"),
        "claude-code",
        _program("claude", "--allowedTools=Bash(cat:*),mcp__aiassist", "--print"),
        pick=tool("Bash", command=f"cat {NOTE}", description="Reads the note"),
        searches=True,
        set_up=_running("Search your workspaces from it"),
        env={
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
    ),
)
