"""The network of NAS-Bench-201 around one cell. Written for ONE child inside its envelope.

References:
    Dong & Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, 2020, section 2.1
    (https://arxiv.org/abs/2001.00326).

Letters: B batch, H W height and width of the map, C channels in, F filters, K kernel side, N cells of a stage,
L classes.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from jaxnas.children import cell201, convolution, masked
from jaxnas.children.cell201 import EDGES, OPERATIONS, SIDES, STAGES, Cell, CellEnvelope, CellGenes, Skeleton
from jaxnas.children.cell201_edges import Form, Values, cell, conv_norm
from jaxnas.children.chain import more
from jaxnas.children.chain_net import BatchNorm
from jaxnas.children.cost import Cost
from jaxnas.children.engines import Branching, Engine, Padded, Ragged
from jaxnas.children.masked import Statistics
from jaxnas.rng import key_for

FIXED = 3
"""Layers of a residual block."""


@dataclass(frozen=True)
class CellChildren:
    """The networks of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (height, width, channels) of an image.
        classes: how many labels there are.
        channels: of the first stage (the paper's C).
        cells: of each stage (N).
        norm: settings of batch normalisation.
        dtype: of a convolution's operands, "float32" or "bfloat16"; sums and parameters are float32.

    Raises:
        ValueError: images whose sides are not multiples of 4.
    """

    input_shape: tuple[int, int, int]
    classes: int
    channels: int
    cells: int
    norm: BatchNorm = field(default_factory=BatchNorm)
    dtype: str = "float32"

    def __post_init__(self):
        _ = self.skeleton

    @property
    def skeleton(self) -> Skeleton:
        """The network around the cells."""
        return Skeleton(self.input_shape, self.classes, self.channels, self.cells)

    @property
    def filters(self) -> tuple[int, ...]:
        """Classes of filters that an engine could choose from: there is nothing to choose."""
        return (self.channels,)

    def envelope(self, architectures: Sequence[Cell]) -> CellEnvelope:
        """The smallest envelope that holds them all."""
        return cell201.envelope(architectures)

    def roof(self, architectures: Sequence[Cell], engine: Engine, known: Collection = ()) -> CellEnvelope:
        """The envelope of the whole space: one program serves a search, whatever is known."""
        return self.whole(engine)

    def whole(self, engine: Engine) -> CellEnvelope:
        """The envelope for every cell. Raises ValueError for an engine that cannot run cells."""
        if isinstance(engine, Ragged):
            raise ValueError(
                "engine 'ragged' has no kernel for the poolings and identities of cells: take 'branching' or 'padded'"
            )
        return CellEnvelope((OPERATIONS,) * len(EDGES), engine)

    def occupied(self, inside: CellEnvelope) -> Cost:
        """The cost of an envelope: that of the cell which takes most of it."""
        return self.skeleton.cost([max(edge, key=lambda o: SIDES.get(o, 0)) for edge in inside.operations])

    def branches(self, inside: CellEnvelope) -> int:
        """How many convolutions its program compiles: the cells of a stage once."""
        edges = [sum(o in SIDES for o in edge) for edge in inside.operations]
        edges = edges if inside.engine.in_turn else [min(1, count) for count in edges]
        return 1 + 3 * (STAGES - 1) + STAGES * sum(edges)

    def branching(self, filters: tuple[int, ...]) -> Branching:
        """The engine with a branch for each operation."""
        return Branching(tuple((side, side) for side in SIDES.values()), filters)

    @property
    def pace(self) -> float:
        """Multiply-adds a second, of those of a chain."""
        return 1.0

    @property
    def unmeasured(self) -> Engine:
        """The engine for a device whose speed has not been measured."""
        return Padded()

    def widened(self, factor: float) -> "CellChildren":
        """The networks with so many times the channels, and other initial weights: what `widen` gives."""
        return replace(self, channels=more(self.channels, factor))

    def widen(self, architecture: Cell, factor: float) -> Cell:
        """The cell itself, which has no widths of its own."""
        return architecture

    def depth(self, architecture: Cell) -> int:
        """Of cells: all networks have as many."""
        return STAGES * self.cells

    def place(self, architecture: Cell, inside: CellEnvelope) -> CellGenes:
        """The arrays that place one cell in an envelope. Raises ValueError where it does not fit."""
        return cell201.place(architecture, inside)

    def build(self, inside: CellEnvelope, genes: CellGenes, key: jax.Array) -> "CellNet":
        """The padded network of one cell with its initial weights; ``key`` is consumed."""
        return CellNet(inside, self, genes, key)

    def cost(self, architecture: Cell) -> Cost:
        """Exact cost of the network, its stem, residual blocks and dense layer included."""
        return self.skeleton.cost(architecture.operations)

    def executed(self, architecture: Cell, inside: CellEnvelope) -> int:
        """Multiply-adds that run for one example of a network inside an envelope, forward."""
        operations = architecture.operations
        if not inside.engine.in_turn:
            operations = [max(edge, key=lambda o: SIDES.get(o, 0)) for edge in inside.operations]
        count = lambda size, shape, stride: convolution.multiply_adds(size, (*shape.kernel, *shape[1:]), stride)
        found = self.skeleton.convolutions(operations)
        dense = self.skeleton.stage(STAGES - 1)[1] * self.classes
        return dense + sum(times * count(size, shape, stride) for size, shape, stride, times in found)

    def describe(self, architecture: Cell) -> dict:
        """The network as JSON values, for the ledger and for drawings."""
        return cell201.description(architecture, self.skeleton)


def _normal_form(spec: CellChildren, stride: int = 1, image: bool = False) -> Form:
    return Form(jnp.dtype(spec.dtype), spec.norm.epsilon, stride, image)


class Drawn:
    """Random numbers for the weights: of each layer in the widest shape of the space, from a key of its own, so that a
    child begins with the same numbers in any company.

    A stage's layers are counted: the residual block before it (of the first stage the stem), then edge by edge.
    """

    def __init__(self, inside: CellEnvelope, spec: CellChildren, key: jax.Array):
        edges = [FIXED + c * len(EDGES) + e for c in range(spec.cells) for e, side in enumerate(inside.sides) if side]
        layers = [(number, place) for number in range(STAGES) for place in (*range(FIXED if number else 1), *edges)]
        widest = spec.skeleton.stage(STAGES - 1)[1]
        shape = 3, 3, max(spec.input_shape[2], widest), widest
        draw = lambda ids: jax.random.uniform(key_for(key, "layer", *ids), shape, minval=-1, maxval=1)
        self.rows, self.blocks = {ids: row for row, ids in enumerate(layers)}, jax.lax.map(draw, jnp.array(layers))

    def block(self, stage: int, place: int, side: int, channels: int, filters: int) -> Float[Array, "K K C F"]:
        """Uniform in [-1, 1): the part of a layer's numbers that an envelope uses."""
        edge = (3 - side) // 2
        return self.blocks[self.rows[stage, place], edge : edge + side, edge : edge + side, :channels, :filters]

    def kernel(self, stage: int, place: int, side: int, channels: int, filters: int) -> Float[Array, "K K C F"]:
        """Initial weights of a layer that all cells have."""
        return self.block(stage, place, side, channels, filters) / (side * math.sqrt(channels))


class ConvNorm(nnx.Module):
    """Convolution without bias, and batch normalisation; leading axes of the kernel are the layers of a loop."""

    def __init__(self, kernel: Float[Array, "*N K K C F"], spec: CellChildren):
        self.kernel = nnx.Param(kernel)
        shape = (*kernel.shape[:-4], kernel.shape[-1])
        self.scale, self.bias = nnx.Param(jnp.ones(shape)), nnx.Param(jnp.zeros(shape))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(shape)), nnx.BatchStat(jnp.ones(shape))
        self.keep = spec.norm.momentum

    @property
    def values(self) -> Values:
        return Values(self.kernel[...], self.scale[...], self.bias[...])

    @property
    def running(self) -> Statistics:
        return Statistics(self.mean[...], self.variance[...])

    def move(self, used: Statistics, training) -> None:
        """The running statistics, towards those of a batch."""
        keep = jnp.where(training, self.keep, 1.0)
        self.mean[...], self.variance[...] = jax.tree.map(lambda a, b: keep * a + (1 - keep) * b, self.running, used)

    def __call__(self, form: Form, x: Float[Array, "B H W C"], training) -> Float[Array, "B H2 W2 F"]:
        z, used = conv_norm(form, x, self.values, self.running, training)
        self.move(used, training)
        return z


class Reduction(nnx.Module):
    """The residual block between two stages: two convolutions, the first of stride 2; beside them 2x2 average pooling
    and a 1x1 convolution.
    """

    def __init__(self, number: int, spec: CellChildren, drawn: "Drawn"):
        channels, filters = (spec.skeleton.stage(n)[1] for n in (number - 1, number))
        self.first = ConvNorm(drawn.kernel(number, 0, 3, channels, filters), spec)
        self.second = ConvNorm(drawn.kernel(number, 1, 3, filters, filters), spec)
        self.shortcut = nnx.Param(drawn.kernel(number, 2, 1, channels, filters))
        self.forms, self.dtype = (_normal_form(spec, 2), _normal_form(spec)), jnp.dtype(spec.dtype)

    def __call__(self, x: Float[Array, "B H W C"], training) -> Float[Array, "B H/2 W/2 F"]:
        b, h, w, c = x.shape
        pooled = x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
        shortcut = Padded().conv(pooled, self.shortcut[...], 0, (1, 1), False, self.dtype)
        z = self.second(self.forms[1], self.first(self.forms[0], x, training), training)
        return z + shortcut


class Stage(nnx.Module):
    """The cells of a stage: one cell, again and again with weights of its own. They run as a loop, so that they are
    compiled once.
    """

    def __init__(self, number: int, inside: CellEnvelope, spec: CellChildren, genes: CellGenes, drawn: "Drawn"):
        self.inside, self.cells, self.form = inside, spec.cells, _normal_form(spec)
        self.numbers = tuple(e for e, side in enumerate(inside.sides) if side)
        self.edges, channels = nnx.List([]), spec.skeleton.stage(number)[1]
        for e in self.numbers:
            places = [FIXED + cell * len(EDGES) + e for cell in range(spec.cells)]
            kernels = jnp.stack([drawn.block(number, place, inside.sides[e], channels, channels) for place in places])
            spread = genes.spread[e] / math.sqrt(channels)
            edge = ConvNorm(kernels * _taps(genes, e, inside.sides[e]) * spread, spec)
            edge.scale[...] *= jnp.where(genes.spread[e] == 0, 0.0, 1.0)
            self.edges.append(edge)

    def __call__(self, x: Float[Array, "B H W C"], genes: CellGenes, training) -> Float[Array, "B H W C"]:
        def by_edge(parts):
            found = dict(zip(self.numbers, parts, strict=True))
            return [found.get(e) for e in range(len(EDGES))]

        def one(x, layer):
            return cell(self.inside, self.form, x, *map(by_edge, layer), genes.operations, training)

        layers = [edge.values for edge in self.edges], [edge.running for edge in self.edges]
        x, used = jax.lax.scan(one, x, layers, length=self.cells)
        for edge, e in zip(self.edges, self.numbers, strict=True):
            edge.move(used[e], training)
        return x


def _taps(genes: CellGenes, edge: int, side: int) -> Float[Array, "K K 1 1"]:
    """1 for the taps of an edge's own kernel."""
    middle = np.zeros((side, side, 1, 1), np.float32)
    middle[side // 2, side // 2] = 1
    return jnp.where(genes.operations[edge] == OPERATIONS.index("nor_conv_3x3"), 1.0, middle)


class CellNet(nnx.Module):
    """The padded network of ONE child inside an envelope; in the cell's own envelope, the ordinary network.

    ``key`` is consumed: all weights, and the bias of the dense layer, are uniform within sqrt(1 / fan in) of the child
    itself, which is PyTorch's default and so the benchmark's.
    """

    def __init__(self, inside: CellEnvelope, spec: CellChildren, genes: CellGenes, key: jax.Array):
        drawn, features = Drawn(inside, spec, key), spec.skeleton.stage(STAGES - 1)[1]
        self.stem = ConvNorm(drawn.kernel(0, 0, 3, spec.input_shape[2], spec.channels), spec)
        self.stages = nnx.List([Stage(n, inside, spec, genes, drawn) for n in range(STAGES)])
        self.reductions = nnx.List([Reduction(n, spec, drawn) for n in range(1, STAGES)])
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        shape = features + 1, spec.classes
        dense = jax.random.uniform(key_for(key, "dense"), shape, minval=-1, maxval=1) / math.sqrt(features)
        self.dense, self.dense_bias = nnx.Param(dense[:-1]), nnx.Param(dense[-1])
        self.stem_form, self.norm = _normal_form(spec, image=True), spec.norm

    def __call__(
        self, x: Float[Array, "B H W C"], genes: CellGenes, training: bool | Bool[Array, ""] = False
    ) -> Float[Array, "B L"]:
        """Logits. In training, batch statistics normalise and the running ones move."""
        genes, training = jax.tree.map(jnp.asarray, genes), jnp.asarray(training)
        x = self.stages[0](self.stem(self.stem_form, x, training), genes, training)
        for reduction, stage in zip(self.reductions, self.stages[1:], strict=True):
            x = stage(reduction(x, training), genes, training)
        running = Statistics(self.mean[...], self.variance[...])
        x, used = masked.normalise(x, self.scale[...], self.bias[...], running, training, epsilon=self.norm.epsilon)
        keep = jnp.where(training, self.norm.momentum, 1.0)
        self.mean[...], self.variance[...] = jax.tree.map(lambda a, b: keep * a + (1 - keep) * b, running, used)
        return x.mean((1, 2)) @ self.dense[...] + self.dense_bias[...]
