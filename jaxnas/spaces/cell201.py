"""The topology space of NAS-Bench-201: 15,625 cells.

References:
    Dong & Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, 2020
    (https://arxiv.org/abs/2001.00326).

Letters: T decisions, here 6.
"""

from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Int

from jaxnas.children.cell201 import architecture as cell201
from jaxnas.children.cell201.architecture import EDGES, OPERATIONS, Cell
from jaxnas.children.cell201.network import CellChildren
from jaxnas.decisions import Choice, Decisions
from jaxnas.ranges import Range
from jaxnas.settings import settings
from jaxnas.spaces.chain import check_images


@settings
class Cell201:
    """An operation for each of a cell's six edges.

    Attributes:
        channels: of the network's first stage (the paper's C); the second has twice, the third four times as many.
        cells: of each of the three stages (the paper's N).
    """

    channels: Annotated[int, Range(1, 4096)] = 16
    cells: Annotated[int, Range(1, 100)] = 5

    @cached_property
    def decisions(self) -> Decisions:
        """A choice of kind "operation" for each edge, in the order of the benchmark's string."""
        return Decisions(tuple(Choice(f"edge {i} to {j}", "operation", len(OPERATIONS)) for i, j in EDGES))

    def decode(self, tokens) -> Cell:
        """The cell of tokens ``[T]``. Raises ValueError where they are not of this space."""
        return Cell(tuple(OPERATIONS[token] for token in self.decisions.check(tokens).tolist()))

    def encode(self, architecture: Cell) -> Int[np.ndarray, " T"]:
        """Tokens ``[T]`` of a cell."""
        return np.array([OPERATIONS.index(operation) for operation in architecture.operations], np.int32)

    def parse(self, text: str) -> Cell:
        """The cell of the benchmark's architecture string. Raises ValueError where it is none."""
        return cell201.parse(text)

    def restore(self, described: dict) -> Cell:
        """See `Restores`."""
        return self.parse(described["arch"])

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> CellChildren:
        """The networks of this space on images ``(height, width, channels)`` with so many labels; dtype: of factors.

        Raises:
            ValueError: images whose sides are not multiples of 4, or text.
        """
        check_images(input_shape)
        return CellChildren(input_shape, classes, self.channels, self.cells, dtype=dtype)
