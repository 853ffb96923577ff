"""Cut a parsed file into units of whole lines that follow its syntax.

A node that fits is one unit; one that does not is cut between its children. Only nodes
too large to fit are ever looked into, by a stack of our own: deep nesting costs
memory, not the interpreter's stack.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from tree_sitter import Node

from workspaces.indexing.grammars import (
    definition_in,
    is_prelude,
    is_wrapper,
    name_of,
)

_MAX_DEPTH = 120
NOWHERE = -1
MAX_SYMBOLS = 3  # of small definitions side by side


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines `[start, end)`, counted from 0, and what defines them."""

    start: int
    end: int
    symbol: str  # dotted
    n_tokens: int
    head: int = NOWHERE  # the line on which the symbol is defined, as far as known
    is_part: bool = False  # of a named definition that was too large for one unit
    around: tuple[int, int] = (0, 0)  # the symbol's own lines, as start and end


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    node: Node | None  # None: nothing below to cut at
    symbol: str
    inside: str  # the symbol that names below are joined to
    depth: int
    head: int = NOWHERE
    is_part: bool = False
    around: tuple[int, int] = (0, 0)

    @property
    def length(self) -> int:
        return self.end - self.start


class Outline:
    """Cuts one file; `counts` are its lines' tokens, `limit` a unit's most."""

    def __init__(self, counts: Sequence[int], limit: int) -> None:
        self._sums = [0, *accumulate(counts)]
        self._limit = limit

    def units(self, root: Node | None) -> Iterator[Unit]:
        """Yield units in order; together they hold every line once."""
        n_lines = len(self._sums) - 1
        symbol = "" if self._tokens(0, n_lines) > self._limit else _names_in(root)
        stack = [_Span(0, n_lines, root, symbol, "", 0)]
        while stack:
            span = stack.pop()
            size = self._tokens(span.start, span.end)
            if size <= self._limit:
                yield self._unit(span, span.start, span.end)
            elif span.node is None or span.depth >= _MAX_DEPTH:
                yield from self._windows(span)
            else:
                stack.extend(reversed(self._below(span, span.node)))

    def _tokens(self, start: int, end: int) -> int:
        return self._sums[end] - self._sums[start]

    def _below(self, span: _Span, node: Node) -> list[_Span]:
        """Return the children's spans; lines between go with the child after."""
        groups = _groups(node, span)
        if not groups:
            return [replace(span, node=None)]
        spans, start = [], span.start
        for i, (end, child) in enumerate(groups):
            end = span.end if i == len(groups) - 1 else end
            name = name_of(child)
            head = _head_of(child) if name else span.head
            symbol = ".".join(filter(None, (span.inside, name)))
            # A wrapper has its definition's name, which comes again below.
            inside = span.inside if is_wrapper(child) else symbol
            depth = span.depth + 1
            around = (start, end) if name else span.around
            symbol = symbol or span.symbol
            is_part = bool(symbol) and not name
            spans.append(
                _Span(start, end, child, symbol, inside, depth, head, is_part, around)
            )
            start = end
        return spans

    def _windows(self, span: _Span) -> Iterator[Unit]:
        """Cut by lines where the syntax gives no place to."""
        start = span.start
        for line in range(span.start, span.end):
            if line > start and self._tokens(start, line + 1) > self._limit:
                yield self._unit(span, start, line)
                start = line
        yield self._unit(span, start, span.end)

    def _unit(self, span: _Span, start: int, end: int) -> Unit:
        n_tokens = self._tokens(start, end)
        is_part = span.is_part or (bool(span.symbol) and end - start < span.length)
        return Unit(start, end, span.symbol, n_tokens, span.head, is_part, span.around)


def _groups(node: Node, span: _Span) -> list[tuple[int, Node]]:
    """Return (end line, node) of the children that end inside the span.

    Children that share a line stay together, under the one with the most lines.
    """
    groups: list[tuple[int, Node]] = []
    last_rows = -1
    prelude = False
    for child in node.children:
        first, last = _rows(child)
        if last < span.start or first >= span.end:
            continue
        end = min(last + 1, span.end)
        shares = bool(groups) and first < groups[-1][0]
        if shares or prelude:
            keep = last_rows > last - first and not prelude
            groups[-1] = (
                max(end, groups[-1][0]),
                groups[-1][1] if keep else child,
            )
            last_rows = max(last_rows, last - first)
        else:
            groups.append((end, child))
            last_rows = last - first
        prelude = is_prelude(child)
    return groups


def _names_in(root: Node | None) -> str:
    """Name a file that is one unit by what it defines."""
    children = [] if root is None else root.children
    return ", ".join(list(filter(None, map(name_of, children)))[:MAX_SYMBOLS])


def _head_of(node: Node) -> int:
    """Return the line on which the definition is named, past its decorators."""
    definition = definition_in(node)
    return NOWHERE if definition is None else definition.start_point.row


def _rows(node: Node) -> tuple[int, int]:
    """Return the first and the last line with something of the node."""
    first, (last, column) = node.start_point.row, node.end_point
    return first, last - 1 if column == 0 and last > first else last
