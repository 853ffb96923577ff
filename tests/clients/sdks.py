"""The libraries: the page's script as it stands, then one that goes on from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.clients.home import NOTE, Home
from tests.clients.packages import Installed, Npm, PyPI
from tests.clients.site import Block
from tests.clients.trial import Ask, Client, Trial
from tests.clients.wires import Offered

SCRIPTS = Path(__file__).parent / "scripts"
# What `llm` is given as a tool.
FUNCTION = "def read_note(path: str) -> str:\n    return open(path).read()\n"


def read_note(tools: Offered, project: Path) -> tuple[str, Mapping[str, str]] | None:
    """Pick the tool that our scripts define."""
    return ("read_note", {"path": NOTE}) if "read_note" in tools else None


def _python(home: Home, installed: Installed, prompt: str) -> list[str]:
    return [str(installed.bin / "python"), "ask.py", prompt]


def _node(home: Home, installed: Installed, prompt: str) -> list[str]:
    # Node looks for packages beside the script.
    (home.project / "node_modules").symlink_to(installed.bin.parent)
    return ["node", "ask.mjs", prompt]


def _shell(home: Home, installed: Installed, prompt: str) -> list[str]:
    return ["bash", "-eu", "ask.sh"]


def _llm(home: Home, installed: Installed, prompt: str) -> list[str]:
    home.must_run((home.project / "ask.sh").read_text())
    options = ("-m", "aiassist", "--functions", FUNCTION)
    return [str(installed.bin / "llm"), *options, prompt]


class GoOn:
    """Puts one of our scripts behind the page's ask.py."""

    def __init__(self, script: str) -> None:
        self.script = script

    def __call__(self, home: Home, blocks: Sequence[Block]) -> None:
        home.follow(blocks)
        known = "".join(block.text for block in blocks if block.title == "ask.py")
        home.write(home.project / "ask.py", known + (SCRIPTS / self.script).read_text())


def _keep_shell(home: Home, blocks: Sequence[Block]) -> None:
    """Keep the page's commands in a file."""
    home.follow(blocks)
    for block in blocks:
        if block.title == "In a shell":
            home.write(home.project / "ask.sh", block.text)


def _as_it_stands(ask: Ask) -> Trial:
    return Trial("turn", ask, asks_own_question=True)


def _library(name: str, package: PyPI, page: str) -> Client:
    tool = Trial("tool", _python, read_note, GoOn(f"{package.pins}_tool.py"))
    return Client(name, package, page, (_as_it_stands(_python), tool))


def _mcp(name: str, pins: str) -> Client:
    """Its turn is our tool `ask`, which the model answers."""
    script = GoOn(f"{pins.replace('-', '_')}.py")
    return Client(
        name,
        PyPI("mcp", pins),
        "mcp",
        (Trial("turn", _python, set_up=script),),
    )


SDKS = (
    _library("openai (Python)", PyPI("openai", "openai"), "python"),
    Client(
        "openai (Node)",
        Npm("openai", "openai-node"),
        "node",
        (_as_it_stands(_node),),
    ),
    _library("anthropic", PyPI("anthropic", "anthropic"), "anthropic"),
    _library("langchain-openai", PyPI("langchain-openai", "langchain"), "langchain"),
    _library("pydantic-ai", PyPI("pydantic-ai-slim", "pydantic-ai"), "pydantic-ai"),
    Client(
        "llm",
        PyPI("llm", "llm"),
        "llm",
        (
            Trial("turn", _shell, set_up=_keep_shell, asks_own_question=True),
            Trial("tool", _llm, read_note, _keep_shell),
        ),
    ),
    _mcp("MCP SDK 1.x", "mcp-1"),
    _mcp("MCP SDK 2.x", "mcp-2"),
)
