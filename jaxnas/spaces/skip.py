"""The convolutional space of Zoph & Le with skip connections, strides, layer types and growing depth.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.3 and 4.1
    (https://arxiv.org/abs/1611.01578).

Letters: T columns of tokens.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Int

from jaxnas.children.skip.architecture import Kind, Skip, SkipLayer
from jaxnas.children.skip.network import SkipChildren
from jaxnas.decisions import ABSENT, Anchor, Choice, Decisions
from jaxnas.ranges import Filters, LearningRate, Pixels, Range
from jaxnas.settings import settings
from jaxnas.spaces.chain import check_different, check_images

RATE = "learning rate"
SkipLayers = Annotated[int, Range(1, 64)]
"""Each layer has a column for every layer before it."""
ORDER = ("max_pool", "average_pool", "convolution")
"""Of the values of a layer's type: what only a convolution has needs the last of them."""


@settings
class Growth:
    """The depth grows during a search (section 4.1).

    Attributes:
        start: layers of the first trials.
        by: how many are added at a time.
        every: after how many trials.
    """

    start: SkipLayers = 6
    by: SkipLayers = 2
    every: Annotated[int, Range(1, 10**9)] = 1600

    def depth(self, trials: int) -> int:
        """Layers of a round before which so many trials were made."""
        return self.start + self.by * (trials // self.every)


@settings
class SkipCNN:
    """Layers with skip connections: each decides its inputs by an anchor, and kernel, strides, filters, type and batch
    normalisation where more than one value is listed.

    A layer reads the earlier layers that its anchor points to, or the image where it points to none. A pooling layer
    reads the nearest of them alone: it keeps the channels that it reads, and those of a concatenation could double from
    layer to layer without bound.

    Attributes:
        layers: number of layers; with ``growth``, the greatest.
        growth: None: always ``layers``.
        kernel_heights: to choose from, in pixels; of filters and of pooling windows.
        kernel_widths: likewise.
        filters: numbers of filters to choose from.
        stride_heights: stride heights to choose from, in pixels.
        stride_widths: stride widths to choose from, in pixels.
        types: kinds of layer to choose from.
        norms: whether batch normalisation follows a convolution: values to choose from.
        learning_rates: of the child's training, one decision before all layers; empty: that of the training settings.

    Raises:
        ValueError: an empty, repeated or impossible list of values, a growth that begins beyond ``layers``.
    """

    layers: SkipLayers = 6
    growth: Growth | None = None
    kernel_heights: tuple[Pixels, ...] = (1, 3, 5, 7)
    kernel_widths: tuple[Pixels, ...] = (1, 3, 5, 7)
    filters: tuple[Filters, ...] = (24, 36, 48, 64)
    stride_heights: tuple[Pixels, ...] = (1, 2, 3)
    stride_widths: tuple[Pixels, ...] = (1, 2, 3)
    types: tuple[Kind, ...] = ("convolution",)
    norms: tuple[bool, ...] = (True,)
    learning_rates: tuple[LearningRate, ...] = ()

    def __post_init__(self):
        if self.growth is not None and self.growth.start > self.layers:
            raise ValueError(f"growth.start={self.growth.start}: it must not exceed layers={self.layers}")
        for name in ("kernel_heights", "kernel_widths", "filters", "stride_heights", "stride_widths", "types", "norms"):
            check_different(name, getattr(self, name))
        if self.learning_rates:
            check_different("learning_rates", self.learning_rates)
        if "convolution" not in self.types:
            raise ValueError(f"types={self.types}: give convolution and, if you like, max_pool and average_pool")

    @cached_property
    def _values(self) -> dict[str, tuple]:
        """The values of every kind of choice in a layer, in the order in which they are made."""
        return {
            "type": tuple(kind for kind in ORDER if kind in self.types),
            "kernel height": self.kernel_heights,
            "kernel width": self.kernel_widths,
            "stride height": self.stride_heights,
            "stride width": self.stride_widths,
            "filters": self.filters,
            "norm": self.norms,
        }

    def _decided(self) -> Iterator[tuple[str, tuple]]:
        """The kinds that are decided in a layer: kernel and filters always, the rest where there is a choice."""
        for kind, values in self._values.items():
            if len(values) > 1 or kind in ("kernel height", "kernel width", "filters"):
                yield kind, values

    @cached_property
    def decisions(self) -> Decisions:
        """The learning rate; then layer by layer the anchor, type, kernel, strides, filters and normalisation."""
        made = [Choice(RATE, RATE, len(self.learning_rates))] if self.learning_rates else []
        column = len(made)
        for layer in range(1, self.layers + 1):
            made.append(Anchor(f"layer {layer}"))
            column += layer - 1
            typed = ((column, (len(self.types) - 1,)),) if len(self.types) > 1 else ()
            for kind, values in self._decided():
                when = typed if kind in ("filters", "norm") else ()
                made.append(Choice(f"layer {layer} {kind}", kind, len(values), when))
                column += 1
        return Decisions(tuple(made))

    @cached_property
    def _slices(self) -> list[tuple[slice, slice]]:
        """The columns of each layer's links and of its choices."""
        found, column, choices = [], 1 if self.learning_rates else 0, len([*self._decided()])
        for layer in range(self.layers):
            middle = column + layer
            found.append((slice(column, middle), slice(middle, middle + choices)))
            column = middle + choices
        return found

    def present(self, trials: int) -> Bool[np.ndarray, " T"]:
        """Which columns exist in a round before which so many trials were made."""
        depth = self.layers if self.growth is None else min(self.layers, self.growth.depth(trials))
        return np.arange(len(self.decisions)) < self._slices[depth - 1][1].stop

    def decode(self, tokens: Int[np.ndarray, " T"]) -> Skip:
        """The network that tokens mean. It ends at the first layer whose decisions are absent (-1).

        Raises:
            ValueError: tokens that this space does not have, or no layer at all.
        """
        tokens = self.decisions.check(tokens)
        if self.learning_rates and tokens[0] == ABSENT:
            raise ValueError(f"tokens {tokens.tolist()}: the learning rate, the first one, must be decided")
        exists = self.decisions.without_absent(tokens[None])[0]
        layers = []
        for links, choices in self._slices:
            if (tokens[choices] == ABSENT).all() and (tokens[links] == ABSENT).all():
                break
            layers.append(self._layer(tokens[links], tokens[choices]))
        end = self._slices[len(layers) - 1][1].stop if layers else 0
        if not layers or (tokens[end:] != ABSENT).any() or (tokens != exists).any():
            raise ValueError(f"tokens {tokens.tolist()}: a network has one or more layers and, after them, only -1")
        return Skip(tuple(layers), self.learning_rates[tokens[0]] if self.learning_rates else None)

    def _layer(self, links, tokens) -> SkipLayer:
        values = {kind: v[-1 if kind == "type" else 0] for kind, v in self._values.items()}
        made = zip(self._decided(), tokens.tolist(), strict=True)
        chosen = {kind: v[t] for (kind, v), t in made if t != ABSENT}
        convolution = (values | chosen)["type"] == "convolution"
        optional = set() if convolution else {"filters", "norm"}
        if (links == ABSENT).any() or {kind for kind, _ in self._decided()} - {*chosen} - optional:
            raise ValueError(f"tokens {tokens.tolist()} with links {links.tolist()}: a layer has all of its decisions")
        values |= chosen
        inputs = tuple(int(j) + 1 for j in np.flatnonzero(links)) or (0,)
        kernel, stride = ((values[f"{name} height"], values[f"{name} width"]) for name in ("kernel", "stride"))
        if not convolution:
            return SkipLayer(values["type"], inputs[-1:], kernel, stride)
        return SkipLayer("convolution", inputs, kernel, stride, values["filters"], values["norm"])

    def encode(self, architecture: Skip) -> Int[np.ndarray, " T"]:
        """Tokens of a network: ``decode(encode(a)) == a``.

        Raises:
            ValueError: the network is not in this space.
        """
        tokens, missing = np.full(len(self.decisions), ABSENT, np.int32), ValueError(f"{architecture} is not in {self}")
        index = lambda values, value: values.index(value) if value in values else ABSENT
        if len(architecture.layers) > self.layers:
            raise missing
        if self.learning_rates:
            tokens[0] = index(self.learning_rates, architecture.learning_rate)
        for number, (layer, (links, choices)) in enumerate(zip(architecture.layers, self._slices, strict=False), 1):
            own = (layer.filters, layer.norm) if layer.filters else (None, None)
            has = dict(zip(self._values, (layer.kind, *layer.kernel, *layer.stride, *own), strict=True))
            tokens[links] = np.isin(np.arange(1, number), layer.inputs)
            tokens[choices] = [index(values, has[kind]) for kind, values in self._decided()]
        try:
            same = self.decode(tokens) == architecture
        except ValueError as error:
            raise missing from error
        if not same:
            raise missing
        return tokens

    def restore(self, described: dict) -> Skip:
        """See `Restores`."""
        layers = []
        for layer in described["layers"]:
            about = (layer["type"], *(tuple(layer[name]) for name in ("inputs", "kernel", "stride")))
            own = (layer["channels"], layer["norm"]) if layer["type"] == "convolution" else ()
            layers.append(SkipLayer(*about, *own))
        return Skip(tuple(layers), described.get("learning_rate"))

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> SkipChildren:
        """The networks of this space on images ``(height, width, channels)``; dtype: of factors.

        Raises:
            ValueError: text.
        """
        check_images(input_shape)
        kernel = max(self.kernel_heights), max(self.kernel_widths)
        filters, strides = tuple(sorted(self.filters)), (max(self.stride_heights), max(self.stride_widths))
        return SkipChildren(input_shape, classes, self.layers, kernel, filters, strides, any(self.norms), dtype=dtype)
