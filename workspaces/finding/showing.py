"""Which lines of the ranked passages are shown.

A small definition is shown whole when a part of it is found, no line twice, no copy of
what stands there already, no lone brace. What holds most of the query word for word, a
pasted error or line, comes first.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from msgspec.structs import replace

from workspaces.content.secrets import Concealed
from workspaces.finding.intent import Intent
from workspaces.finding.ranking import Ranked, quoted_share
from workspaces.vectors.base import PointPayload

# A definition of at most so many lines is shown whole when a part of it is found.
_WHOLE_LINES = 60
_TWIN_LINES = 3  # passages alike of at least so many lines are shown once
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w")

# Contents by their sha256; None or missing: gone since.
Texts = Mapping[str, Concealed | None]
TextsOf = Callable[[AbstractSet[str]], Texts]


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage and the lines to show for it, recognised secrets hidden."""

    found: Ranked
    start_line: int  # 1-based, inclusive
    end_line: int
    text: str


def shown(
    intent: Intent, ranked: Sequence[Ranked], *, texts_of: TextsOf, most: int
) -> list[Shown]:
    """Return at most so many, best first. Reads the texts of what it looks at.

    A passage whose content is gone was deleted by its owner since: it is left out.
    """
    chosen: list[Shown] = []
    texts: dict[str, Concealed | None] = {}
    twins: set[tuple[str, ...]] = set()
    spans = _Spans()
    for page in _pages(ranked, most):
        texts |= texts_of({found.payload.sha256 for found in page} - texts.keys())
        for found in _quotes_first(intent, page, texts):
            text = texts.get(found.payload.sha256)
            span = spans.of(found.payload)
            if text is None or span is None:
                continue
            candidate = Shown(found, *span, text.lines(*span))
            if _is_mere_end(candidate) or _is_twin(candidate, twins):
                continue
            spans.show(found.payload.path, span)
            chosen.append(candidate)
        if len(chosen) >= most:
            break
    return chosen[:most]


def _pages(ranked: Sequence[Ranked], size: int) -> Iterator[Sequence[Ranked]]:
    for start in range(0, len(ranked), size):
        yield ranked[start : start + size]


def _quotes_first(intent: Intent, page: Sequence[Ranked], texts: Texts) -> list[Ranked]:
    def lifted(found: Ranked) -> Ranked:
        text = texts.get(found.payload.sha256)
        if text is None:
            return found
        lines = text.lines(found.payload.start_line, found.payload.end_line)
        share = quoted_share(intent, lines)
        if not share:
            return found
        return replace(found, score=min(found.score * (1 + share), 1.0))

    return sorted(map(lifted, page), key=lambda found: -found.score)


class _Spans:
    """Which lines of which file are shown so far."""

    def __init__(self) -> None:
        self._shown: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def of(self, payload: PointPayload) -> tuple[int, int] | None:
        """Return the lines to show for a passage, None where they are shown already.

        A part of a small definition is shown as the whole of it, unless a piece of
        that stands there already.
        """
        shown = self._shown[payload.path]
        start, end = payload.start_line, payload.end_line
        if any(first <= start and end <= last for first, last in shown):
            return None
        whole = _whole(payload)
        if any(first <= whole[1] and whole[0] <= last for first, last in shown):
            return start, end
        return whole

    def show(self, path: str, span: tuple[int, int]) -> None:
        self._shown[path].append(span)


def _whole(payload: PointPayload) -> tuple[int, int]:
    start, end = payload.start_line, payload.end_line
    if not 0 < payload.symbol_start <= payload.symbol_end:
        return start, end
    whole = min(start, payload.symbol_start), max(end, payload.symbol_end)
    return whole if whole[1] - whole[0] < _WHOLE_LINES else (start, end)


def _is_mere_end(candidate: Shown) -> bool:
    """Tell a closing brace: it was found by its file's and its symbol's name alone."""
    return candidate.start_line > 1 and not _WORD.search(candidate.text)


def _is_twin(candidate: Shown, seen: set[tuple[str, ...]]) -> bool:
    """Tell whether the same lines were shown from another file; remember these."""
    words = tuple(_SPACE.split(candidate.text.strip()))
    if candidate.end_line - candidate.start_line + 1 < _TWIN_LINES:
        return False
    if words in seen:
        return True
    seen.add(words)
    return False
