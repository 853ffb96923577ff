"""The provider that is always there: answers by quoting the retrieved code.

No language model is asked, so nothing is made up: each line it shows stands in the
user's own files, with its place. The same question on the same code gives the same
answer.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from aiassist.lib.tokens import count_tokens, truncate_to_tokens
from assistant.passages import Passage
from assistant.providers.base import Access, ChatRequest, Delta, Usage
from assistant.providers.quoting import (
    Definition,
    best_quote,
    definitions_in,
    opening_words,
    ranked,
)

NO_MODEL = (
    "No language model is configured, so this answer quotes what a search of your code "
    "found: start Ollama and set `OLLAMA_URL`, or set `OPENAI_API_KEY`, "
    "`ANTHROPIC_API_KEY` or `GOOGLE_API_KEY`, to get written answers."
)
_QUOTED = 3  # passages shown with their lines; the others are listed
_MAX_OUTLINE = 40
_WORD = re.compile(r"\s*\S+\s*")


class ExtractiveProvider:
    name = "extractive"
    takes_tools = False
    takes_images = False
    takes_image_urls = False

    def is_configured(self) -> bool:
        return True

    def takes_raw(self, base_url: str = "") -> bool:
        return False

    async def models(self) -> Sequence[str]:
        return ("extractive",)

    async def names(self, access: Access | None = None) -> Sequence[str]:
        return ()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        whole = until_stop(answer_of(request), request.stop)
        answer = within(whole, request.max_tokens)
        for line in answer.splitlines(keepends=True):
            yield Delta(text=line)
            await asyncio.sleep(0)  # lets the reader take each line as it comes
        prompt = sum(count_tokens(message.content) for message in request.messages)
        yield Delta(
            finish_reason="stop" if answer == whole else "length",
            usage=Usage(prompt, count_tokens(answer)),
        )


def until_stop(answer: str, stops: Sequence[str]) -> str:
    """Return what stands before the first of `stops`."""
    found = (answer.find(stop) for stop in stops)
    return answer[: min((at for at in found if at >= 0), default=None)]


def within(answer: str, max_tokens: int) -> str:
    """Return as many whole words from the start as `max_tokens` hold."""
    kept = truncate_to_tokens(answer, max_tokens)
    room = max_tokens - count_tokens(kept)
    for word in _WORD.finditer(answer, len(kept)):
        room -= count_tokens(word[0])
        if room < 0:
            break
        kept += word[0]
    return kept


def answer_of(request: ChatRequest) -> str:
    """Return the whole answer, in Markdown; for a completion, bare code."""
    if request.feature == "inline_completion":
        return completion_of(request.question, request.passages)
    parts = [request.notice or NO_MODEL]
    if request.feature == "code_explanation":
        parts += _outline(request.code)
    if request.feature == "code_generation":
        parts.append(
            "Code cannot be written without a language model. "
            "The closest examples in your own code:"
        )
    parts += _findings(request)
    return "\n\n".join(parts) + "\n"


def completion_of(prefix: str, passages: Sequence[Passage]) -> str:
    """Return the rest of the line being typed if the user's code holds such a line."""
    typed = prefix.rsplit("\n", 1)[-1].lstrip()
    if len(typed) < 3:
        return ""
    for passage in passages:
        for line in passage.text.splitlines():
            if line.strip().startswith(typed) and len(line.strip()) > len(typed):
                return line.strip()[len(typed) :]
    return ""


def _findings(request: ChatRequest) -> list[str]:
    passages = ranked(request.passages, request.question)
    if not passages:
        if request.code:
            return []
        nothing = "The search found nothing in your code for this question."
        return [f"{nothing} {request.hint}".strip()]
    shown, others = passages[:_QUOTED], passages[_QUOTED:]
    parts = [_lead(shown[0])]
    parts += [_quoted(passage, request.question) for passage in shown]
    if others:
        rows = "\n".join(f"- {_reference(passage)}" for passage in others)
        parts.append(f"Also related:\n\n{rows}")
    return parts


def _lead(passage: Passage) -> str:
    """Say in one sentence where the answer most likely stands."""
    definition = _main_definition(passage)
    if definition is not None:
        where = (
            f"{definition.kind} `{definition.name}`, defined in "
            f"`{passage.path}:{definition.line}` [{passage.n}]"
        )
        says = definition.says
    else:
        name = f"in `{passage.symbol}`, " if passage.symbol else ""
        where = f"{name}`{passage.place}` [{passage.n}]"
        says = opening_words(passage.text)
    return (
        f"The closest match is {where}: {says}"
        if says
        else (f"The closest match is {where}.")
    )


def _quoted(passage: Passage, question: str) -> str:
    quote = best_quote(passage, question)
    fence = "```"
    while fence in quote.text:
        fence += "`"
    name = f" `{passage.symbol}`" if passage.symbol else ""
    return (
        f"[{passage.n}]{name} in `{quote.place}`:\n\n"
        f"{fence}{passage.language}\n{quote.text}\n{fence}"
    )


def _reference(passage: Passage) -> str:
    name = f" `{passage.symbol}`" if passage.symbol else ""
    return f"[{passage.n}]{name} in `{passage.place}`"


def _outline(code: str) -> list[str]:
    """List what a piece of code given by the user defines."""
    n_lines = len(code.splitlines())
    found = definitions_in(code, 1)
    if not found:
        return [f"The code has {n_lines} lines and defines nothing by name."]
    rows = [
        f"- line {d.line}: `{d.signature}`" + (f" ({d.says})" if d.says else "")
        for d in found[:_MAX_OUTLINE]
    ]
    if len(found) > _MAX_OUTLINE:
        rows.append(f"- and {len(found) - _MAX_OUTLINE} more")
    return [f"The code has {n_lines} lines and defines:\n\n" + "\n".join(rows)]


def _main_definition(passage: Passage) -> Definition | None:
    """Return what the passage is about; None for the middle of something."""
    found = definitions_in(passage.text, passage.start_line)
    symbol = passage.symbol.rsplit(".", 1)[-1]
    if symbol:
        return next((d for d in found if d.name == symbol), None)
    # Without a symbol it is a file's head, which its own words describe better.
    return None if opening_words(passage.text) else next(iter(found), None)
