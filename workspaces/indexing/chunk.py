"""A passage of a source file, as the splitter makes it and the index keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of one file.

    `embedded_text` is what the model reads: a header naming path and symbol, then the
    lines. `text` is what a person is shown: exactly the lines.
    """

    path: str
    start_line: int  # 1-based, inclusive
    end_line: int  # inclusive
    language: str  # "python", "typescript", "text", …
    # Dotted name of the definition; several small ones are joined by ", "; "" for none.
    symbol: str
    text: str
    embedded_text: str
    # The symbol's own lines, inclusive, of which this passage may be a part; 0: none.
    symbol_start: int = 0
    symbol_end: int = 0
