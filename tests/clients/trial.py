"""One client: how it is set up and asked, and the trials that it must pass.

turn     it asks, and prints what the model says
tool     the model calls a tool of the client's; the result comes back to the model
search   the model calls search_code, which the client found at our /mcp
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.home import NOTE, Failed, Home, Ran, TooSlow
from tests.clients.model import Pick, ScriptedModel, Task
from tests.clients.packages import Installed, Npm, PyPI
from tests.clients.site import Block

# What the pages' own scripts ask.
QUESTION = "What does this project do?"
FOUND = "retry_delay"  # in the workspace, and nowhere in a prompt
TRIALS = ("turn", "tool", "search")
Ask = Callable[[Home, Installed, str], Sequence[str]]  # the command for a prompt
SetUp = Callable[[Home, Sequence[Block]], None]


def follow(home: Home, blocks: Sequence[Block]) -> None:
    """Set up what the page's blocks are, files and variables."""
    home.follow(blocks)


@dataclass(frozen=True)
class Trial:
    """One turn: how the client is asked, and what the model does."""

    name: str  # of TRIALS
    ask: Ask
    pick: Pick | None = None  # the tool that the model calls
    set_up: SetUp = follow
    asks_own_question: bool = False  # the page's script holds the question


@dataclass(frozen=True)
class Client:
    """A client of the table."""

    name: str
    package: PyPI | Npm
    page: str  # of Connect
    trials: Sequence[Trial]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Passed:
    """What a trial showed."""

    seconds: float
    n_prompt_tokens: int


@dataclass
class Bench:
    """What all trials share."""

    folder: Path
    model: ScriptedModel
    path: str
    env: Mapping[str, str]
    seconds: float  # for one trial


def run(
    bench: Bench,
    client: Client,
    trial: Trial,
    installed: Installed,
    blocks: Sequence[Block],
) -> Passed:
    """Let the client do one trial in a fresh home. Raises Failed."""
    home = Home(
        bench.folder / client.package.pins / trial.name,
        f"{installed.bin}:{bench.path}",
        {**bench.env, **client.env},
    )
    secret = FOUND if trial.name == "search" else f"kestrel-{secrets.token_hex(4)}"
    home.begin_project(secret)
    trial.set_up(home, blocks)
    mark = f"trial {secrets.token_hex(4)}"
    task = Task(
        mark=QUESTION if trial.asks_own_question else mark,
        end=f"It went well: {secrets.token_hex(6)}.",
        project=home.project,
        secret=secret if trial.pick else "",
        pick=trial.pick,
    )
    bench.model.expect(task)
    command = trial.ask(home, installed, f"Read {NOTE}, please. This is {mark}.")
    try:
        ran = home.run(command, seconds=bench.seconds)
    except TooSlow as slow:
        late = f"not done after {bench.seconds:g} s: {slow}"
        raise Failed(_why(task, late)) from slow
    _judge(task, ran)
    return Passed(ran.seconds, task.n_prompt_tokens)


def _judge(task: Task, ran: Ran) -> None:
    if not task.n_prompts:
        raise Failed(f"no prompt reached the model: {_tail(ran.output)}")
    if not task.has_ended:
        raise Failed(_why(task, _tail(ran.output)))
    if ran.code:
        raise Failed(f"it ended with {ran.code}: {_tail(ran.output)}")
    if task.end not in ran.output:
        raise Failed(f"it did not print the answer: {_tail(ran.output)}")


def _why(task: Task, output: str) -> str:
    seen = task.went_wrong or (
        f"the model saw {task.n_prompts} prompts and called {task.called or 'no tool'}"
    )
    return f"{seen}; it printed: {_tail(output)}"


def _tail(output: str) -> str:
    return output.strip()[-1500:] or "nothing"
