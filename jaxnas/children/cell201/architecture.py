"""Cells of NAS-Bench-201 as facts: four nodes, an operation on each of the six edges between them.

References:
    Dong & Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, 2020, section 2.1
    (https://arxiv.org/abs/2001.00326).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np

from jaxnas.children.cost import Cost, does_not_fit
from jaxnas.children.engines import Engine, Padded, Shape

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


SIDES = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""Kernel sides of the operations that are convolutions."""
STAGES = 3


@dataclass(frozen=True)
class CellEnvelope:
    """What different cells have in common: the key of one compiled program. ``a | b`` holds what both hold.

    Attributes:
        operations: of each edge those that occur inside, in the order of `OPERATIONS`.
        engine: how an edge with several operations runs.
    """

    operations: tuple[tuple[str, ...], ...]
    engine: Engine = Padded()

    def __or__(self, other: "CellEnvelope") -> "CellEnvelope":
        both = (({*a, *b}) for a, b in zip(self.operations, other.operations, strict=True))
        return CellEnvelope(tuple(tuple(o for o in OPERATIONS if o in edge) for edge in both), self.engine)

    @property
    def sides(self) -> tuple[int, ...]:
        """The kernel side of each edge's largest convolution; 0 where it has none."""
        return tuple(max(SIDES.get(operation, 0) for operation in edge) for edge in self.operations)


def envelope(cells: Iterable[Cell]) -> CellEnvelope:
    """The smallest envelope that holds them all. That of a single cell has no padding: it is the ordinary network."""
    return reduce(or_, (CellEnvelope(tuple((operation,) for operation in cell.operations)) for cell in cells))


class CellGenes(NamedTuple):
    """The place of one child in its envelope.

    operations: int32 ``[6]``, places in `OPERATIONS`; spread: bound of an edge's initial weights times the square root
    of the channels, ``[6]``, 0 where it is no convolution.
    """

    operations: np.ndarray
    spread: np.ndarray


def place(cell: Cell, inside: CellEnvelope) -> CellGenes:
    """The genes that make the network of envelope ``inside`` compute ``cell``.

    Raises:
        ValueError: the envelope does not hold the cell.
    """
    if inside | envelope([cell]) != inside:
        raise does_not_fit(describe(cell), inside)
    spread = [1 / SIDES[operation] if operation in SIDES else 0 for operation in cell.operations]
    operations = [OPERATIONS.index(operation) for operation in cell.operations]
    return CellGenes(np.array(operations, np.int32), np.array(spread, np.float32))


@dataclass(frozen=True)
class Skeleton:
    """The network around the cells: a 3x3 convolution to ``channels``, then three stages of ``cells`` equal cells; a
    residual block between two stages halves the map's sides and doubles the channels.
    """

    input_shape: tuple[int, int, int]
    classes: int
    channels: int
    cells: int

    def __post_init__(self):
        if any(side % 4 for side in self.input_shape[:2]):
            raise ValueError(
                f"images of {self.input_shape[0]} x {self.input_shape[1]} pixels: the network of NAS-Bench-201 halves "
                "the map twice, give sides that are multiples of 4"
            )

    def stage(self, number: int) -> tuple[tuple[int, int], int]:
        """Height and width of a stage's maps, and their channels; the first is 0."""
        height, width, _ = self.input_shape
        return (height >> number, width >> number), self.channels << number

    def entering(self, number: int) -> list[Shape]:
        """The convolutions before a stage's cells: the stem, or those of a residual block, the shortcut's last."""
        channels = self.stage(number)[1]
        if number == 0:
            return [Shape((3, 3), self.input_shape[2], channels)]
        return [
            Shape(kernel, c, channels)
            for kernel, c in zip(((3, 3), (3, 3), (1, 1)), (channels // 2, channels, channels // 2), strict=True)
        ]

    def convolutions(self, operations: Iterable[str]) -> Iterator["Repeated"]:
        """All convolutions of a network whose cells have these operations."""
        for number in range(STAGES):
            size, channels = self.stage(number)
            for i, shape in enumerate(self.entering(number)):
                reduces = number > 0 and i == 0
                yield Repeated(self.stage(number - 1)[0] if reduces else size, shape, (2, 2) if reduces else (1, 1), 1)
            for side in (SIDES[operation] for operation in operations if operation in SIDES):
                yield Repeated(size, Shape((side, side), channels, channels), (1, 1), self.cells)

    def cost(self, operations: Sequence[str]) -> Cost:
        """Of a network whose cells have these operations.

        The benchmark's own count of operations is greater: it adds 2 for each number that is normalised, 1 for each
        that goes through ReLU, k * k for each that a pooling of side k gives, and (s + 1)**2 a channel for the average
        over a map of side s at the end.
        """
        parameters = work = cells = 0
        for size, shape, stride, times in self.convolutions(operations):
            out = size[0] * size[1] // math.prod(stride)
            parameters += times * _weights(shape)
            work += times * math.prod((*shape.kernel, *shape[1:], out))
            cells += times * out * shape.filters
        for number in range(STAGES):
            (height, width), channels = self.stage(number)
            parameters -= 2 * channels if number else 0  # the shortcut of a residual block is not normalised
            sums = 3 + operations.count("avg_pool_3x3")
            cells += height * width * channels * (self.cells * sums + (1 if number else 0))
        features = self.stage(STAGES - 1)[1]
        parameters += 2 * features + (features + 1) * self.classes
        return Cost(work + features * self.classes, parameters, 4 * (cells + self.classes))


class Repeated(NamedTuple):
    """A convolution: height and width of the map that it reads, its shape and strides, and how often it occurs."""

    size: tuple[int, int]
    shape: Shape
    stride: tuple[int, int]
    times: int


def _weights(shape: Shape) -> int:
    """Parameters of a convolution and of its normalisation."""
    return math.prod((*shape.kernel, *shape[1:])) + 2 * shape.filters


def description(cell: Cell, skeleton: Skeleton) -> dict:
    """The network as plain JSON values: the benchmark's string, and the parameters of all parts.

    "stages" has for each stage its map (height, width, channels), the parameters of each edge's operation in one cell,
    and those of the layers before the cells: the stem, or a residual block.
    """
    stages = []
    for number in range(STAGES):
        (height, width), channels = skeleton.stage(number)
        edges = [_weights(Shape((SIDES[o],) * 2, channels, channels)) if o in SIDES else 0 for o in cell.operations]
        before = skeleton.entering(number)
        parameters = sum(map(_weights, before)) - (2 * channels if number else 0)
        stages.append({"map": [height, width, channels], "edges": edges, "before": parameters})
    return {
        "type": "cell201",
        "input": list(skeleton.input_shape),
        "arch": describe(cell),
        "operations": list(cell.operations),
        "cells": skeleton.cells,
        "stages": stages,
    }
