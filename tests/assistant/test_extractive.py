"""The provider that is always there: it quotes, and makes nothing up."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from aiassist.lib.tokens import count_tokens
from assistant.providers.base import ChatRequest
from assistant.providers.extractive import ExtractiveProvider, answer_of
from assistant.providers.quoting import best_quote, definitions_in
from tests.assistant.code import RETRIES, TIMEOUTS, passage


def ask(question: str, passages: Sequence[Any] = (), **changes: Any) -> str:
    values: dict[str, Any] = {"model": "extractive", "messages": (), "max_tokens": 100}
    return answer_of(
        ChatRequest(question=question, passages=tuple(passages), **(values | changes))
    )


def test_its_first_sentence_says_how_to_add_a_model() -> None:
    first = ask("How?").splitlines()[0]

    for name in (
        "No language model",
        "OLLAMA_URL",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GOOGLE_API_KEY",
    ):
        assert name in first


def test_it_names_the_definition_and_what_its_docstring_says() -> None:
    text = ask("How is retry_delay computed?", [passage(symbol="retry_delay")])

    assert (
        "def `retry_delay`, defined in `src/retries.py:6` [1]: "
        "Return the seconds to wait before the next try, with jitter." in text
    )


def test_a_files_head_is_described_by_its_own_words() -> None:
    text = ask("How are calls tried again?", [passage()])

    first = text.splitlines()[2]
    assert first.endswith("[1]: How calls are tried again.")


def test_the_middle_of_something_is_named_after_it() -> None:
    inner = passage(text="    def run(self):\n        go()", start_line=80, end_line=81)
    inner = replace(inner, symbol="Retrier")

    text = ask("How does it run?", [inner])

    assert "The closest match is in `Retrier`, `src/retries.py:80-81` [1]." in text


def test_it_puts_the_named_definition_first() -> None:
    other = passage(1, TIMEOUTS, path="src/timeouts.py", symbol="timeout_for")
    named = passage(2, symbol="Retrier")

    text = ask("What does Retrier do?", [other, named])

    assert text.index("src/retries.py") < text.index("src/timeouts.py")


def test_an_ordinary_word_is_no_name() -> None:
    first = passage(1, symbol="retry_delay")
    other = passage(2, TIMEOUTS, path="src/other.py", symbol="delay")

    text = ask("How long is the delay?", [first, other])

    assert text.index("src/retries.py") < text.index("src/other.py")


def test_it_quotes_the_lines_that_matter_of_a_long_passage() -> None:
    filler = [f"unrelated_{i} = {i}" for i in range(100)]
    filler[70] = "retry_delay = base * 2 ** attempt  # the retry delay"
    long = passage(text="\n".join(filler), start_line=11, end_line=110)

    quote = best_quote(long, "How is the retry delay computed?")

    assert quote.start_line <= 81 <= quote.end_line
    assert quote.end_line - quote.start_line < 14
    lines = "\n".join(filler).splitlines()
    assert quote.text.splitlines() == lines[quote.start_line - 11 : quote.end_line - 10]


def test_a_quote_cannot_close_its_fence() -> None:
    text = ask("What?", [passage(text="a = 1\n```\nb = 2")])

    assert "````python\na = 1\n```\nb = 2\n````" in text


def test_others_are_listed_by_place() -> None:
    passages = [passage(n, path=f"f{n}.py") for n in range(1, 6)]

    text = ask("retry delay", passages)

    n_lines = len(RETRIES.splitlines())
    assert f"- [4] in `f4.py:1-{n_lines}`" in text
    assert f"- [5] in `f5.py:1-{n_lines}`" in text


def test_it_says_so_when_nothing_was_found() -> None:
    assert "The search found nothing in your code" in ask("How?")


def test_it_outlines_code_to_be_explained() -> None:
    text = ask("", feature="code_explanation", code=RETRIES)

    assert f"The code has {len(RETRIES.splitlines())} lines and defines:" in text
    assert "- line 6: `def retry_delay(" in text
    assert "- line 13: `class Retrier:` (Calls a function until it succeeds.)" in text
    assert "found nothing" not in text


def test_it_says_that_it_cannot_write_code() -> None:
    text = ask("a retry", [passage()], feature="code_generation")

    assert "Code cannot be written without a language model" in text
    assert "def retry_delay" in text


def test_a_completion_is_the_rest_of_a_line_of_yours_or_nothing() -> None:
    """Prose would be inserted at somebody's cursor."""
    passages = [passage()]

    rest = ask("x = 1\ndef retry_d", passages, feature="inline_completion")
    nothing = ask("frobnicate(", passages, feature="inline_completion")

    assert rest == "elay(attempt: int, asked_seconds: float | None = None) -> float:"
    assert nothing == ""


def test_definitions_are_found_in_many_languages() -> None:
    code = """
export default async function loadUser(id) {
pub(crate) fn parse_line(s: &str) -> Result {
func (s *Server) Handle(w http.ResponseWriter) {
public static class Parser {
interface Shape {
type Alias = string
CREATE TABLE people (
"""
    names = [d.name for d in definitions_in(code, 1)]

    assert names == [
        "loadUser",
        "parse_line",
        "Handle",
        "Parser",
        "Shape",
        "Alias",
        "people",
    ]


async def test_it_streams_line_by_line_and_counts() -> None:
    request = ChatRequest(
        model="extractive",
        messages=(),
        max_tokens=900,
        question="retry delay",
        passages=(passage(),),
    )
    async with aclosing(ExtractiveProvider().stream(request)) as stream:
        deltas = [delta async for delta in stream]

    assert "".join(d.text for d in deltas) == answer_of(request)
    assert len(deltas) > 5
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage is not None
    assert (deltas[-1].usage.tokens_out or 0) > 20


async def said(**changes: Any) -> tuple[str, str, int]:
    """Return text, finish reason and tokens out."""
    values: dict[str, Any] = {"model": "extractive", "messages": (), "max_tokens": 900}
    request = ChatRequest(question="How?", passages=(passage(),), **(values | changes))
    async with aclosing(ExtractiveProvider().stream(request)) as stream:
        deltas = [delta async for delta in stream]
    usage = deltas[-1].usage
    assert usage is not None and usage.tokens_out is not None
    text = "".join(delta.text for delta in deltas)
    return text, deltas[-1].finish_reason, usage.tokens_out


@pytest.mark.parametrize("max_tokens", [1, 7, 60])
async def test_it_ends_at_the_tokens_that_are_allowed(max_tokens: int) -> None:
    whole, reason, _ = await said()
    assert reason == "stop"

    text, reason, n_tokens = await said(max_tokens=max_tokens)

    assert reason == "length"
    assert text and whole.startswith(text)
    assert count_tokens(text) == n_tokens <= max_tokens


async def test_it_ends_before_a_stop_sequence() -> None:
    whole, _, _ = await said()

    text, reason, _ = await said(stop=("nowhere", "\n\n"))

    assert (text, reason) == (whole.partition("\n\n")[0], "stop")
