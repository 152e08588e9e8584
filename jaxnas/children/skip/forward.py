"""The forward pass of a network with skip connections, over tiles (see `tiles`).

Letters: B batch, C channels of the heap, M pixels of the heap, L layers, N blocks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxnas.children.layers import Carried, Statistics, known
from jaxnas.children.skip import tiles
from jaxnas.children.skip.genes import AVERAGE, CONVOLUTION, IMAGE, TILE, SkipEnvelope, SkipGenes


class SkipParameters(NamedTuple):
    """What is learnt: blocks ``[N, C, C]``, scale and bias ``[L, C]``."""

    blocks: jax.Array
    scale: jax.Array
    bias: jax.Array


class Walked(NamedTuple):
    """A forward pass: maps ``[M, B, C]`` and the same before normalisation and ReLU, of the type of factors; float32
    are the statistics used ``[L, C]`` and the sum over each layer's map, ``[L, B, C]``.
    """

    maps: jax.Array
    raw: jax.Array
    statistics: Statistics
    sums: jax.Array


def walk(
    inside: SkipEnvelope,
    dtype,
    epsilon: float,
    image: Float[Array, "B H W C0"],
    values: SkipParameters,
    running: Statistics,
    genes: SkipGenes,
    training: Carried,
) -> Walked:
    """All layers in turn; the arguments are those of `backward.network`. Layers that the child lacks keep their running
    statistics ``[L, C]``, and zeros as sums.
    """
    b, channels = image.shape[0], inside.channels
    pixels = jnp.moveaxis(image, 0, 2).reshape(-1, b, image.shape[3])
    pixels = jnp.pad(pixels, ((0, 0), (0, 0), (0, channels - image.shape[3])))
    heap = jnp.zeros((inside.pixels, b, channels), dtype)
    maps = lax.dynamic_update_slice(heap, pixels, (IMAGE, 0, 0))

    def layer(i, walked: Walked) -> Walked:
        raw = _convolve(inside, dtype, walked.maps, walked.raw, values.blocks, genes, i)
        raw = _pool(inside, walked.maps, raw, genes, i)
        used = _statistics(inside, raw, running, genes, i, training)
        maps, total = _activate(inside, epsilon, walked.maps, raw, used, values, genes, i)
        statistics = jax.tree.map(lambda all, one: all.at[i].set(one), walked.statistics, used)
        return Walked(maps, raw, statistics, walked.sums.at[i].set(total))

    start = Walked(maps, heap, running, jnp.zeros((inside.layers, b, channels)))
    return lax.fori_loop(0, tiles.layers(inside, genes), layer, start)


def _convolve(inside, dtype, maps, raw, blocks, genes, i):
    """The convolution of layer i over ``maps``, written into its tiles of ``raw`` (both ``[M, B, C]``), which is
    returned; ``blocks`` ``[N, C, C]``.
    """
    layer = tiles.layer_of(genes, i)
    n_tiles = jnp.where(layer.kind == CONVOLUTION, tiles.count(layer.size), 0)

    def tile(t, raw):
        row, column, live = tiles.pixels(t, layer.size, n_tiles)

        def of(channels, filters):
            def add(group, n, some, total):
                x = tiles.operand(maps, tiles.met(genes, layer, n, group, row, column, live & some), channels, dtype)
                w = lax.dynamic_slice_in_dim(blocks, n, group)[:, :channels, :filters].reshape(-1, filters)
                return total + tiles.dot(x, w.astype(dtype))

            nothing = jnp.zeros((TILE * maps.shape[1], filters))
            return lambda ends: tiles.widened(tiles.by_four(inside, ends, add, nothing), inside.channels)

        run = lambda ends, pair, total: total + tiles.by_class(inside, pair, of, ends)
        total = tiles.segments(inside, genes, layer, run, jnp.zeros((TILE * maps.shape[1], inside.channels)))
        at = tiles.at(inside, genes, i + 1, t, n_tiles)
        return tiles.write(raw, total.reshape(TILE, *maps.shape[1:]), at)

    return tiles.turns(inside, "tiles", n_tiles, tile, raw)


def _pool(inside, maps, raw, genes, i):
    """The pooling of layer i over ``maps``, written into its tiles of ``raw`` (both ``[M, B, C]``)."""
    layer = tiles.layer_of(genes, i)
    n_tiles, taps = jnp.where(layer.kind > CONVOLUTION, tiles.count(layer.size), 0), layer.kernel[0] * layer.kernel[1]

    def tile(t, raw):
        row, column, exists = tiles.pixels(t, layer.size, n_tiles)
        met, cells = tiles.windows(genes, layer, row, column, exists)

        def of(channels):
            def over(combine, empty):
                def tap(k, found):
                    rows, live = met(k)
                    x = tiles.gather(maps, rows)[:, :, :channels].astype(jnp.float32)
                    return combine(found, jnp.where(live & (k < taps), x, empty))

                return tiles.turns(inside, "taps", taps, tap, jnp.full((TILE, maps.shape[1], channels), empty))

            average, maximum = lambda: over(jnp.add, 0.0) / cells, lambda: over(jnp.maximum, -jnp.inf)
            found = lambda: lax.cond(layer.kind == AVERAGE, average, maximum)
            return lambda: jnp.pad(found(), ((0, 0), (0, 0), (0, inside.channels - channels)))

        pooled = lax.switch(layer.width, [of(channels) for channels in inside.widths])
        pooled = jnp.where(exists[:, None, None], pooled, 0)
        return tiles.write(raw, pooled, tiles.at(inside, genes, i + 1, t, n_tiles))

    return tiles.turns(inside, "tiles", n_tiles, tile, raw)


def _statistics(inside, raw, running: Statistics, genes, i, training: Carried) -> Statistics:
    """What layer i is normalised by, ``[C]``: statistics of this batch, or the running ones ``[L, C]``; 0 and 1 where
    it is not normalised.
    """
    norm, value = genes.layers.norm[i], known(training)
    used = jax.tree.map(lambda a: a[i], running)
    if value is not False:
        batch = _of_batch(inside, raw, genes, i, norm if value else norm & training)
        used = batch if value else jax.tree.map(lambda new, old: jnp.where(training, new, old), batch, used)
    return Statistics(jnp.where(norm, used.mean, 0.0), jnp.where(norm, used.variance, 1.0))


def _of_batch(inside, raw, genes, i, wanted) -> Statistics:
    """Mean and variance ``[C]`` of layer i's map before normalisation; no tile is read where they are not wanted."""
    layer = tiles.layer_of(genes, i)
    n_tiles, nothing = jnp.where(wanted, tiles.count(layer.size), 0), jnp.zeros(inside.channels)
    count = jnp.maximum(layer.size[0] * layer.size[1], 1) * raw.shape[1]

    def total(of):
        def tile(t, total):
            live = tiles.pixels(t, layer.size, n_tiles)[2][:, None, None]
            y = tiles.read(raw, tiles.at(inside, genes, i + 1, t, n_tiles))
            return total + jnp.where(live, of(y), 0).sum((0, 1))

        return tiles.turns(inside, "tiles", n_tiles, tile, nothing)

    mean = total(lambda y: y) / count
    return Statistics(mean, total(lambda y: jnp.square(y - mean)) / count)


def _activate(inside, epsilon, maps, raw, used: Statistics, values: SkipParameters, genes, i):
    """Normalisation and ReLU (pooling: neither) of layer i from ``raw`` into ``maps`` (both ``[M, B, C]``); also the
    sum over its map ``[B, C]``. ``used``: `_statistics`.
    """
    layer = tiles.layer_of(genes, i)
    n_tiles, (slope, _) = tiles.count(layer.size), tiles.slope(layer, values.scale[i], used.variance, epsilon)

    def tile(t, carry):
        maps, total = carry
        live, at = tiles.pixels(t, layer.size, n_tiles)[2][:, None, None], tiles.at(inside, genes, i + 1, t, n_tiles)
        z = (tiles.read(raw, at) - used.mean) * slope + values.bias[i]
        z = jnp.where(live, jnp.where(layer.kind == CONVOLUTION, jax.nn.relu(z), z), 0).astype(maps.dtype)
        return tiles.write(maps, z, at), total + z.astype(jnp.float32).sum(0)

    return tiles.turns(inside, "tiles", n_tiles, tile, (maps, jnp.zeros(maps.shape[1:])))
