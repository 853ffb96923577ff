"""A model that follows a script: it calls one tool, reads the result, says the end.

It speaks OpenAI's chat, streamed and whole. A `Task` is recognised by a word in its
prompt, so that a client's other questions (a title, a summary) do not disturb it.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.fakes.providers import FakeProvider, Script, Seen, sse

NAME = "stand-in"
# Some clients print a tool's result and its call; only the model knows this one.
Arguments = Mapping[str, Any]
Offered = Mapping[str, Mapping[str, Any]]  # a tool's name -> what it is described as
Call = tuple[str, Arguments]
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

    def start(self) -> Self:
        super().start()
        return self

    def expect(self, task: Task) -> None:
        """From now on answer for this task; the newest with a mark has it."""
        self._tasks.insert(0, task)

    def _decide(self, seen: Seen) -> Script:
        body = seen.body
        name = f"{next(self._numbers):03}.json"
        (self._log / name).write_text(json.dumps(body, indent=1))
        found = next((t for t in self._tasks if t.mark.encode() in seen.raw_body), None)
        if found is None:
            return answer(body, text="Something else.")
        found.n_prompts += 1
        found.n_prompt_tokens = max(found.n_prompt_tokens, len(seen.raw_body) // 4)
        return _follow(found, body)


def _follow(task: Task, body: Mapping[str, Any]) -> Script:
    offered = {each["function"]["name"]: each["function"] for each in _tools(body)}
    task.offered |= offered.keys()
    results = list(_results(body))
    if task.pick is None or any(task.secret in result for result in results):
        task.has_ended = True
        return answer(body, text=task.end)
    call = task.pick(offered, task.project)
    if results and (
        call is None or len(results) >= MOST_CALLS or call[0] in task.called
    ):
        task.went_wrong = f"the tool's result was {results[-1][:300]!r}"
        return answer(body, text="The tool did not do what it should.")
    if call is None:
        # A side question, such as one for a title, offers no tools.
        if offered:
            task.went_wrong = f"of the tools {sorted(offered)} none was the right one"
        return answer(body, text="I miss a tool.")
    task.called.append(call[0])
    return answer(body, call=call, number=len(results))


def _tools(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return body.get("tools") or []


def _results(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body.get("messages", []):
        if message.get("role") == "tool":
            content = message.get("content")
            yield content if isinstance(content, str) else json.dumps(content)


def answer(
    body: Mapping[str, Any],
    *,
    text: str = "",
    call: Call | None = None,
    number: int = 0,
) -> Script:
    """Say a text or call a tool, in pieces or whole as it was asked for."""
    finish = "tool_calls" if call else "stop"
    calls = [_call(*call, number)] if call else []
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    if not body.get("stream"):
        message = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = calls  # type: ignore[assignment]
        whole = _body("chat.completion", {"message": message}, finish, usage=usage)
        return Script([json.dumps(whole).encode()], content_type="application/json")
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    middle = len(text) // 2
    pieces += [{"content": part} for part in (text[:middle], text[middle:]) if part]
    pieces += list(_pieces_of(calls))
    steps = [sse(_body("chat.completion.chunk", {"delta": piece})) for piece in pieces]
    steps.append(sse(_body("chat.completion.chunk", {"delta": {}}, finish)))
    if (body.get("stream_options") or {}).get("include_usage"):
        last = _body("chat.completion.chunk", {"delta": {}}, usage=usage)
        steps.append(sse(last | {"choices": []}))
    return Script([*steps, b"data: [DONE]\n\n"])


def _body(
    kind: str, choice: Mapping[str, Any], finish: str | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": kind,
        "created": 1_700_000_000,
        "model": NAME,
        "choices": [{"index": 0, "finish_reason": finish, **choice}],
        **more,
    }


def _call(name: str, arguments: Arguments, number: int) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_scripted_{number}", "type": "function", "function": function}


def _pieces_of(calls: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a call's opening, then its arguments in two pieces."""
    for call in calls:
        arguments = call["function"]["arguments"]
        opening = call | {"index": 0, "function": call["function"] | {"arguments": ""}}
        yield {"tool_calls": [opening]}
        middle = len(arguments) // 2
        for part in (arguments[:middle], arguments[middle:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
