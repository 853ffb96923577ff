"""A model that follows a script: it calls one tool, reads the result, says the end.

It speaks OpenAI's chat and responses, and Anthropic's messages: `tests.clients.wires`.
A `Task` is recognised by a word in its prompt, so that a client's other questions (a
title, a summary) do not disturb it.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.clients.wires import NAME, Call, Offered, Wire, wire_of
from tests.fakes.providers import FakeProvider, Script, Seen

# Which tool to call, of those that are offered; the folder is the client's project.
Pick = Callable[[Offered, Path], Call | None]
# A client may have to look for a tool first.
MOST_CALLS = 3


@dataclass
class Task:
    """One turn that a client takes, and what the model saw of it."""

    mark: str  # stands in the prompt
    end: str  # what the model says at last
    project: Path
    secret: str = ""  # must come back as a tool's result; "": no tool
    pick: Pick | None = None
    offered: set[str] = field(default_factory=set)
    n_prompt_tokens: int = 0  # of the largest prompt, at four bytes each
    n_prompts: int = 0
    called: list[str] = field(default_factory=list)
    has_ended: bool = False
    went_wrong: str = ""


class ScriptedModel(FakeProvider):
    """Answers each prompt by the task whose mark it holds."""

    def __init__(self, log: Path) -> None:
        """Keep every prompt in the folder `log`, to look at."""
        super().__init__()
        log.mkdir(parents=True)
        self._log = log
        self.openai_models = [NAME]
        self.decide = self._decide
        self._tasks: list[Task] = []
        self._numbers = itertools.count(1)

    def start(self, port: int = 0) -> Self:
        super().start(port)
        return self

    def expect(self, task: Task) -> None:
        """From now on answer for this task; the newest with a mark has it."""
        self._tasks.insert(0, task)

    def _decide(self, seen: Seen) -> Script:
        body, wire = seen.body, wire_of(seen.path)
        name = f"{next(self._numbers):03}.json"
        (self._log / name).write_text(json.dumps(body, indent=1))
        found = next((t for t in self._tasks if t.mark.encode() in seen.raw_body), None)
        if found is None:
            return wire.said(body, "Something else.")
        found.n_prompts += 1
        found.n_prompt_tokens = max(found.n_prompt_tokens, len(seen.raw_body) // 4)
        return _follow(found, body, wire)


def _follow(task: Task, body: Mapping[str, Any], wire: Wire) -> Script:
    offered = wire.offered(body)
    task.offered |= offered.keys()
    results = wire.results(body)
    if task.pick is None or any(task.secret in result for result in results):
        task.has_ended = True
        return wire.said(body, task.end)
    call = task.pick(offered, task.project)
    if results and (
        call is None or len(results) >= MOST_CALLS or call[0] in task.called
    ):
        task.went_wrong = f"the tool's result was {results[-1][:300]!r}"
        return wire.said(body, "The tool did not do what it should.")
    if call is None:
        # A side question, such as one for a title, offers no tools.
        if offered:
            task.went_wrong = f"of the tools {sorted(offered)} none was the right one"
        return wire.said(body, "I miss a tool.")
    task.called.append(call[0])
    return wire.called(body, call, number=len(results))
