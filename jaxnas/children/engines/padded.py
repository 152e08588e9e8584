"""The *padded* engine: one convolution of the envelope's size."""

from dataclasses import dataclass
from typing import ClassVar

from jaxnas.children.engines import convolution
from jaxnas.children.engines.engine import Shape, Sides
from jaxnas.children.engines.switch import conv


@dataclass(frozen=True)
class Padded:
    """Every child pays the whole envelope: for children that are tiny or nearly equal."""

    name: ClassVar[str] = "padded"
    unasked: ClassVar[bool] = True
    in_turn: ClassVar[bool] = False
    skips_absent: ClassVar[bool] = False

    platform: str = "cpu"

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int:
        return 0

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return conv(x, w, branch, stride, None, dtype, first)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        return convolution.multiply_adds(size, (*padded.kernel, padded.channels, padded.filters), stride)

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        return 1
