"""Cut a file into passages of whole lines that follow its syntax.

Passages have at most 200 tokens: between 100 and 200 retrieval was best when measured
(64 and 400 tokens are worse). Every line with content is in exactly one passage. What
cannot be parsed, or not soon, is cut by lines.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from aiassist.lib.tokens import count_many
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.grammars import PARSED_LANGUAGES, parse
from workspaces.indexing.languages import language_of
from workspaces.indexing.outline import MAX_SYMBOLS, NOWHERE, Outline, Unit

MAX_TOKENS = 200  # of a passage's lines; its header takes some of the model's 256
# A passage of this size already says enough alone.
_ALONE_FROM = 80
_MAX_PARSED_BYTES = 1_000_000
# Longer lines were made by a program; parsing them finds nothing to read.
_MAX_PARSED_LINE = 5_000
_MAX_COUNTED = 2_000  # characters of a line; so long a line fills a passage anyway
_MAX_EMBEDDED = 8_000  # characters; the model reads 256 tokens of them
_MAX_NAMES = 6
_MAX_HEAD = 160  # characters of the line that defines what a part is a part of


@dataclass
class _Passage:
    """Neighbouring units that fit together."""

    start: int
    end: int
    n_tokens: int
    units: list[Unit]


def split(path: str, text: str) -> list[Chunk]:
    """Return the file's passages in order; none for a file without content."""
    language = language_of(path, text[:4096].encode("utf-8", "replace"))
    lines = text.split("\n")
    counts = count_many([line[:_MAX_COUNTED] for line in lines])
    root = None
    if _is_parsable(language, lines):
        tree = parse(language, text.encode("utf-8", "replace"))
        root = tree.root_node if tree else None
    units = Outline(counts, MAX_TOKENS).units(root)
    return [
        _chunk(path, language, lines, passage) for passage in _pack(_trim(units, lines))
    ]


def _is_parsable(language: str, lines: Sequence[str]) -> bool:
    return (
        language in PARSED_LANGUAGES
        and sum(map(len, lines)) <= _MAX_PARSED_BYTES
        and max(map(len, lines)) <= _MAX_PARSED_LINE
    )


def _trim(units: Iterable[Unit], lines: Sequence[str]) -> Iterator[Unit]:
    """Cut blank lines off both ends; drop what is blank altogether."""
    for unit in units:
        start, end = _trimmed(lines, unit.start, unit.end)
        if start < end:
            yield replace(unit, start=start, end=end)


def _pack(units: Iterable[Unit]) -> Iterator[_Passage]:
    """Join small neighbours."""
    held: _Passage | None = None
    for unit in units:
        if held is not None and _fits(held, unit):
            held.end = unit.end
            held.n_tokens += unit.n_tokens
            held.units.append(unit)
            continue
        if held is not None:
            yield held
        held = _Passage(unit.start, unit.end, unit.n_tokens, [unit])
    if held is not None:
        yield held


def _fits(held: _Passage, unit: Unit) -> bool:
    """Join parts of one definition, and small definitions that stand together.

    A definition's last lines never go with the next one's first: such a passage is
    about neither.
    """
    last = held.units[-1]
    if held.n_tokens + unit.n_tokens > MAX_TOKENS:
        return False
    if last.symbol == unit.symbol:
        return held.n_tokens < _ALONE_FROM or unit.n_tokens < _ALONE_FROM
    if held.n_tokens >= _ALONE_FROM or unit.n_tokens >= _ALONE_FROM:
        return False
    return _related(last, unit)


def _related(one: Unit, other: Unit) -> bool:
    """Tell whether one holds the other, or both stand side by side, each whole."""
    if f"{one.symbol}.".startswith(f"{other.symbol}."):
        return True
    if f"{other.symbol}.".startswith(f"{one.symbol}."):
        return True
    if one.is_part or other.is_part:
        return False
    return one.symbol.rpartition(".")[0] == other.symbol.rpartition(".")[0]


def _chunk(path: str, language: str, lines: Sequence[str], passage: _Passage) -> Chunk:
    text = "\n".join(lines[passage.start : passage.end])
    names = list(dict.fromkeys(u.symbol for u in passage.units if u.symbol))
    header = " ".join([path, *names[:_MAX_NAMES]])
    first = passage.units[0]
    if NOWHERE < first.head < passage.start:
        # A part says little without what it is a part of.
        header += f"\n{lines[first.head].strip()[:_MAX_HEAD]}"
    symbol = _symbol(passage.units, names)
    around = next((u.around for u in passage.units if u.symbol == symbol), (0, 0))
    start, end = _trimmed(lines, *around)
    return Chunk(
        path=path,
        start_line=passage.start + 1,
        end_line=passage.end,
        language=language,
        symbol=symbol,
        text=text,
        embedded_text=f"{header}\n{text[:_MAX_EMBEDDED]}",
        symbol_start=start + 1 if end else 0,
        symbol_end=end,
    )


def _trimmed(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Leave out blank lines at both ends."""
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return start, end


def _symbol(units: Sequence[Unit], names: Sequence[str]) -> str:
    """Return the definition around all units, else the first few side by side.

    Where one is inside another (a method's end and its class's brace), the larger
    part's counts.
    """
    deepest = max(names, key=len, default="")
    if all(f"{deepest}.".startswith(f"{name}.") for name in names):
        named = [unit for unit in units if unit.symbol]
        return max(named, key=lambda u: u.n_tokens).symbol if named else ""
    return ", ".join(names[:MAX_SYMBOLS])
