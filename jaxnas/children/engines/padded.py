"""The *padded* engine: one convolution of the envelope's size."""

from dataclasses import dataclass
from typing import ClassVar

from jaxnas.children.engines import convolution
from jaxnas.children.engines.engine import Shape, Sides
from jaxnas.children.engines.shared import share
from jaxnas.children.engines.switch import conv


@dataclass(frozen=True)
class Padded:
    """Every child pays the whole envelope: for children that are tiny or nearly equal.

    Attributes:
        plain: off CPU, XLA's own convolutions: for a group of one child. For several, which run under `jax.vmap`, these
            would be grouped ones, and patches are the form.
        platform: see `Engine`.
    """

    name: ClassVar[str] = "padded"
    unasked: ClassVar[bool] = True
    in_turn: ClassVar[bool] = False
    skips_absent: ClassVar[bool] = False

    plain: bool = False
    platform: str = "cpu"

    @property
    def by_library(self) -> bool:
        """Whether the convolutions are XLA's own."""
        return self.plain and self.platform != "cpu"

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int:
        return 0

    def share(self, x, kernel: Sides, stride: Sides):
        return x if self.by_library else share(x, kernel, stride)

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return conv(x, w, branch, stride, None, dtype, first, self.platform, self.by_library)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        shape = (*padded.kernel, padded.channels, padded.filters)
        return convolution.multiply_adds(size, shape, stride, self.platform)

    def branches(self, padded: Shape, first: bool) -> int:
        return 1
