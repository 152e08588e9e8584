"""How networks with skip connections share a program: their envelope, and the numbers that place one child in it.

What the numbers mean is told in `tiles`. Letters: L layers, N blocks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from typing import NamedTuple

import numpy as np

from jaxnas.children.cost import does_not_fit
from jaxnas.children.engines import Branching, Engine, Padded, Ragged
from jaxnas.children.engines.convolution import reach
from jaxnas.children.skip.architecture import MapShape, Skip, SkipLayer, map_shapes

TILE = 16
"""Pixels that are worked on at a time, each with a whole batch."""
QUAD = 4
"""Blocks that are multiplied at a time: fewer and larger matrix products."""
IMAGE = TILE
"""Where the image begins in the heap."""
CONVOLUTION, MAXIMUM, AVERAGE = 1, 2, 3
KINDS = {"convolution": CONVOLUTION, "max_pool": MAXIMUM, "average_pool": AVERAGE}
ORIGIN = 64
"""Added to a tap's offset where it names a random key: keys take no negative numbers."""


class Bounds(NamedTuple):
    """How often each loop turns at most: tiles of a map; blocks of a layer by four, and singly; segments of a layer;
    its runs; taps of a pooling window.
    """

    tiles: int
    quads: int
    singles: int
    segments: int
    runs: int
    taps: int


@dataclass(frozen=True)
class SkipEnvelope:
    """The padded shape in which different networks run. ``a | b`` holds what both hold.

    Attributes:
        layers: how many there is room for.
        blocks: likewise, of all layers together.
        pixels: of the heap.
        channels: of the widest map.
        image: channels of the image.
        bounds: loops have these fixed ends, so that children can run together under `jax.vmap`; None: each child's own.
        engine: `Branching` has ends of the child's own and classes of channels.
    """

    layers: int
    blocks: int
    pixels: int
    channels: int
    image: int
    bounds: Bounds | None
    engine: Engine

    def __or__(self, other: "SkipEnvelope") -> "SkipEnvelope":
        bounds = self.bounds and other.bounds and Bounds(*map(max, self.bounds, other.bounds))
        numbers = (max(getattr(self, n), getattr(other, n)) for n in ("layers", "blocks", "pixels", "channels"))
        return SkipEnvelope(*numbers, self.image, bounds, self.engine)

    @cached_property
    def _classes(self) -> tuple[list[int], list[int]]:
        """Of channels in and of filters; the last holds any."""
        own = self.engine.filters if isinstance(self.engine, Branching) else ()
        filters = sorted({c for c in own if c < self.channels} | {self.channels})
        return (sorted({self.image, *filters}) if own else filters), filters

    @property
    def widths(self) -> list[int]:
        """The classes of channels that are read."""
        return self._classes[0]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The classes of (channels in, filters) of a block."""
        return tuple(product(*self._classes))

    def width(self, channels: int) -> int:
        """The number of the class that serves a map of so many channels."""
        return next(i for i, c in enumerate(self.widths) if c >= channels)

    def pair(self, channels: int, filters: int) -> int:
        """The number of the pair that serves a block."""
        outs = self._classes[1]
        return self.width(channels) * len(outs) + next(i for i, c in enumerate(outs) if c >= filters)


class Blocks(NamedTuple):
    """``[N]`` each: the layer it belongs to, the map it reads, the (row, column) offset of the pixel it meets
    ``[N, 2]``, live (channels, filters) ``[N, 2]``, standard deviation of its initial weights.
    """

    layer: np.ndarray
    source: np.ndarray
    offset: np.ndarray
    live: np.ndarray
    spread: np.ndarray


class Segments(NamedTuple):
    """Blocks of a layer and a pair of classes, ``[N]`` each: (first block, number of blocks) ``[N, 2]``, the pair."""

    blocks: np.ndarray
    pair: np.ndarray


class Runs(NamedTuple):
    """Blocks of one layer, one map and one phase of its pixels, ``[N]`` each: (first block, number of blocks)
    ``[N, 2]``, the pair of classes, the map, the phase ``[N, 2]``, (rows, columns) of such pixels ``[N, 2]``.
    """

    blocks: np.ndarray
    pair: np.ndarray
    source: np.ndarray
    phase: np.ndarray
    grid: np.ndarray


class Layers(NamedTuple):
    """``[L]`` each: kind, 0 where the child has no such layer; (first, number) of its segments and of its runs; stride;
    size of its map; kernel and source of a pooling, and the class of what it reads; number of filters, 0 for a pooling;
    whether it is normalised; whether the classifier reads it.
    """

    kind: np.ndarray
    segments: np.ndarray
    runs: np.ndarray
    stride: np.ndarray
    size: np.ndarray
    kernel: np.ndarray
    source: np.ndarray
    width: np.ndarray
    filters: np.ndarray
    norm: np.ndarray
    read: np.ndarray


class SkipGenes(NamedTuple):
    """The place of one child.

    depth: its number of layers; sizes: of the image and all maps ``[L + 1, 2]``; offsets: where they begin in the heap
    ``[L + 1]``; channels: of all maps ``[L + 1]``; cells: of the map that the classifier averages; hyperparameters:
    the child's own, see `OwnHyperparameters`.
    """

    blocks: Blocks
    segments: Segments
    runs: Runs
    layers: Layers
    depth: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    channels: np.ndarray
    cells: np.ndarray
    hyperparameters: dict[str, np.ndarray]


def envelope(architectures: Sequence[Skip], input_shape, engine: Engine) -> SkipEnvelope:
    """The smallest envelope of an engine that holds them all.

    Raises:
        ValueError: an engine that has no such networks.
    """
    if isinstance(engine, Ragged):
        raise ValueError("engine 'ragged' has no kernel for strides and skips: take 'branching' or 'padded'")
    found = [_own(a, input_shape, engine) for a in architectures]
    joined = found[0]
    for other in found[1:]:
        joined = joined | other
    return joined


def _own(architecture: Skip, input_shape, engine: Engine) -> SkipEnvelope:
    at, layers = map_shapes(architecture, input_shape), architecture.layers
    counts = [_taps(layer) * len(layer.inputs) if layer.filters else 0 for layer in layers]
    bounds = None
    if isinstance(engine, Padded):
        runs = [math.prod(min(s, k) for s, k in zip(layer.stride, layer.kernel, strict=True)) for layer in layers]
        runs = [n * len(layer.inputs) if layer.filters else 0 for n, layer in zip(runs, layers, strict=True)]
        tiles = max(_tiles(_cells(p.size)) for p in at)
        taps = max((_taps(layer) for layer in layers if not layer.filters), default=0)
        bounds = Bounds(tiles, max(counts) // QUAD, QUAD - 1, 1, max(runs), taps)
    heap = TILE * (2 + sum(_tiles(_cells(p.size)) for p in at))
    channels = max(p.channels for p in at)
    return SkipEnvelope(len(layers), max(QUAD, sum(counts)), heap, channels, input_shape[2], bounds, engine)


def _taps(layer: SkipLayer) -> int:
    return layer.kernel[0] * layer.kernel[1]


def _cells(size) -> int:
    return size[0] * size[1]


def _tiles(pixels: int) -> int:
    return -(-pixels // TILE)


def place(architecture: Skip, inside: SkipEnvelope, input_shape: tuple[int, int, int]) -> SkipGenes:
    """The genes that make the network of envelope ``inside`` compute ``architecture``.

    Raises:
        ValueError: the envelope does not hold the architecture.
    """
    if inside | envelope([architecture], input_shape, inside.engine) != inside:
        raise does_not_fit(architecture, inside)
    at = map_shapes(architecture, input_shape)
    blocks, segments, runs, layers = [], [], [], []
    for number, layer in enumerate(architecture.layers, 1):
        first = len(segments), len(runs)
        if layer.filters:
            _add_blocks(number, layer, at, inside, blocks, segments, runs)
        counts = len(segments) - first[0], len(runs) - first[1]
        source, read = layer.inputs[-1], number in architecture.outputs
        ends = (first[0], counts[0]), (first[1], counts[1])
        width = inside.width(at[source].channels)
        own = (layer.kernel, source, width, layer.filters, bool(layer.filters and layer.norm), float(read))
        layers.append((KINDS[layer.kind], *ends, layer.stride, at[number].size, *own))
    offsets = IMAGE + TILE * np.cumsum([0, *(_tiles(_cells(p.size)) for p in at[:-1])])
    joint = [max(at[i].size[axis] for i in architecture.outputs) for axis in (0, 1)]
    rate = architecture.learning_rate
    rows = lambda values: _padded(np.array(values, np.int32), inside.layers + 1)
    return SkipGenes(
        blocks=_table(Blocks, blocks, inside.blocks),
        segments=_table(Segments, segments, inside.blocks),
        runs=_table(Runs, runs, inside.blocks),
        layers=_table(Layers, layers, inside.layers),
        depth=np.int32(len(layers)),
        sizes=rows([p.size for p in at]),
        offsets=rows(offsets),
        channels=rows([p.channels for p in at]),
        cells=np.int32(_cells(joint)),
        hyperparameters={} if rate is None else {"learning_rate": np.float32(rate)},
    )


def _add_blocks(number: int, layer: SkipLayer, at: list[MapShape], inside, blocks: list, segments: list, runs: list):
    """A convolution's blocks: maps of one class together, and within a map the taps that meet one phase of it."""
    spread = math.sqrt(2 / (_taps(layer) * at[number].channels_in))
    offsets = [range(-reach(side)[0], reach(side)[1] + 1) for side in layer.kernel]
    pair_of = lambda source: inside.pair(at[source].channels, layer.filters)
    for pair, sources in groupby(sorted(layer.inputs, key=pair_of), pair_of):
        begin = len(blocks)
        for source, phase in product(sources, list(product(*map(range, layer.stride)))):
            first, live = len(blocks), (at[source].channels, layer.filters)
            own = [[o for o in offsets[k] if (phase[k] - o) % layer.stride[k] == 0] for k in (0, 1)]
            blocks += [(number - 1, source, offset, live, spread) for offset in product(*own)]
            grid = [max(0, -(-(at[source].size[k] - phase[k]) // layer.stride[k])) for k in (0, 1)]
            if source > 0 and len(blocks) > first:  # the image has no gradient
                runs.append(((first, len(blocks) - first), pair, source, phase, grid))
        segments.append(((begin, len(blocks) - begin), pair))


FLOATS = {"spread": np.float32, "read": np.float32, "norm": np.bool_}
PAIRS = {"offset", "live", "blocks", "segments", "runs", "stride", "size", "kernel", "phase", "grid"}


def _table(kind: type, rows: list, length: int):
    """A named tuple of columns, zero where rows are missing."""
    columns = zip(*rows, strict=True) if rows else [()] * len(kind._fields)
    return kind(
        *(
            _padded(np.array(c, FLOATS.get(n, np.int32)).reshape((len(rows), 2) if n in PAIRS else -1), length)
            for n, c in zip(kind._fields, columns, strict=True)
        )
    )


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def executed(architecture: Skip, inside: SkipEnvelope, input_shape: tuple[int, int, int], classes: int) -> int:
    """Multiply-adds that run forward for one example of a network inside an envelope, its dense layer included."""
    dense = inside.layers * inside.channels * classes
    if inside.bounds is not None:
        blocks = inside.bounds.quads * QUAD + inside.bounds.singles
        return dense + inside.layers * inside.bounds.tiles * TILE * blocks * inside.channels**2
    at, total = map_shapes(architecture, input_shape), dense
    work = [channels * filters for channels, filters in inside.pairs]
    for layer, own in zip(architecture.layers, at[1:], strict=True):
        if layer.filters:
            pairs = (inside.pair(at[source].channels, layer.filters) for source in layer.inputs)
            blocks = _taps(layer) * sum(work[pair] for pair in pairs)
            total += _tiles(_cells(own.size)) * TILE * blocks
    return total
