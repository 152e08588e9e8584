"""Chains of convolutions as networks: convolution, batch normalisation, ReLU, optional max pooling, again and again;
then global average pooling and a dense layer. Written for ONE child inside its envelope.

Letters: B batch, H W map, C channels in, F filters, KH KW kernel height and width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.children import chain, masked
from jaxnas.children.chain import Chain, ChainEnvelope, ChainGenes, ConvLayer, LayerGenes
from jaxnas.children.cost import Cost
from jaxnas.rng import key_for


@dataclass(frozen=True)
class BatchNorm:
    """momentum: how much of the old running statistics is kept at a step; epsilon: added to the variance."""

    momentum: float = 0.9
    epsilon: float = 1e-5


@dataclass(frozen=True)
class ChainChildren:
    """The chains of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (height, width, channels) of an image.
        classes: how many labels there are.
        full: the envelope of the whole space. Initial weights are drawn in it, whatever the group's own envelope, so
            that a child starts from the same numbers in any company.
        norm: settings of batch normalisation.
    """

    input_shape: tuple[int, int, int]
    classes: int
    full: ChainEnvelope
    norm: BatchNorm = field(default_factory=BatchNorm)

    def envelope(self, architectures: Sequence[Chain]) -> ChainEnvelope:
        """The smallest static shape that holds them all."""
        return chain.envelope(architectures)

    def roof(self, architectures: Sequence[Chain]) -> ChainEnvelope:
        """An envelope for all chains of the space as deep as these: few roofs serve a whole search."""
        depth = max(map(self.depth, architectures))
        exits = tuple(e for e in self.full.exits if e <= depth)
        return ChainEnvelope(self.full.layers[:depth], exits, self.full.maps_differ)

    def depth(self, architecture: Chain) -> int:
        """Its number of layers."""
        return len(architecture.layers)

    def place(self, architecture: Chain, inside: ChainEnvelope) -> ChainGenes:
        """The arrays that place one chain in an envelope. Raises ValueError where it does not fit."""
        return chain.place(architecture, inside, self.input_shape)

    def build(self, inside: ChainEnvelope, genes: ChainGenes, key: jax.Array) -> "ChainNet":
        """The padded network of one chain with its initial weights; ``key`` is consumed."""
        return ChainNet(inside, self, genes, key)

    def cost(self, architecture: Chain) -> Cost:
        """Exact cost of the unpadded chain."""
        return chain.cost(architecture, self.input_shape, self.classes)

    def describe(self, architecture: Chain) -> dict:
        """The chain as JSON values, for the ledger and for drawings."""
        return chain.describe(architecture, self.input_shape)


class ConvBlock(nnx.Module):
    """Convolution without bias, batch normalisation, ReLU, max pooling: one layer of the padded network."""

    def __init__(
        self, kernel: Float[Array, "KH KW C F"], layer: ConvLayer, maps_differ: bool, norm: BatchNorm, genes: LayerGenes
    ):
        self.kernel = nnx.Param(kernel)
        self.scale = nnx.Param(jnp.asarray(genes.filters))
        self.bias = nnx.Param(jnp.zeros(layer.filters))
        self.mean = nnx.BatchStat(jnp.zeros(layer.filters))
        self.variance = nnx.BatchStat(jnp.ones(layer.filters))
        self.layer, self.maps_differ, self.norm = layer, maps_differ, norm

    def __call__(self, x: Float[Array, "B H W C"], genes: LayerGenes, training: bool) -> Float[Array, "B H2 W2 F"]:
        x = masked.conv(x, self.kernel[...] * genes.taps[:, :, None, None], self.layer.stride)
        live = None
        if self.maps_differ:
            x = masked.stride_over(x, genes.step)
            live = masked.pixels(genes.size[0], x.shape[1:3])
        x = self._normalise(x, live, genes.filters, training)
        x = jax.nn.relu(x)
        x = x if live is None else x * live
        return x if self.layer.pool == 1 else masked.max_pool(x, self.layer.pool)

    def _normalise(self, x, live, filters, training):
        """Batch normalisation; the filters that the child lacks come out as zero."""
        if training:
            mean, variance = masked.moments(x, live)
            keep = self.norm.momentum
            self.mean[...] = keep * self.mean[...] + (1 - keep) * mean
            self.variance[...] = keep * self.variance[...] + (1 - keep) * variance
        else:
            mean, variance = self.mean[...], self.variance[...]
        scale = self.scale[...] * filters * jax.lax.rsqrt(variance + self.norm.epsilon)
        return (x - mean) * scale + self.bias[...] * filters


class ChainNet(nnx.Module):
    """The padded network of ONE chain inside an envelope; in the chain's own envelope, the ordinary network.

    ``key`` is consumed: weights are normal with standard deviation sqrt(2 / fan in) of the child itself (He et al.,
    2015, https://arxiv.org/abs/1502.01852), sqrt(1 / fan in) in the dense layer.
    """

    def __init__(self, inside: ChainEnvelope, spec: "ChainChildren", genes: ChainGenes, key: jax.Array):
        blocks, cin = [], spec.input_shape[2]
        full_in = cin
        entering = jnp.ones(cin)
        for i, (layer, full, g) in enumerate(zip(inside.layers, spec.full.layers, genes.layers, strict=False)):
            block = jax.random.normal(key_for(key, "layer", i), (*full.kernel, full_in, full.filters))
            kernel = _middle(block, (*layer.kernel, cin, layer.filters)) * g.spread
            kernel *= g.taps[:, :, None, None] * entering[:, None] * g.filters
            blocks.append(ConvBlock(kernel, layer, inside.maps_differ, spec.norm, g))
            full_in, cin, entering = full.filters, layer.filters, g.filters
        self.blocks, self.exits = nnx.List(blocks), inside.exits
        widest, live = max(inside.layers[e - 1].filters for e in inside.exits), self._exit_filters(inside, genes)
        weights = jax.random.normal(key_for(key, "dense"), (max(f.filters for f in spec.full.layers), spec.classes))
        self.dense = nnx.Param(weights[:widest] * (live / jnp.sqrt(live.sum()))[:, None])
        self.dense_bias = nnx.Param(jnp.zeros(spec.classes))

    def __call__(self, x: Float[Array, "B H W C"], genes: ChainGenes, training: bool = False) -> Float[Array, "B K"]:
        """Logits. In training, batch statistics normalise and the running ones move."""
        features = []
        for depth, (block, g) in enumerate(zip(self.blocks, genes.layers, strict=True), 1):
            x = block(x, g, training)
            if depth in self.exits:
                live = masked.pixels(g.size[1], x.shape[1:3]) if block.maps_differ else None
                features.append(masked.global_average(x, live))
        return self._at_exit(features, genes.exit) @ self.dense[...] + self.dense_bias[...]

    def _exit_filters(self, inside, genes):
        """1 for the channels that reach the dense layer."""
        return self._at_exit([jnp.asarray(genes.layers[e - 1].filters) for e in inside.exits], genes.exit)

    def _at_exit(self, rows, exit):
        """The row of the child's own depth, padded to the widest."""
        widest = max(r.shape[-1] for r in rows)
        pad = lambda r: jnp.pad(r, [(0, 0)] * (r.ndim - 1) + [(0, widest - r.shape[-1])])
        return rows[0] if len(rows) == 1 else sum(pad(r) * exit[i] for i, r in enumerate(rows))


def _middle(block, shape):
    """The part of a full weight block that an envelope uses: the middle of the kernel, the leading channels."""
    starts = [masked.reach(block.shape[i])[0] - masked.reach(shape[i])[0] for i in (0, 1)]
    return block[starts[0] :, starts[1] :, :, :][: shape[0], : shape[1], : shape[2], : shape[3]]
