"""The space of convolutional chains.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.2 and 4.1
    (https://arxiv.org/abs/1611.01578).

Letters: T decisions.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from jaxtyping import Int

from jaxnas.children.chain.architecture import Chain, ChainEnvelope, ConvLayer
from jaxnas.children.chain.network import ChainChildren
from jaxnas.decisions import ABSENT, Choice, Decisions, from_on
from jaxnas.inputs import Inputs
from jaxnas.plain import shown
from jaxnas.ranges import Filters, Layers, Pixels
from jaxnas.settings import settings

DEPTH = "depth"
MOST_VALUES = 1000
"""To choose from."""


@settings
class ChainCNN:
    """Chains of convolutions: each layer decides filter height, filter width, number of filters and, where more than
    one is listed, stride height and stride width.

    Attributes:
        layers: number of layers, or the greatest number where ``depths`` are given.
        depths: the numbers of layers to choose from, ascending, ending in ``layers``; empty: always ``layers``. The
            choice is the first decision, and those of layers that do not exist are absent.
        kernel_heights: filter heights to choose from, in pixels.
        kernel_widths: filter widths to choose from, in pixels.
        filters: numbers of filters to choose from.
        stride_heights: stride heights to choose from, in pixels.
        stride_widths: stride widths to choose from, in pixels.
        pool_after: the layers (the first is 1) that 2x2 max pooling follows.

    Raises:
        ValueError: an empty, repeated or non-positive list of values, a depth or pooling place outside the layers.
    """

    layers: Layers = 6
    depths: tuple[Layers, ...] = ()
    kernel_heights: tuple[Pixels, ...] = (1, 3, 5, 7)
    kernel_widths: tuple[Pixels, ...] = (1, 3, 5, 7)
    filters: tuple[Filters, ...] = (24, 36, 48, 64)
    stride_heights: tuple[Pixels, ...] = (1,)
    stride_widths: tuple[Pixels, ...] = (1,)
    pool_after: tuple[Layers, ...] = ()

    def __post_init__(self):
        for name, values in self._values.items():
            check_different(f"{name.replace(' ', '_')}s", values)
        if max(self.pool_after, default=0) > self.layers or len(set(self.pool_after)) < len(self.pool_after):
            raise ValueError(f"pool_after={self.pool_after}: give different layers from 1 to {self.layers}")
        if self.depths and (self.depths[-1] != self.layers or any(b <= a for a, b in pairwise(self.depths))):
            raise ValueError(f"depths={self.depths}: give ascending positive numbers that end in layers={self.layers}")

    @property
    def _values(self) -> dict[str, tuple[int, ...]]:
        """The values of every kind of decision in a layer."""
        return {
            "kernel height": self.kernel_heights,
            "kernel width": self.kernel_widths,
            "filter": self.filters,
            "stride height": self.stride_heights,
            "stride width": self.stride_widths,
        }

    def _per_layer(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The kinds that are decided in a layer: strides only where there is something to choose."""
        for kind, values in self._values.items():
            if not kind.startswith("stride") or len(values) > 1:
                yield kind, values

    @cached_property
    def decisions(self) -> Decisions:
        """Layer by layer: filter height, filter width, number of filters, stride height, stride width."""
        choices = [Choice(DEPTH, DEPTH, len(self.depths))] if self.depths else []
        for layer in range(1, self.layers + 1):
            first = next((i for i, d in enumerate(self.depths) if d >= layer), 0)
            when = from_on(0, first, len(self.depths)) if first else ()
            choices += [Choice(f"layer {layer} {kind}", kind, len(values), when) for kind, values in self._per_layer()]
        return Decisions(tuple(choices))

    def decode(self, tokens: Int[np.ndarray, " T"]) -> Chain:
        """The chain that tokens mean. It ends at the first layer whose decisions are absent (-1).

        Raises:
            ValueError: tokens that this space does not have, or no layer at all.
        """
        tokens = self.decisions.check(tokens)[1 if self.depths else 0 :].reshape(self.layers, -1)
        present = (tokens != ABSENT).all(1)
        depth = self.layers if present.all() else int(present.argmin())
        if depth == 0 or (tokens[depth:] != ABSENT).any():
            raise ValueError(f"tokens {tokens.tolist()}: a chain has one or more whole layers and, after them, only -1")
        return Chain(tuple(self._layer(i, tokens[i - 1]) for i in range(1, depth + 1)))

    def _layer(self, number: int, tokens) -> ConvLayer:
        values = {kind: v[0] for kind, v in self._values.items()}
        values |= {kind: v[t] for (kind, v), t in zip(self._per_layer(), tokens.tolist(), strict=True)}
        return ConvLayer(
            (values["kernel height"], values["kernel width"]),
            values["filter"],
            (values["stride height"], values["stride width"]),
            2 if number in self.pool_after else 1,
        )

    def encode(self, architecture: Chain) -> Int[np.ndarray, " T"]:
        """The tokens of a chain: ``decode(encode(a)) == a``.

        Raises:
            ValueError: the chain is not in this space.
        """
        depth = len(architecture.layers)
        tokens = [self.depths.index(depth)] if depth in self.depths else []
        for layer in architecture.layers:
            has = dict(zip(self._values, (*layer.kernel, layer.filters, *layer.stride), strict=True))
            tokens += [values.index(has[kind]) if has[kind] in values else ABSENT for kind, values in self._per_layer()]
        known = ABSENT not in tokens and len(tokens) <= len(self.decisions)
        tokens = np.array(tokens + [ABSENT] * (len(self.decisions) - len(tokens)), np.int32)
        if not known or self.decode(tokens) != architecture:
            raise ValueError(f"{architecture} is not in {self}")
        return tokens

    def restore(self, described: dict) -> Chain:
        """See `Restores`."""
        layers = described["layers"]
        sides = [(tuple(layer["kernel"]), tuple(layer["stride"])) for layer in layers]
        made = zip(layers, sides, strict=True)
        return Chain(tuple(ConvLayer(kernel, one["filters"], stride, one["pool"]) for one, (kernel, stride) in made))

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> ChainChildren:
        """The chains of this space on images ``(height, width, channels)`` with so many labels; dtype: of factors.

        Raises:
            ValueError: text.
        """
        check_images(input_shape)
        stride = (np.gcd.reduce(self.stride_heights), np.gcd.reduce(self.stride_widths))
        widest = ConvLayer(
            (max(self.kernel_heights), max(self.kernel_widths)), max(self.filters), tuple(map(int, stride))
        )
        layers = tuple(
            ConvLayer(widest.kernel, widest.filters, widest.stride, 2 if i in self.pool_after else 1)
            for i in range(1, self.layers + 1)
        )
        maps_differ = len(self.stride_heights) > 1 or len(self.stride_widths) > 1
        full = ChainEnvelope(layers, self.depths or (self.layers,), maps_differ)
        kernels = tuple(product(self.kernel_heights, self.kernel_widths))
        strides = max(self.stride_heights), max(self.stride_widths)
        return ChainChildren(input_shape, classes, full, kernels, tuple(sorted(self.filters)), strides, dtype=dtype)


def check_different(name: str, values: tuple) -> None:
    """Raises ValueError unless these are values to choose from: one or more, none twice."""
    if not 1 <= len(values) <= MOST_VALUES or len(set(values)) < len(values):
        raise ValueError(f"{name}={shown(values)}: give one or more different values, {MOST_VALUES:,} at most")


def check_images(input_shape: tuple[int, ...]) -> None:
    """Raises ValueError unless this is ``(height, width, channels)``."""
    if Inputs.of(input_shape).kind != "image":
        raise ValueError(
            f"convolutions read images, not examples of shape {input_shape}: take the task Digits or Images, or for "
            "the task Text the space RecurrentCell"
        )
