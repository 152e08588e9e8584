"""What an engine is: how the convolution of a padded layer runs inside its envelope. The same numbers, different work.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax

from jaxnas.children.engines.shared import Shared

Sides = tuple[int, int]


class Shape(NamedTuple):
    """A convolution's kernel sides, channels in and filters."""

    kernel: Sides
    channels: int
    filters: int


@runtime_checkable
class Engine(Protocol):
    """A frozen dataclass. It is part of an envelope, and so of the key of a compiled program."""

    name: ClassVar[str]
    """By which users ask for it: "padded", "branching", "ragged"."""
    unasked: ClassVar[bool]
    """Whether it may be taken by predicted time alone."""
    in_turn: ClassVar[bool]
    """Whether children must run one after the other."""
    skips_absent: ClassVar[bool]
    """Whether a layer that a child lacks costs no work."""
    platform: str
    """Of the device that will run the program, as `jax.Device.platform` says: "cpu", "gpu" or "tpu". What is traced
    asks this, never JAX, so that a program can be compiled for a device that is not here."""

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int | Sequence[int]:
        """Which branch serves a child's layer, None where the child lacks it. Raises ValueError where none does."""

    def share(self, x: jax.Array, kernel: Sides, stride: Sides) -> jax.Array | Shared:
        """What the first layers of all children, inside a kernel of these sides, make of a batch's images together."""

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype) -> jax.Array:
        """x ``[B, H, W, C]``, of a first layer also what `share` gives, w ``[KH, KW, C, F]`` -> ``[B, ceil(H / stride),
        ceil(W / stride), F]``. Factors and the result, and so what is kept for the gradient, are of ``dtype``; sums and
        the gradient of w are float32. From what is shared, that gradient is not zero beyond a child's own taps and
        filters.
        """

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        """Multiply-adds that run forward for one example of a child on a map of ``size``."""

    def branches(self, padded: Shape, first: bool) -> int:
        """How many convolutions a layer compiles."""
