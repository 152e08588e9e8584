"""The *branching* engine: a program with an exact convolution for each shape of the space."""

from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar

from jaxnas.children.engines import convolution
from jaxnas.children.engines.engine import Shape, Sides
from jaxnas.children.engines.padded import Padded
from jaxnas.children.engines.shared import share
from jaxnas.children.engines.switch import Table, conv

MOST_CLASSES = 6
"""Of a space with more numbers of filters, so many evenly chosen ones are tried as classes."""


@dataclass(frozen=True)
class Branching:
    """A program with an exact convolution for each shape of the space; each child takes its own branch.

    For children that run in turn: under `jax.vmap` every branch would run for every child.

    Attributes:
        kernels: all pairs of kernel sides.
        filters: classes of filters, ascending; a child's channels are rounded up to the next class.
        platform: see `Engine`.
    """

    name: ClassVar[str] = "branching"
    unasked: ClassVar[bool] = True
    in_turn: ClassVar[bool] = True
    skips_absent: ClassVar[bool] = True

    kernels: tuple[Sides, ...]
    filters: tuple[int, ...]
    platform: str = "cpu"

    def pairs(self, channels: int, first: bool) -> tuple[Sides, ...]:
        """The classes of (channels in, filters) of a layer; the first layer's channels are those of the image."""
        return tuple(product((channels,) if first else self.filters, self.filters))

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int:
        pairs = self.pairs(padded.channels, first)
        if own is None:
            return len(pairs) * len(self.kernels)
        rounded = own.channels if first else self._class(own.channels), self._class(own.filters)
        if own.kernel not in self.kernels or rounded not in pairs:
            raise ValueError(f"no branch for {own}: there are {self.kernels} of {pairs} channels")
        return pairs.index(rounded) * len(self.kernels) + self.kernels.index(own.kernel)

    def share(self, x, kernel: Sides, stride: Sides):
        return share(x, kernel, stride)

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        table = None if self._once(w.shape[2], first) else Table(self.kernels, self.pairs(w.shape[2], first))
        return conv(x, w, branch, stride, table, dtype, first, self.platform)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        if self._once(padded.channels, first):
            return Padded(platform=self.platform).executed(size, padded, own, stride, first)
        if own is None:
            return 0
        channels = own.channels if first else self._class(own.channels)
        shape = (*own.kernel, channels, self._class(own.filters))
        return convolution.multiply_adds(size, shape, stride, self.platform)

    def branches(self, padded: Shape, first: bool) -> int:
        return 1 if self._once(padded.channels, first) else len(self.kernels) * len(self.pairs(padded.channels, first))

    def _once(self, channels: int, first: bool) -> bool:
        """Whether a layer has one convolution for all children: that of an image of one channel takes so little of a
        child's time that branches would cost more to compile.
        """
        return first and channels == 1 and self.platform == "cpu"

    def _class(self, filters: int) -> int | None:
        return next((c for c in self.filters if c >= filters), None)


def filter_classes(filters: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sets of classes to choose from, of numbers of filters, ascending: each holds the greatest."""
    rest, step = filters[:-1], -(-len(filters) // MOST_CLASSES)
    rest = rest[step - 1 :: step]
    return [(*some, filters[-1]) for k in range(len(rest) + 1) for some in combinations(rest, k)]
