"""A network with skips in the terminal: boxes one below the other, and at their left a lane for each output that is
read further down, as `git log --graph` draws branches.

    ┌────┤   a lane leaves a box           ├─│─┼─>   the first and the third lane enter a box and go on, the second
    │                                                only crosses; └ and ┴ end where they enter
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxnas.report.graph import Box

CROSSES = "│"
ENTERS, ENDS = {True: "├", False: "┼"}, {True: "└", False: "┴"}
"""A lane that enters a box and goes on, or ends; the first of a row has nothing at its left."""


@dataclass(frozen=True)
class Lane:
    """source: number of the box that it leaves; readers: those that it enters, ascending; column: from the left."""

    source: int
    readers: tuple[int, ...]
    column: int


def lanes(found: Sequence[Box]) -> list[Lane]:
    """The lanes of a network: long ones at the left, and as few columns as will do.

    An output that the next box alone reads needs none.
    """
    far = {}
    for number, box in enumerate(found):
        for source in box.inputs:
            if source < number - 1:
                far.setdefault(source, []).append(number)
    placed, columns = [], []
    for source, readers in sorted(far.items(), key=lambda item: (item[0] - item[1][-1], item[0])):
        free = (all(readers[-1] <= a or source >= b for a, b in column) for column in columns)
        place = next((i for i, is_free in enumerate(free) if is_free), len(columns))
        columns += [[]] if place == len(columns) else []
        columns[place].append((source, readers[-1]))
        placed.append(Lane(source, tuple(readers), place))
    return placed


def draw_lanes(found: Sequence[Box]) -> str:
    """The network from the image downwards: lanes, number, what a box does, its map, parameters, and what it reads
    where that is not just the box above.
    """
    drawn = lanes(found)
    columns = max((lane.column + 1 for lane in drawn), default=0)
    words = [", ".join((box.words, *box.details)) for box in found]
    width, sizes, lines = max(map(len, words)), max(len(_size(box)) for box in found), []
    for number, (box, word) in enumerate(zip(found, words, strict=True)):
        if number:
            lines.append(_between(drawn, columns, number, number - 1 in box.inputs))
        name = str(number) if 0 < number < len(found) - 1 else ""
        text = f"{_entering(drawn, columns, number)}{name:>2}  {word:<{width}}  {_size(box):>{sizes}}{_count(box):>12}"
        reads = "" if box.inputs in ((), (number - 1,)) else "   reads " + _listed(box.inputs)
        lines.append((text.rstrip() if not reads else text) + reads)
    return "\n".join(lines)


def _entering(drawn: Sequence[Lane], columns: int, number: int) -> str:
    """The lanes in the line of a box, and an arrow into it where any enters."""

    def mark(lane: Lane, first: bool) -> str:
        if number not in lane.readers:
            return CROSSES
        return (ENDS if number == lane.readers[-1] else ENTERS)[first]

    row, entered = _row(drawn, columns, number, mark)
    return row + ("─>" if entered else "  ")


def _between(drawn: Sequence[Lane], columns: int, number: int, direct: bool) -> str:
    """The line above a box: lanes that go on, the one that leaves the box before, and the line down to this box."""
    row, left = _row(drawn, columns, number, lambda lane, first: "┌" if lane.source == number - 1 else CROSSES)
    trunk = {(True, True): "┤", (True, False): "┘", (False, True): "│", (False, False): " "}[left, direct]
    return (row + ("───" if left else "   ") + trunk).rstrip()


def _row(drawn: Sequence[Lane], columns: int, number: int, mark: Callable[[Lane, bool], str]) -> tuple[str, bool]:
    """All lanes just above box ``number``, and whether one has a line to its right from its mark on.

    ``mark`` gives a lane's character, told whether nothing stands at its left to which it could be joined.
    """
    present = {lane.column: lane for lane in drawn if lane.source < number <= lane.readers[-1]}
    cells, begun = [], False
    for column in range(columns):
        cell = mark(present[column], not begun) if column in present else "─" if begun else " "
        begun = begun or (column in present and cell != CROSSES)
        cells.append(cell + ("─" if begun else " "))
    return "".join(cells), begun


def _size(box: Box) -> str:
    return "" if box.size is None else " x ".join(map(str, box.size))


def _count(box: Box) -> str:
    return "" if box.parameters is None else f"{box.parameters:,}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join("image" if n == 0 else str(n) for n in numbers)
