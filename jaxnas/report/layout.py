"""Where the boxes and lines of a picture lie: one box below the other, skips in lanes at their left.

All numbers are in points (1/72 inch), y upwards, as Graphviz has them; the boxes' middle is at x = 0, the first one's
top at y = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxnas.report.graph import Box
from jaxnas.report.lanes import lanes

Point = tuple[float, float]
GAP, LANE, ENTRY, LINE, LETTER, ROUND, HEAD = 24.0, 11.0, 8.0, 15.0, 7.3, 5.0, 6.0
"""Between boxes; between lanes; between lines that enter a box; of a line of text; of a letter (a generous guess: which
font there is, Graphviz alone knows); radius of corners; length of arrow heads."""


@dataclass(frozen=True)
class Rectangle:
    """The edges of a box."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Line:
    """A line from one box to another: the control points of its Bézier curves (3n + 1), and the tip of its arrow."""

    points: tuple[Point, ...]
    tip: Point


def rectangles(found: Sequence[Box], texts: Sequence[Sequence[str]]) -> list[Rectangle]:
    """One for each box, large enough for its lines of text and for the lines that enter it."""
    half, top, placed = max(len(line) for text in texts for line in text) * LETTER / 2 + 10, 0.0, []
    for number, (box, text) in enumerate(zip(found, texts, strict=True)):
        entries = sum(source < number - 1 for source in box.inputs)
        height = max(len(text) * LINE + 12, (entries + 2) * ENTRY)
        placed.append(Rectangle(-half, half, top, top - height))
        top -= height + GAP
    return placed


def routes(found: Sequence[Box], placed: Sequence[Rectangle]) -> dict[tuple[int, int], Line]:
    """The line of each edge, by (from, to)."""
    straight = {
        (number - 1, number): _straight(placed[number - 1].bottom, placed[number].top)
        for number, box in enumerate(found)
        if number - 1 in box.inputs
    }
    drawn = lanes(found)
    columns = max((lane.column + 1 for lane in drawn), default=0)
    entering = {n: [lane for lane in drawn if n in lane.readers] for n in range(len(found))}
    around = {}
    for number, readable in entering.items():
        for place, lane in enumerate(sorted(readable, key=lambda lane: -lane.column)):
            above, below = placed[lane.source], placed[number]
            share = (place + 0.5) / len(readable)
            enters = below.top - ENTRY - share * (below.top - below.bottom - 2.5 * ENTRY)
            x = below.left - 20 - (columns - 1 - lane.column) * LANE
            around[lane.source, number] = _around(x, (above.left, above.bottom + 0.75 * ENTRY), (below.left, enters))
    return straight | around


def _straight(start: float, end: float) -> Line:
    return Line(_stretch((0.0, start), (0.0, end + HEAD)), (0.0, end))


def _around(x: float, start: Point, end: Point) -> Line:
    """From a box to the left, down the lane at x, and to the right into another box."""
    corners = [(x, start[1]), (x, end[1])]
    stops = [
        start,
        (x + ROUND, start[1]),
        (x, start[1] - ROUND),
        (x, end[1] + ROUND),
        (x + ROUND, end[1]),
        (end[0] - HEAD, end[1]),
    ]
    points = [start]
    for i, (a, b) in enumerate(pairwise(stops)):
        bent = i in (1, 3)
        points += (
            (_between(a, corners[i // 2], 0.55), _between(b, corners[i // 2], 0.55), b) if bent else _stretch(a, b)[1:]
        )
    return Line(tuple(points), end)


def _stretch(a: Point, b: Point) -> tuple[Point, ...]:
    """A straight line as a Bézier curve."""
    return a, _between(a, b, 1 / 3), _between(a, b, 2 / 3), b


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
