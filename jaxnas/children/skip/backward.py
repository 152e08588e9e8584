"""The gradients of `forward`, by hand: JAX does not differentiate loops of a length known at run time alone.

Letters: B batch, C channels of the heap, M pixels of the heap, L layers, N blocks.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxnas.children.layers import (
    Statistics,
    Sums,
    Training,
    carried,
    norm_gradient,
    norm_share,
    norm_sums,
)
from jaxnas.children.skip import tiles
from jaxnas.children.skip.forward import SkipParameters, Walked, walk
from jaxnas.children.skip.genes import AVERAGE, CONVOLUTION, TILE, SkipEnvelope, SkipGenes


def network(
    inside: SkipEnvelope,
    dtype,
    epsilon: float,
    image: Float[Array, "B H W C0"],
    values: SkipParameters,
    running: Statistics,
    genes: SkipGenes,
    training: Training,
) -> tuple[Float[Array, "L B C"], Statistics]:
    """Sums over the maps of all layers ``[L, B, C]``, and the statistics used ``[L, C]`` (constants to
    differentiation).

    Args:
        inside: the envelope.
        dtype: of the factors of matrix products and of maps; sums are float32.
        epsilon: added to variances.
        image: it has no gradient.
        values: parameters.
        running: ``[L, C]``, of a trained network, used when not training.
        genes: the child's place in the envelope.
        training: normalise by the statistics of this batch.
    """
    return _network(inside, dtype, epsilon, image.astype(dtype), values, running, genes, carried(training))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _network(inside, dtype, epsilon, image, values, running, genes, training):
    walked = walk(inside, dtype, epsilon, image, values, running, genes, training)
    return walked.sums, walked.statistics


def _forward(inside, dtype, epsilon, image, values, running, genes, training):
    walked = walk(inside, dtype, epsilon, image, values, running, genes, training)
    return (walked.sums, walked.statistics), (walked, image, values, genes, training)


def _backward(inside, dtype, epsilon, residuals, cotangents):
    walked, image, values, genes, training = residuals
    sums = jnp.zeros(walked.maps.shape)  # of a map's gradient, which every layer that reads it adds to
    start = sums, walked.raw, jax.tree.map(jnp.zeros_like, values)
    back = partial(_layer, inside, dtype, epsilon, walked, values, cotangents[0], genes, training)
    last = tiles.layers(inside, genes)
    gradients = lax.fori_loop(0, last, lambda i, carry: back(last - 1 - i, *carry), start)[2]
    return jnp.zeros_like(image), gradients, None, None, None


_network.defvjp(_forward, _backward)


def _layer(inside, dtype, epsilon, walked, values, dsums, genes, training, i, dmaps, dys, found):
    """Gradients of layer i.

    Args:
        walked: the forward pass.
        values: parameters.
        dsums: gradient of the sums over all maps, ``[L, B, C]``.
        i: the layer; all that read it have been here.
        dmaps: gradient of the maps ``[M, B, C]``, float32, complete for this layer.
        dys: ``[M, B, C]``, of the type of maps: of later layers the gradient of what precedes normalisation, of this
            one and earlier ones what preceded it.
        found: gradients of the values.

    Returns:
        dmaps with what this layer adds to the maps it reads, dys and found with this layer's.
    """
    dys, scale, bias = _activation(inside, epsilon, walked, values, dsums[i], genes, training, i, dmaps, dys)
    blocks = _weights(inside, dtype, walked.maps, dys, found.blocks, genes, i)
    dmaps = _inputs(inside, dtype, dmaps, dys, values.blocks, genes, i)
    dmaps = _pooling(inside, walked, dmaps, dys, genes, i)
    return dmaps, dys, SkipParameters(blocks, found.scale.at[i].set(scale), found.bias.at[i].set(bias))


def _activation(inside, epsilon, walked: Walked, values: SkipParameters, dsum, genes, training, i, dmaps, dys):
    """Through ReLU and batch normalisation of layer i, from ``dmaps`` into ``dys`` (both ``[M, B, C]``); also the
    gradients of its scale and bias ``[C]``. ``dsum``: gradient of the sum over its map, ``[B, C]``.
    """
    layer = tiles.layer_of(genes, i)
    n_tiles, convolution = tiles.count(layer.size), layer.kind == CONVOLUTION
    mean, variance = (a[i] for a in walked.statistics)
    inverse = lax.rsqrt(variance + epsilon)

    def parts(t, dys):
        live, at = tiles.pixels(t, layer.size, n_tiles)[2][:, None, None], tiles.at(inside, genes, i + 1, t, n_tiles)
        live = live & (~convolution | (tiles.read(walked.maps, at) > 0))
        return jnp.where(live, tiles.read(dmaps, at) + dsum, 0), tiles.read(dys, at) - mean, at

    def add(t, totals):
        dz, centred, _ = parts(t, dys)
        return jax.tree.map(jnp.add, totals, norm_sums(dz, centred, inverse))

    nothing = jnp.zeros(inside.channels)
    sums = tiles.turns(inside, "tiles", n_tiles, add, Sums(nothing, nothing))
    count = jnp.maximum(layer.size[0] * layer.size[1], 1) * dmaps.shape[1]
    share = norm_share(training, count)

    def write(t, dys):
        dz, centred, at = parts(t, dys)
        live = tiles.pixels(t, layer.size, n_tiles)[2][:, None, None]
        dy = jnp.where(layer.norm, norm_gradient(dz, centred, sums, values.scale[i], inverse, share), dz)
        return tiles.write(dys, jnp.where(live, dy, 0), at)

    dys = tiles.turns(inside, "tiles", n_tiles, write, dys)
    return dys, jnp.where(layer.norm, sums.scale, 0.0), jnp.where(convolution, sums.bias, 0.0)


def _weights(inside, dtype, maps, dys, found, genes, i):
    """The gradient of layer i's blocks, added to ``found`` ``[N, C, C]``, from ``maps`` and ``dys`` ``[M, B, C]``."""
    layer = tiles.layer_of(genes, i)
    n_tiles = jnp.where(layer.kind == CONVOLUTION, tiles.count(layer.size), 0)

    def product(group: int, channels: int, filters: int):
        """Of ``group`` blocks from n on, summed over all tiles."""

        def tile(t, carry):
            n, some, total = carry
            row, column, live = tiles.pixels(t, layer.size, n_tiles)
            x = tiles.operand(maps, tiles.met(genes, layer, n, group, row, column, live & some), channels, dtype)
            dy = tiles.read(dys, tiles.at(inside, genes, i + 1, t, n_tiles))[:, :, :filters].astype(dtype)
            return n, some, total + tiles.dot(x.T, dy.reshape(-1, filters))

        def total(n, some):
            start = n, some, jnp.zeros((group * channels, filters))
            dw = tiles.turns(inside, "tiles", n_tiles, tile, start)[2].reshape(group, channels, filters)
            return jnp.pad(dw, ((0, 0), (0, inside.channels - channels), (0, inside.channels - filters)))

        return total

    def segment(ends, pair, found):
        def run(group, n, some, found):
            dw = tiles.by_class(inside, pair, partial(product, group), n, some)
            old = lax.dynamic_slice_in_dim(found, n, group)
            return lax.dynamic_update_slice_in_dim(found, old + dw, n, axis=0)

        return tiles.by_four(inside, ends, run, found)

    return tiles.segments(inside, genes, layer, segment, found)


def _inputs(inside, dtype, dmaps, dys, blocks, genes, i):
    """The gradient of the maps that layer i convolves, added to ``dmaps``, from ``dys`` (both ``[M, B, C]``) and
    ``blocks`` ``[N, C, C]``.

    With a stride, the pixels of a map fall into phases that meet different taps of the kernel: the blocks of a layer
    that meet one phase of one map are a run.
    """
    layer = tiles.layer_of(genes, i)

    def one(r, dmaps):
        run = tiles.picked(genes.runs, jnp.minimum(layer.runs[0] + r, inside.blocks - 1))
        n_tiles = jnp.where(r < layer.runs[1], tiles.count(run.grid), 0)
        (_, width), offset = tiles.picked((genes.sizes, genes.offsets), run.source)

        def tile(t, dmaps):
            row, column, live = tiles.pixels(t, run.grid, n_tiles)

            def of(channels, filters):
                def add(group, n, some, total):
                    offsets = tiles.some(genes.blocks.offset, n, group)
                    back = lax.div(
                        run.phase - offsets, jnp.broadcast_to(layer.stride, offsets.shape)
                    )  # no rest is left
                    met = [(row + back[k, 0], column + back[k, 1]) for k in range(group)]
                    rows = [tiles.rows(genes, i + 1, *at, live & some) for at in met]
                    w = lax.dynamic_slice_in_dim(blocks, n, group)[:, :channels, :filters]
                    w = w.swapaxes(1, 2).reshape(-1, channels).astype(dtype)
                    return total + tiles.dot(tiles.operand(dys, rows, filters, dtype), w)

                nothing = jnp.zeros((TILE * dmaps.shape[1], channels))
                return lambda: tiles.widened(tiles.by_four(inside, run.blocks, add, nothing), inside.channels)

            total = tiles.by_class(inside, run.pair, of)
            at = (row * layer.stride[0] + run.phase[0]) * width + column * layer.stride[1] + run.phase[1]
            at = jnp.where(live, offset + at, inside.pixels + jnp.arange(TILE))
            return dmaps.at[at].add(total.reshape(TILE, *dmaps.shape[1:]), mode="drop", unique_indices=True)

        return tiles.turns(inside, "tiles", n_tiles, tile, dmaps)

    return tiles.turns(inside, "runs", layer.runs[1], one, dmaps)


def _pooling(inside, walked: Walked, dmaps, dys, genes, i):
    """The gradient of the map that layer i pools, added to ``dmaps``, from ``dys`` (both ``[M, B, C]``): to the first
    of the greatest cells of each window, or in equal parts to all.
    """
    layer = tiles.layer_of(genes, i)
    wanted = (layer.kind > CONVOLUTION) & (layer.source > 0)  # the image has no gradient
    n_tiles, taps = jnp.where(wanted, tiles.count(layer.size), 0), layer.kernel[0] * layer.kernel[1]

    def tile(t, dmaps):
        met, cells = tiles.windows(genes, layer, *tiles.pixels(t, layer.size, n_tiles))
        at = tiles.at(inside, genes, i + 1, t, n_tiles)
        dz, z = tiles.read(dys, at), tiles.read(walked.maps, at)

        def tap(k, carry):
            dmaps, free = carry
            rows, live = met(k)
            live = live & (k < taps)
            largest = lambda: live & free & (tiles.gather(walked.maps, rows).astype(jnp.float32) == z)
            hit = lax.cond(layer.kind == AVERAGE, lambda: jnp.broadcast_to(live, dz.shape), largest)
            part = jnp.where(hit, jnp.where(layer.kind == AVERAGE, dz / cells, dz), 0)
            at = jnp.where(live[:, 0, 0], rows, inside.pixels + jnp.arange(TILE))
            return dmaps.at[at].add(part, mode="drop", unique_indices=True), free & ~hit

        return tiles.turns(inside, "taps", taps, tap, (dmaps, jnp.ones(dz.shape, bool)))[0]

    return tiles.turns(inside, "tiles", n_tiles, tile, dmaps)
