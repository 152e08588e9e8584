"""Cells of NAS-Bench-201 as facts: four nodes, an operation on each of the six edges between them.

References:
    Dong & Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, 2020, section 2.1
    (https://arxiv.org/abs/2001.00326).
"""

from dataclasses import dataclass

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""By the benchmark's names and in its order. A convolution is ReLU, convolution, batch normalisation."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to), in the order of the benchmark's architecture string. A node is the sum of what its edges bring."""


@dataclass(frozen=True)
class Cell:
    """An architecture: the operation of each edge, names of `OPERATIONS` in the order of `EDGES`."""

    operations: tuple[str, ...]


def describe(cell: Cell) -> str:
    """The benchmark's string: "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|", the edges of one node between two +."""
    nodes = {}
    for (start, end), operation in zip(EDGES, cell.operations, strict=True):
        nodes.setdefault(end, []).append(f"{operation}~{start}")
    return "+".join(f"|{'|'.join(edges)}|" for edges in nodes.values())


def parse(text: str) -> Cell:
    """The cell of a string. Raises ValueError where it is none."""
    found = []
    for node, part in enumerate(text.strip().split("+"), 1):
        for edge in part.strip("|").split("|"):
            operation, _, start = edge.partition("~")
            if operation not in OPERATIONS:
                raise ValueError(f"{operation!r} in {text!r} is no operation of NAS-Bench-201: {', '.join(OPERATIONS)}")
            found.append(((int(start) if start.isdigit() else start, node), operation))
    if tuple(edge for edge, _ in found) != EDGES:
        raise ValueError(f"{text!r} is no cell of NAS-Bench-201: |op~0|+|op~0|op~1|+|op~0|op~1|op~2| is its form")
    return Cell(tuple(operation for _, operation in found))
