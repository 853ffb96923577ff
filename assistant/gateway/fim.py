"""Fill in the middle: how each family of code models is shown a cursor.

A model that was trained for it gets its own marks and answers with bare code; all
others are asked in words (`prompts.complete`). Families are told by their names, so
names are kept in model ids.
Sources: the models' cards, e.g. https://huggingface.co/Qwen/Qwen2.5-Coder-7B
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.passages import Passage

MAX_CONTEXT_LINES = 60  # of retrieved code before the cursor's own file
_HASH = frozenset("python ruby bash sh yaml toml perl r elixir makefile".split())


@dataclass(frozen=True, slots=True)
class Cursor:
    """What stands around the cursor."""

    prefix: str
    suffix: str = ""
    language: str = ""
    path: str = ""
    marked: str = ""  # the whole prompt, where the client has set marks itself
    template: str = ""  # whose marks those are; "": of nobody we know


@dataclass(frozen=True, slots=True)
class Family:
    """`template` holds {prefix} and {suffix}; `stops` end an answer that runs on."""

    names: re.Pattern[str]
    template: str
    stops: tuple[str, ...]


def _family(names: str, template: str, *stops: str) -> Family:
    return Family(re.compile(names), template, stops)


_PIPED = "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"
_PLAIN = "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>"
_DEEPSEEK = "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>"
FAMILIES = (
    _family(
        r"qwen.*coder|codeqwen",
        _PIPED,
        *("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_start|>", "<|im_end|>"),
    ),
    _family(r"codegemma", _PIPED, "<|file_separator|>", "<end_of_turn>"),
    _family(r"granite-?[4-9]", _PIPED, "<|end_of_text|>", "<|fim_prefix|>"),
    _family(
        r"starcoder|stable-code|granite.*code|santacoder|smollm|refact",
        _PLAIN,
        *("<|endoftext|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
        "<file_sep>",
    ),
    _family(r"deepseek.*coder", _DEEPSEEK, "<｜fim▁begin｜>", "<｜end▁of▁sentence｜>"),
    _family(r"code-?llama", "<PRE> {prefix} <SUF>{suffix} <MID>", "<EOT>", " <EOT>"),
    _family(
        r"codestral|devstral", "[SUFFIX]{suffix}[PREFIX]{prefix}", "[PREFIX]", "</s>"
    ),
)
_PLACES = re.compile(r"\{(prefix|suffix)\}")
_MARKS = ("<|fim_prefix|>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE> ", "[SUFFIX]")


def family_of(model: str) -> Family | None:
    """Return the family that a model's name tells; None for one without marks."""
    name = model.lower()
    return next((f for f in FAMILIES if f.names.search(name)), None)


def cursor_of(prompt: str, suffix: str = "", language: str = "") -> Cursor:
    """Return the cursor of a prompt, whose marks are read where a client has set some.

    Editors choose them by the model's name, so that for `auto` they may be of another
    family than the model that answers.
    """
    if not any(mark in prompt for mark in _MARKS):
        return Cursor(prompt, suffix, language)
    for template in dict.fromkeys(family.template for family in FAMILIES):
        if found := _taken_apart(prompt, template):
            texts = {"language": language, "marked": prompt, "template": template}
            return Cursor(**texts, **found)
    return Cursor(prompt, suffix, language, marked=prompt)


def _taken_apart(prompt: str, template: str) -> dict[str, str]:
    """Return prefix and suffix; {} where it is not filled in by this template."""
    opening, first, between, second, closing = _PLACES.split(template)
    _, is_opened, rest = prompt.partition(opening)
    one, is_parted, rest = rest.partition(between)
    other, is_closed, _ = rest.partition(closing) if closing else (rest, "yes", "")
    return {first: one, second: other} if is_opened and is_parted and is_closed else {}


def raw_prompt(model: str, cursor: Cursor, passages: Sequence[Passage]) -> str:
    """Return the prompt with the family's marks; "" where words must do."""
    family = family_of(model)
    if family is None:
        return ""
    if cursor.marked and cursor.template in ("", family.template):
        return cursor.marked
    prefix = as_comments(passages, cursor.language) + cursor.prefix
    # Not str.format: code is full of braces.
    return _PLACES.sub(
        lambda found: prefix if found[1] == "prefix" else cursor.suffix,
        family.template,
    )


def stops_of(model: str) -> tuple[str, ...]:
    family = family_of(model)
    return family.stops if family else ()


def as_comments(passages: Sequence[Passage], language: str) -> str:
    """Return retrieved code as comments: such models read code and nothing else."""
    mark = "#" if language.lower() in _HASH else "//"
    lines: list[str] = []
    for passage in passages:
        block = [f"Path: {passage.path}", *passage.text.splitlines()]
        if len(lines) + len(block) > MAX_CONTEXT_LINES:
            break
        lines += (f"{mark} {line}".rstrip() for line in block)
    return "".join(f"{line}\n" for line in lines)
