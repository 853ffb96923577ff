"""Plots as numbers for `elements/plot.html`: an SVG, and the table behind it.

The drawing's own units are 1000 × 100; the page stretches them, strokes keep their
width, and the labels are HTML beside it, so that a phone shows them sharp. None is
"no data": it leaves a gap, and never looks like zero.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

WIDTH, HEIGHT = 1000, 100
_GAP = 0.18  # of a bar's slot
_ROUND = (1, 2, 4, 6, 8, 10)  # times a power of ten

Value = float | int | None
Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the x axis and what each series had there."""

    label: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    series: int  # picks the colour
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    path: str  # SVG path data
    series: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that the template draws."""

    slug: str
    title: str
    names: tuple[str, ...]  # of the series
    rows: list[tuple[str, list[str]]]  # the table: label, cells
    summary: str  # what a screen reader is told in place of the picture
    y_labels: list[str] = field(default_factory=list)  # top, middle, bottom
    x_labels: list[str] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)  # x, width

    @property
    def is_empty(self) -> bool:
        return not (self.bars or self.lines)


def bar_plot(
    slug: str,
    title: str,
    names: Sequence[str],
    points: Sequence[Point],
    shown: Format,
) -> Plot:
    """Return stacked bars of whole numbers; an all-zero step keeps a hairline."""
    totals = [_total(point.values) for point in points]
    # The axis's middle is a whole number, too.
    top = nice_top(max([2.0, *(t for t in totals if t is not None)]))
    slot = WIDTH / max(1, len(points))
    bars: list[Bar] = []
    gaps: list[tuple[float, float]] = []
    for i, point in enumerate(points):
        x, width = slot * (i + _GAP / 2), slot * (1 - _GAP)
        if totals[i] is None:
            gaps.append((_r(x), _r(width)))
        else:
            bars += _stack(point, names, top, x, width, shown)
    frame = _frame(slug, title, names, points, shown, top)
    return replace(frame, bars=bars if any(totals) else [], gaps=gaps)


def line_plot(
    slug: str,
    title: str,
    names: Sequence[str],
    points: Sequence[Point],
    shown: Format,
    *,
    least_top: float = 0,
) -> Plot:
    """Return a line for each series, broken where there is no data."""
    found = [v for point in points for v in point.values if v is not None]
    top = nice_top(max([*found, least_top], default=0))
    slot = WIDTH / max(1, len(points))
    lines = [
        Line(path, series)
        for series in range(len(names))
        for path in _runs([point.values[series] for point in points], slot, top)
    ]
    return replace(_frame(slug, title, names, points, shown, top), lines=lines)


def nice_top(most: float) -> float:
    """Return the next round number, whose half, the axis's middle, is round as well."""
    if most <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(most))
    return next(n * power for n in _ROUND if n * power >= most * 0.999999)


def _stack(
    point: Point,
    names: Sequence[str],
    top: float,
    x: float,
    width: float,
    shown: Format,
) -> list[Bar]:
    bars = []
    floor = float(HEIGHT)
    told = ", ".join(
        f"{shown(value or 0)} {name.lower()}"
        for name, value in zip(names, point.values, strict=True)
    )
    for series, value in enumerate(point.values):
        height = HEIGHT * (value or 0) / top
        floor -= height
        title = f"{point.label}: {told}"
        bars.append(Bar(_r(x), _r(floor), _r(width), _r(height), series, title))
    if not _total(point.values):
        bars.append(Bar(_r(x), HEIGHT - 0.6, _r(width), 0.6, 9, f"{point.label}: 0"))
    return bars


def _runs(values: Sequence[Value], slot: float, top: float) -> list[str]:
    """Return the path of each unbroken run; a lone point becomes a dot."""
    placed = [
        (slot * (i + 0.5), None if v is None else HEIGHT - HEIGHT * v / top)
        for i, v in enumerate(values)
    ]
    paths = []
    for is_there, run in groupby(placed, key=lambda xy: xy[1] is not None):
        if is_there:
            spots = [f"{_r(x)} {_r(y or 0)}" for x, y in run]
            paths.append("M" + "L".join(spots) + ("h0" if len(spots) == 1 else ""))
    return paths


def _frame(
    slug: str,
    title: str,
    names: Sequence[str],
    points: Sequence[Point],
    shown: Format,
    top: float,
) -> Plot:
    """Return the plot with all its words and nothing drawn."""
    rows = [
        (p.label, ["no data" if v is None else shown(v) for v in p.values])
        for p in points
    ]
    there = [_total(point.values) for point in points]
    known = [(t, p.label) for t, p in zip(there, points, strict=True) if t]
    peak = max(known, default=(0, ""))
    told = (
        f"{title}, {len(points)} steps. Highest: {shown(peak[0])} at {peak[1]}."
        if known
        else f"{title}: nothing yet."
    )
    labels = [p.label for p in points]
    return Plot(
        slug=slug,
        title=title,
        names=tuple(names),
        rows=rows,
        summary=told,
        y_labels=[shown(top), shown(top / 2), shown(0)],
        x_labels=[labels[0], labels[len(labels) // 2], labels[-1]] if labels else [],
    )


def _total(values: Sequence[Value]) -> float | None:
    there = [v for v in values if v is not None]
    return sum(there) if there else None


def _r(number: float) -> float:
    return round(number, 2)
