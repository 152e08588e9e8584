"""Chains of convolutions as facts: architecture, envelope of several, genes that place one, cost.

The network itself is in `network`. Letters: F filters, KH KW kernel height and width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import NamedTuple

import jax
import numpy as np

from jaxnas.children.cost import Cost, does_not_fit, more
from jaxnas.children.engines import Engine, Padded, Shape
from jaxnas.children.engines.convolution import reach


@dataclass(frozen=True)
class ConvLayer:
    """One layer of a chain: sides and strides as (height, width); ``pool`` is the side of the max pooling after it."""

    kernel: tuple[int, int]
    filters: int
    stride: tuple[int, int] = (1, 1)
    pool: int = 1


@dataclass(frozen=True)
class Chain:
    """An architecture: its layers from the image upwards."""

    layers: tuple[ConvLayer, ...]


@dataclass(frozen=True)
class ChainEnvelope:
    """The padded shape in which different chains run: the key of one compiled program. ``a | b`` holds what both hold.

    Attributes:
        layers: per layer the greatest kernel sides and filters, and the greatest common divisor of the strides.
        exits: the depths of the chains inside, ascending; the network's output can be read after each.
        maps_differ: strides differ inside, so the chains' maps differ in size.
        engine: how the convolutions run.
    """

    layers: tuple[ConvLayer, ...]
    exits: tuple[int, ...]
    maps_differ: bool = False
    engine: Engine = Padded()

    def __or__(self, other: "ChainEnvelope") -> "ChainEnvelope":
        both = min(len(self.layers), len(other.layers))
        rest = self.layers[both:] or other.layers[both:]
        strides_differ = any(a.stride != b.stride for a, b in zip(self.layers[:both], other.layers[:both], strict=True))
        return ChainEnvelope(
            tuple(_join(i, a, b) for i, (a, b) in enumerate(zip(self.layers[:both], other.layers[:both], strict=True)))
            + rest,
            tuple(sorted({*self.exits, *other.exits})),
            self.maps_differ or other.maps_differ or strides_differ,
            self.engine,
        )

    def shapes(self, channels: int) -> list[Shape]:
        """The padded convolution of each layer on images of so many channels."""
        return convolutions(self.layers, channels)


def convolutions(layers: Sequence[ConvLayer], channels: int) -> list[Shape]:
    """Kernel, channels in and filters of each layer on images of so many channels."""
    entering = [channels, *(layer.filters for layer in layers[:-1])]
    return [Shape(layer.kernel, c, layer.filters) for layer, c in zip(layers, entering, strict=True)]


def equal_layers(layers: Sequence[ConvLayer], channels: int) -> list[tuple[int, int]]:
    """The runs of equal layers that also leave the map's shape as it was, as (first, end); each other layer alone."""
    found, keeps = [], []
    for i, (layer, shape) in enumerate(zip(layers, convolutions(layers, channels), strict=True)):
        keeps.append(i > 0 and layer.stride == (1, 1) and layer.pool == 1 and shape.channels == shape.filters)
        if keeps[i] and keeps[i - 1] and layers[i - 1] == layer:
            found[-1] = found[-1][0], i + 1
        else:
            found.append((i, i + 1))
    return found


def _join(index: int, a: ConvLayer, b: ConvLayer) -> ConvLayer:
    if a.pool != b.pool:
        raise ValueError(
            f"layer {index + 1} is followed by pooling {a.pool} in one chain and {b.pool} in another: "
            "chains that train together pool at the same places"
        )
    kernel = tuple(map(max, a.kernel, b.kernel))
    return ConvLayer(kernel, max(a.filters, b.filters), tuple(map(math.gcd, a.stride, b.stride)), a.pool)


class LayerGenes(NamedTuple):
    """The place of one layer of a child in its envelope; a layer that the child lacks is all zeros.

    taps: 1 where the child's kernel lies, ``[KH, KW]``; filters: 1 for the child's filters, ``[F]``; step: the child's
    stride divided by the envelope's, ``[2]``; size: height and width of its map before and after pooling, ``[2, 2]``;
    spread: standard deviation of its initial weights, ``[]``; branch: which of the engine's branches serves
    it, ``[]`` or what the engine wants.
    """

    taps: np.ndarray
    filters: np.ndarray
    step: np.ndarray
    size: np.ndarray
    spread: np.ndarray
    branch: np.ndarray


class ChainGenes(NamedTuple):
    """layers: one `LayerGenes` a layer of the envelope; exit: 1 at the child's own depth, ``[len(exits)]``."""

    layers: tuple[LayerGenes, ...]
    exit: np.ndarray


def map_sizes(
    layers: Sequence[ConvLayer], input_shape: tuple[int, int, int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Height and width of the map after each convolution, and after its pooling."""
    sizes, size = [], input_shape[:2]
    for layer in layers:
        conv = (-(-size[0] // layer.stride[0]), -(-size[1] // layer.stride[1]))
        size = (-(-conv[0] // layer.pool), -(-conv[1] // layer.pool))
        sizes.append((conv, size))
    return sizes


def envelope(architectures: Sequence[Chain]) -> ChainEnvelope:
    """The smallest envelope that holds them all. That of a single chain has no padding: it is the ordinary network."""
    return reduce(or_, (ChainEnvelope(a.layers, (len(a.layers),)) for a in architectures))


def widen(architecture: Chain, factor: float) -> Chain:
    """The chain with so many times the filters in every layer."""
    return Chain(tuple(replace(layer, filters=more(layer.filters, factor)) for layer in architecture.layers))


def place(architecture: Chain, inside: ChainEnvelope, input_shape: tuple[int, int, int]) -> ChainGenes:
    """The genes that make the network of envelope ``inside`` compute ``architecture``.

    Raises:
        ValueError: the envelope does not hold the architecture.
    """
    if inside | envelope([architecture]) != inside:
        raise does_not_fit(architecture, inside)
    sizes, padded = map_sizes(architecture.layers, input_shape), inside.shapes(input_shape[2])
    layers, own = [], convolutions(architecture.layers, input_shape[2])
    for i, layer in enumerate(architecture.layers):
        branch = inside.engine.branch(padded[i], own[i], i == 0)
        layers.append(_layer_genes(layer, inside.layers[i], own[i].channels, sizes[i], branch))
    for outer, shape in list(zip(inside.layers, padded, strict=True))[len(layers) :]:
        absent = inside.engine.branch(shape, None, False)
        nothing = jax.tree.map(np.zeros_like, _layer_genes(outer, outer, 1, ((1, 1), (1, 1)), 0))
        layers.append(nothing._replace(branch=np.asarray(absent, np.int32)))
    return ChainGenes(tuple(layers), np.array([e == len(architecture.layers) for e in inside.exits], np.float32))


def _layer_genes(layer: ConvLayer, outer: ConvLayer, channels: int, size, branch: int | Sequence[int]) -> LayerGenes:
    def tap(side, outer_side):
        offset = np.arange(outer_side) - reach(outer_side)[0]
        before, after = reach(side)
        return ((offset >= -before) & (offset <= after)).astype(np.float32)

    return LayerGenes(
        taps=np.outer(tap(layer.kernel[0], outer.kernel[0]), tap(layer.kernel[1], outer.kernel[1])),
        filters=(np.arange(outer.filters) < layer.filters).astype(np.float32),
        step=np.array([layer.stride[i] // outer.stride[i] for i in (0, 1)], np.int32),
        size=np.array(size, np.int32),
        spread=np.float32(math.sqrt(2 / (layer.kernel[0] * layer.kernel[1] * channels))),
        branch=np.asarray(branch, np.int32),
    )


def executed(architecture: Chain, inside: ChainEnvelope, input_shape: tuple[int, int, int], classes: int) -> int:
    """Multiply-adds that run forward for one example of a chain inside an envelope, its dense layer included."""
    own = [*convolutions(architecture.layers, input_shape[2]), *[None] * len(inside.layers)]
    total = max(inside.layers[e - 1].filters for e in inside.exits) * classes
    size = input_shape[:2]
    for i, (layer, shape) in enumerate(zip(inside.layers, inside.shapes(input_shape[2]), strict=True)):
        total += inside.engine.executed(size, shape, own[i], layer.stride, i == 0)
        size = map_sizes([layer], (*size, 1))[0][1]
    return total


def layer_costs(architecture: Chain, input_shape: tuple[int, int, int]) -> list[Cost]:
    """Exact cost of each layer; a convolution counts every tap at every output position."""
    costs, cin = [], input_shape[2]
    for layer, (conv, pooled) in zip(architecture.layers, map_sizes(architecture.layers, input_shape), strict=True):
        weights = layer.kernel[0] * layer.kernel[1] * cin * layer.filters
        cells = conv[0] * conv[1] + (pooled[0] * pooled[1] if layer.pool > 1 else 0)
        costs.append(Cost(weights * conv[0] * conv[1], weights + 2 * layer.filters, 4 * cells * layer.filters))
        cin = layer.filters
    return costs


def cost(architecture: Chain, input_shape: tuple[int, int, int], classes: int) -> Cost:
    """Exact cost of the unpadded chain, its dense layer included."""
    features = architecture.layers[-1].filters
    dense = Cost(features * classes, (features + 1) * classes, 4 * classes)
    return sum(layer_costs(architecture, input_shape), dense)


def describe(architecture: Chain, input_shape: tuple[int, int, int]) -> dict:
    """The chain as plain JSON values, with each layer's map after pooling (height, width) and its parameters."""
    rows = zip(
        architecture.layers,
        map_sizes(architecture.layers, input_shape),
        layer_costs(architecture, input_shape),
        strict=True,
    )
    return {
        "type": "chain",
        "input": list(input_shape),
        "layers": [
            {
                "kernel": list(layer.kernel),
                "filters": layer.filters,
                "stride": list(layer.stride),
                "pool": layer.pool,
                "map": list(sizes[1]),
                "parameters": price.parameters,
            }
            for layer, sizes, price in rows
        ],
    }
