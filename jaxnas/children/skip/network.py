"""Networks with skip connections: convolutions with batch normalisation and ReLU, and poolings, that read any earlier
maps; then the global average and a dense layer. Written for ONE child inside its envelope.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.3
    (https://arxiv.org/abs/1611.01578).

Letters: B batch, H W map, C channels of the envelope, L layers, N blocks, K classes.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.children import Network, Work
from jaxnas.children.cost import HELD, more
from jaxnas.children.engines import Branching, Engine, Padded, filter_classes
from jaxnas.children.layers import BatchNorm, Statistics, Training, moved
from jaxnas.children.normalised import Normalised
from jaxnas.children.skip import architecture as skip
from jaxnas.children.skip import genes as skip_genes
from jaxnas.children.skip import weights as skip_weights
from jaxnas.children.skip.architecture import Skip, SkipLayer, map_shapes
from jaxnas.children.skip.backward import network
from jaxnas.children.skip.forward import SkipParameters
from jaxnas.children.skip.genes import QUAD, TILE, SkipEnvelope, SkipGenes
from jaxnas.numerics import factors
from jaxnas.rng import key_for

COMPILED_LOOPS, COMPILED_PAIR = 70, 25
"""What compiles the loops, and each pair of classes in them, in branches of a chain: 0.9 s a pair on CPU
(`docs/performance.md`)."""
SPEED = 0.1
"""Of a chain's multiply-adds a second on CPU: loops over tiles are slower than XLA's convolutions."""


@dataclass(frozen=True)
class SkipChildren:
    """The networks of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (height, width, channels) of an image.
        classes: how many labels there are.
        layers: the greatest number of layers.
        kernel: the greatest kernel height and width.
        filters: all numbers of filters in the space, ascending.
        strides: the greatest stride height and width.
        normalised: whether batch normalisation may follow a convolution.
        norm: settings of batch normalisation.
        dtype: of maps, what is kept for the gradient among them, and of the factors of matrix products: "float32" or
            "bfloat16". Sums, statistics, features and parameters are float32.
    """

    input_shape: tuple[int, int, int]
    classes: int
    layers: int
    kernel: tuple[int, int]
    filters: tuple[int, ...]
    strides: tuple[int, int] = (1, 1)
    normalised: bool = True
    norm: BatchNorm = field(default_factory=BatchNorm)
    dtype: str = "float32"

    @property
    def channels(self) -> int:
        """Of the widest map in the space."""
        return max(self.input_shape[2], *self.filters)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Branching with all classes first: padded would do hundreds of times the work."""
        every, *fewer = reversed(filter_classes(self.filters))
        return Branching((), every), *(Branching((), some) for some in fewer), Padded()

    def envelope(
        self, architectures: Sequence[Skip], engine: Engine, known: Collection[SkipEnvelope] | None = None
    ) -> SkipEnvelope:
        """The smallest that holds them all, with a class for each of their numbers of filters; in a search a known one
        that holds them, or a new one, which holds all the known ones and more, so that few serve it.

        Raises:
            ValueError: an engine that has no such networks.
        """
        if known is None:
            filters = {layer.filters for a in architectures for layer in a.layers if layer.filters}
            own = replace(engine, filters=tuple(sorted(filters))) if isinstance(engine, Branching) else engine
            return skip_genes.envelope(architectures, self.input_shape, own)
        known = [inside for inside in known if inside.engine == engine]
        needed = skip_genes.envelope(architectures, self.input_shape, engine)
        fits = [inside for inside in known if inside | needed == inside]
        if fits:
            return min(fits, key=lambda inside: (inside.pixels, inside.blocks))
        return reduce(or_, known, self._enlarged(needed, known))

    def _enlarged(self, needed: SkipEnvelope, known: Collection[SkipEnvelope]) -> SkipEnvelope:
        """With room for later rounds where no known envelope suffices, up to what the space can fill."""
        cells, links = math.prod(self.input_shape[:2]), self.layers * (self.layers - 1) // 2 + 1
        most_blocks = max(QUAD, links * math.prod(self.kernel))
        most_pixels = TILE * ((self.layers + 1) * -(-cells // TILE) + 2)
        lacks = lambda name: all(getattr(inside, name) < getattr(needed, name) for inside in known)
        blocks, pixels, bounds = needed.blocks, needed.pixels, needed.bounds
        if lacks("blocks"):
            blocks = min(_round_up(2 * blocks), most_blocks)
        if lacks("pixels"):
            pixels = min(TILE * _round_up(pixels * 3 // 2 // TILE), most_pixels)
        if bounds is not None:
            bounds = skip_genes.Bounds(*(_round_up(n) if n > QUAD else n for n in bounds))
        return SkipEnvelope(self.layers, blocks, pixels, self.channels, needed.image, bounds, needed.engine)

    def work(self, envelope: SkipEnvelope, architecture: Skip | None = None) -> Work:
        """Of a network in an envelope, its dense layer included; of an envelope alone, of one that fills it."""
        branches = COMPILED_LOOPS + COMPILED_PAIR * len(envelope.pairs)
        if architecture is None:
            size = envelope.blocks * envelope.channels**2
            parameters = size + envelope.layers * envelope.channels * (2 + self.classes)
            filled = size * self.input_shape[0] * self.input_shape[1]
            return Work(filled, filled, parameters, HELD * 4 * envelope.pixels * envelope.channels, branches, SPEED)
        cost = skip.cost(architecture, self.input_shape, self.classes)
        executed = skip_genes.executed(architecture, envelope, self.input_shape, self.classes)
        return Work(cost.multiply_adds, executed, cost.parameters, HELD * cost.activation_bytes, branches, SPEED)

    def least_normalised(self, architecture: Skip | None = None) -> Normalised | None:
        """That of the smallest map; in the whole space the last layer's of a chain with the greatest strides."""
        layer = SkipLayer("convolution", (0,), (1, 1), self.strides, self.filters[0], self.normalised)
        smallest = Skip(tuple(replace(layer, inputs=(i,)) for i in range(self.layers)))
        found = architecture or smallest
        maps = enumerate(zip(found.layers, map_shapes(found, self.input_shape)[1:], strict=True), 1)
        sizes = [Normalised(f"layer {i}", at.size) for i, (layer, at) in maps if layer.filters and layer.norm]
        return min(sizes, key=lambda one: math.prod(one.size), default=None)

    def widened(self, factor: float) -> "SkipChildren":
        """The networks of the space with so many times the filters, and other initial weights: what `widen` gives."""
        return replace(self, filters=tuple(sorted({more(count, factor) for count in self.filters})))

    def widen(self, architecture: Skip, factor: float) -> Skip:
        """One network with so many times the filters in every convolution; it is one of ``widened(factor)``."""
        wide = lambda layer: replace(layer, filters=more(layer.filters, factor)) if layer.filters else layer
        return replace(architecture, layers=tuple(map(wide, architecture.layers)))

    def place(self, architecture: Skip, inside: SkipEnvelope) -> SkipGenes:
        """The arrays that place one network in an envelope. Raises ValueError where it does not fit."""
        return skip_genes.place(architecture, inside, self.input_shape)

    def draw(self, key: jax.Array, genes: SkipGenes, inside: SkipEnvelope) -> Float[Array, "N C C"]:
        """Standard normal numbers for the child's blocks: those of a (layer, source, tap) are the same anywhere."""

        def one(block):
            layer, source, offset = block
            ids = (layer, source, *(offset + skip_genes.ORIGIN))
            whole = jax.random.normal(key_for(key, "block", *ids), (self.channels, self.channels))
            return whole[: inside.channels, : inside.channels]

        return jax.lax.map(one, (genes.blocks.layer, genes.blocks.source, jnp.asarray(genes.blocks.offset)))

    def build(self, inside: SkipEnvelope, genes: SkipGenes, key: jax.Array) -> "SkipNet":
        """The padded network of one child with its initial weights; ``key`` is consumed."""
        return SkipNet(inside, self, genes, key)

    def describe(self, architecture: Skip) -> dict:
        """The network as JSON values, for the ledger and for drawings."""
        return skip.describe(architecture, self.input_shape)

    def weights(self, network: "SkipNet", architecture: Skip) -> dict[str, np.ndarray]:
        """Parameters and statistics of the unpadded network by name, for export; see `skip_weights`."""
        return skip_weights.weights(network, architecture, self.place(architecture, network.inside), self.input_shape)


def _round_up(n: int) -> int:
    """To the next of 4, 6, 8, 12, 16, 24, 32, ..."""
    size = QUAD
    while size < n:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


class SkipNet(Network):
    """The padded network of ONE child inside an envelope; in its own envelope, the ordinary network.

    ``key`` is consumed: weights are normal with standard deviation sqrt(2 / fan in) of the child itself (He et al.,
    2015, https://arxiv.org/abs/1502.01852), sqrt(1 / fan in) in the dense layer.
    """

    traced_training = True

    def __init__(self, inside: SkipEnvelope, spec: SkipChildren, genes: SkipGenes, key: jax.Array):
        live = jnp.arange(inside.channels)[None, None] < jnp.asarray(genes.blocks.live)[:, :, None]
        spread = jnp.asarray(genes.blocks.spread)[:, None, None] * live[:, 0, :, None] * live[:, 1, None, :]
        self.blocks = nnx.Param(spec.draw(key, genes, inside) * spread)
        filters = (jnp.arange(inside.channels) < jnp.asarray(genes.layers.filters)[:, None]).astype(jnp.float32)
        self.scale = nnx.Param(filters * jnp.asarray(genes.layers.norm)[:, None])
        self.bias = nnx.Param(jnp.zeros(filters.shape))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(filters.shape)), nnx.BatchStat(jnp.ones(filters.shape))
        features = jnp.arange(inside.channels) < jnp.asarray(genes.channels[1:])[:, None]
        features = features * jnp.asarray(genes.layers.read)[:, None]
        one = lambda i: jax.random.normal(key_for(key, "dense", i), (spec.channels, spec.classes))
        dense = jax.vmap(one)(jnp.arange(inside.layers))[:, : inside.channels]
        self.dense = nnx.Param(dense * (features / jnp.sqrt(features.sum()))[:, :, None])
        self.dense_bias = nnx.Param(jnp.zeros(spec.classes))
        self.inside, self.norm, self.dtype = inside, spec.norm, factors(spec.dtype)

    def __call__(
        self, x: Float[Array, "B H W C0"], genes: SkipGenes, training: Training, carry=(), key=None
    ) -> tuple[Float[Array, "B K"], tuple]:
        """Logits; nothing is remembered. In training, batch statistics normalise and the running ones move."""
        genes = jax.tree.map(jnp.asarray, genes)
        values = SkipParameters(self.blocks[...], self.scale[...], self.bias[...])
        running = Statistics(self.mean[...], self.variance[...])
        sums, used = network(self.inside, self.dtype, self.norm.epsilon, x, values, running, genes, training)
        momentum = jnp.where(genes.layers.norm, self.norm.momentum, 1.0)[:, None]
        self.mean[...], self.variance[...] = moved(running, used, training, momentum)
        features = sums * (genes.layers.read / genes.cells)[:, None, None]
        return jnp.einsum("lbc,lck->bk", features, self.dense[...]) + self.dense_bias[...], carry
