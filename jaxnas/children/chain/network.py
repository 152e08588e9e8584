"""Chains of convolutions as networks: convolution, batch normalisation, ReLU, optional max pooling, again and again;
then global average pooling and a dense layer. Written for ONE child inside its envelope.

Letters: B batch, H W map, C channels in, F filters, KH KW kernel height and width, K classes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.children import Network, Work, layers
from jaxnas.children.chain import architecture as chain
from jaxnas.children.chain.architecture import Chain, ChainEnvelope, ChainGenes, ConvLayer, LayerGenes
from jaxnas.children.cost import HELD, more
from jaxnas.children.engines import Branching, Engine, Padded, Ragged, filter_classes
from jaxnas.children.engines.convolution import centre
from jaxnas.children.engines.shared import Shared
from jaxnas.children.layers import BatchNorm, Statistics, Training
from jaxnas.children.normalised import Normalised
from jaxnas.numerics import factors
from jaxnas.rng import key_for


@dataclass(frozen=True)
class ChainChildren:
    """The chains of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (height, width, channels) of an image.
        classes: how many labels there are.
        full: the envelope of the whole space. Initial weights are drawn in it, whatever the group's own envelope, so
            that a child starts from the same numbers in any company.
        kernels: all pairs of kernel sides in the space.
        filters: all numbers of filters in the space, ascending.
        strides: the greatest stride height and width.
        norm: settings of batch normalisation.
        dtype: of maps, what is kept for the gradient among them, and of a convolution's operands: "float32" or
            "bfloat16". Sums, statistics, features and parameters are float32.
    """

    input_shape: tuple[int, int, int]
    classes: int
    full: ChainEnvelope
    kernels: tuple[tuple[int, int], ...]
    filters: tuple[int, ...]
    strides: tuple[int, int] = (1, 1)
    norm: BatchNorm = field(default_factory=BatchNorm)
    dtype: str = "float32"

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Padded; branching ones, which differ in their classes of filters; ragged, which has to be named."""
        most_first = reversed(filter_classes(self.filters))
        return Padded(), *(Branching(self.kernels, some) for some in most_first), Ragged()

    def envelope(
        self, architectures: Sequence[Chain], engine: Engine, known: Collection[ChainEnvelope] | None = None
    ) -> ChainEnvelope:
        """The smallest that holds them all; in a search one for all chains of the space as deep as these, or for all of
        the space where a layer that a chain lacks costs nothing: few serve a whole search, whatever is known.
        """
        if known is None:
            return replace(chain.envelope(architectures), engine=engine)
        if engine.skips_absent:
            return replace(self.full, engine=engine)
        depth = max(len(architecture.layers) for architecture in architectures)
        exits = tuple(e for e in self.full.exits if e <= depth)
        return ChainEnvelope(self.full.layers[:depth], exits, self.full.maps_differ, engine)

    def work(self, envelope: ChainEnvelope, architecture: Chain | None = None) -> Work:
        """Of a chain in an envelope, its dense layer included. Equal layers in a row are compiled once."""
        filling = architecture or Chain(envelope.layers)
        cost = chain.cost(filling, self.input_shape, self.classes)
        executed = chain.executed(filling, envelope, self.input_shape, self.classes)
        return Work(
            cost.multiply_adds, executed, cost.parameters, HELD * cost.activation_bytes, self._branches(envelope)
        )

    def _branches(self, inside: ChainEnvelope) -> int:
        shapes = inside.shapes(self.input_shape[2])
        starts = (start for start, _ in chain.equal_layers(inside.layers, self.input_shape[2]))
        return sum(inside.engine.branches(shapes[start], start == 0) for start in starts)

    def least_normalised(self, architecture: Chain | None = None) -> Normalised:
        """The last layer's: maps shrink from layer to layer."""
        smallest = Chain(tuple(replace(layer, stride=self.strides) for layer in self.full.layers))
        own = (architecture or smallest).layers
        return Normalised(f"layer {len(own)}", chain.map_sizes(own, self.input_shape)[-1][0])

    def widened(self, factor: float) -> "ChainChildren":
        """The chains of the space with so many times the filters, and other initial weights: what `widen` gives."""
        full = replace(self.full, layers=self.widen(Chain(self.full.layers), factor).layers)
        return replace(self, full=full, filters=tuple(sorted({more(count, factor) for count in self.filters})))

    def widen(self, architecture: Chain, factor: float) -> Chain:
        """One chain with so many times the filters in every layer; it is one of ``widened(factor)``."""
        return chain.widen(architecture, factor)

    def place(self, architecture: Chain, inside: ChainEnvelope) -> ChainGenes:
        """The arrays that place one chain in an envelope. Raises ValueError where it does not fit."""
        return chain.place(architecture, inside, self.input_shape)

    def draw(self, key: jax.Array) -> Float[Array, "L KH KW C F"]:
        """Standard normal numbers for the weights of all layers of the space, each layer from a key of its own."""
        kernel, channels = self.full.layers[0].kernel, max(self.input_shape[2], *self.filters)
        one = lambda i: jax.random.normal(key_for(key, "layer", i), (*kernel, channels, max(self.filters)))
        return jax.lax.map(one, jnp.arange(len(self.full.layers)))  # vmap takes three times as long to compile

    def build(self, inside: ChainEnvelope, genes: ChainGenes, key: jax.Array) -> "ChainNet":
        """The padded network of one chain with its initial weights; ``key`` is consumed."""
        return ChainNet(inside, self, genes, key)

    def share(self, inside: ChainEnvelope, x: Float[Array, "B H W C"]) -> Array | Shared:
        """What all first layers make of the images of a batch together."""
        first = inside.layers[0]
        return inside.engine.share(x.astype(factors(self.dtype)), first.kernel, first.stride)

    def describe(self, architecture: Chain) -> dict:
        """The chain as JSON values, for the ledger and for drawings."""
        return chain.describe(architecture, self.input_shape)

    def weights(self, network: "ChainNet", architecture: Chain) -> dict[str, np.ndarray]:
        """Parameters and statistics of the unpadded chain by name, float32, for export.

        Args:
            network: of this chain, in any envelope that holds it; its arrays are concrete.
            architecture: the chain.

        Returns:
            For each layer, counted from 1, "layers.1.kernel" ``[KH, KW, C, F]``, "layers.1.scale", "layers.1.bias",
            "layers.1.mean", "layers.1.variance" ``[F]``; "classifier.kernel" ``[F, K]``, "classifier.bias" ``[K]``.
        """
        shapes = chain.convolutions(architecture.layers, self.input_shape[2])
        places = [(part, row) for part in network.parts for row in range(part.kernel.shape[0])]
        found = {}
        for i, (shape, (part, row)) in enumerate(zip(shapes, places[: len(shapes)], strict=True), 1):
            kernel = part.kernel[...][row]
            found[f"layers.{i}.kernel"] = centre(kernel, (*shape.kernel, shape.channels, shape.filters))
            for name in ("scale", "bias", "mean", "variance"):
                found[f"layers.{i}.{name}"] = getattr(part, name)[...][row, : shape.filters]
        found["classifier.kernel"] = network.dense[...][: shapes[-1].filters]
        found["classifier.bias"] = network.dense_bias[...]
        return {name: np.asarray(value) for name, value in found.items()}


class EqualLayers(nnx.Module):
    """Equal layers in a row, R of them: convolution without bias, batch normalisation, ReLU, max pooling.

    More than one run as a loop, so that they are compiled once.
    """

    def __init__(self, kernels: Float[Array, "R KH KW C F"], filters: Float[Array, "R F"], first: bool, inside, spec):
        self.kernel = nnx.Param(kernels)
        self.scale, self.bias = nnx.Param(filters), nnx.Param(jnp.zeros(filters.shape))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(filters.shape)), nnx.BatchStat(jnp.ones(filters.shape))
        self.first, self.inside, self.norm, self.dtype = first, inside, spec.norm, factors(spec.dtype)

    def __call__(
        self, x: Float[Array, "B H W C"] | Shared, layer: ConvLayer, genes: Sequence[LayerGenes], training, exits: bool
    ) -> tuple[Float[Array, "B H2 W2 F"], list[Float[Array, "B F"] | None]]:
        """The last layer's map, and (where asked for) the mean of each layer's map."""
        values = (self.kernel[...], self.scale[...], self.bias[...], Statistics(self.mean[...], self.variance[...]))
        one = lambda x, at: self._layer(x, layer, *at, training, exits)
        if len(genes) == 1:
            x, out = one(x, jax.tree.map(lambda a: a[0], values) + (genes[0],))
            statistics, features = jax.tree.map(lambda a: a[None], out)
        else:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *genes)
            x, (statistics, features) = jax.lax.scan(one, x, (*values, stacked))
        self.mean[...], self.variance[...] = statistics
        return x, list(features) if exits else [None] * len(genes)

    def _layer(self, x, layer: ConvLayer, kernel, scale, bias, running: Statistics, genes: LayerGenes, training, exits):
        kernel = kernel * genes.taps[:, :, None, None]
        x = self.inside.engine.conv(x, kernel, genes.branch, layer.stride, self.first, self.dtype)
        live = None
        if self.inside.maps_differ:
            x = layers.stride_over(x, genes.step)
            live = layers.pixels(genes.size[0], x.shape[1:3])
        scale, bias = scale * genes.filters, bias * genes.filters
        x, used = layers.normalise(x, scale, bias, running, training, live, layer.pool, self.norm.epsilon)
        statistics = layers.moved(running, used, training, self.norm.momentum)
        return x, (statistics, self._mean(x, genes) if exits else None)

    def _mean(self, x, genes: LayerGenes):
        live = layers.pixels(genes.size[1], x.shape[1:3]) if self.inside.maps_differ else None
        return layers.global_average(x, live)


class ChainNet(Network):
    """The padded network of ONE chain inside an envelope; in the chain's own envelope, the ordinary network.

    ``key`` is consumed: weights are normal with standard deviation sqrt(2 / fan in) of the child itself (He et al.,
    2015, https://arxiv.org/abs/1502.01852), sqrt(1 / fan in) in the dense layer.
    """

    traced_training = True

    def __init__(self, inside: ChainEnvelope, spec: "ChainChildren", genes: ChainGenes, key: jax.Array):
        drawn, entering, parts = spec.draw(key), jnp.ones(spec.input_shape[2]), []
        for start, end in chain.equal_layers(inside.layers, spec.input_shape[2]):
            kernels = []
            for i in range(start, end):
                g = genes.layers[i]
                kernel = centre(drawn[i], (*inside.layers[i].kernel, len(entering), inside.layers[i].filters))
                kernels.append(kernel * g.spread * g.taps[:, :, None, None] * entering[:, None] * g.filters)
                entering = jnp.asarray(g.filters)
            filters = jnp.stack([g.filters for g in genes.layers[start:end]])
            parts.append(EqualLayers(jnp.stack(kernels), filters, start == 0, inside, spec))
        self.parts, self.inside = nnx.List(parts), inside
        widest, live = max(inside.layers[e - 1].filters for e in inside.exits), self._exit_filters(genes)
        weights = jax.random.normal(key_for(key, "dense"), (max(spec.filters), spec.classes))
        self.dense = nnx.Param(weights[:widest] * (live / jnp.sqrt(live.sum()))[:, None])
        self.dense_bias = nnx.Param(jnp.zeros(spec.classes))

    def __call__(
        self, x: Float[Array, "B H W C"] | Shared, genes: ChainGenes, training: Training, carry=(), key=None
    ) -> tuple[Float[Array, "B K"], tuple]:
        """Logits; nothing is remembered. In training, batch statistics normalise and the running ones move."""
        features, end = [], 0
        for stage in self.parts:
            start, end = end, end + stage.kernel.shape[0]
            exits = any(start < e <= end for e in self.inside.exits)
            x, found = stage(x, self.inside.layers[start], genes.layers[start:end], training, exits)
            features += found
        at_exits = [features[e - 1] for e in self.inside.exits]
        return self._at_exit(at_exits, genes.exit) @ self.dense[...] + self.dense_bias[...], carry

    def _exit_filters(self, genes):
        """1 for the channels that reach the dense layer."""
        return self._at_exit([jnp.asarray(genes.layers[e - 1].filters) for e in self.inside.exits], genes.exit)

    def _at_exit(self, rows, exit):
        """The row of the child's own depth, padded to the widest."""
        widest = max(r.shape[-1] for r in rows)
        pad = lambda r: jnp.pad(r, [(0, 0)] * (r.ndim - 1) + [(0, widest - r.shape[-1])])
        return rows[0] if len(rows) == 1 else sum(pad(r) * exit[i] for i, r in enumerate(rows))
