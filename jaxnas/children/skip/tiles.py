"""Loops over tiles of pixels: what the passes of `forward` and `backward` are made of.

Every map of a child lies in one heap of pixels ``[M, B, C]``, one after the other, each rounded up to whole tiles; the
first tile of the heap is zero and the last takes what nobody wants. A convolution is a list of *blocks*: a matrix
``[C, C]`` for each tap of the kernel and each map that is read, with the offset of the pixels it meets there. So
sizes, strides, inputs, kernels and depth are numbers, not shapes: one program serves all networks of a space, and each
runs its own work, rounded up to tiles and to the engine's classes of channels.

Letters: B batch, C channels of the heap, M pixels of the heap, L layers, N blocks, T pixels of a tile, G blocks that
are taken at once. What has no shape here is a number, int32 ``[]`` or bool ``[]``, known at run time alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnas.children.skip.genes import QUAD, TILE


def layers(inside, genes):
    """How many layers run: the child's, or all where loops have a fixed end."""
    return genes.depth if inside.bounds is None else inside.layers


def picked(tree, i):
    """Element i of all arrays, which is 0 or more: ``a[i]`` would look whether it is, hundreds of times a program."""
    return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, 0, False, allow_negative_indices=False), tree)


def some(tree, n, group: int):
    """Elements n to n + ``group`` - 1 of all arrays, as `picked`."""
    return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, n, group, allow_negative_indices=False), tree)


def layer_of(genes, i):
    """The numbers of layer i."""
    return picked(genes.layers, i)


def turns(inside, name: str, n, body, start):
    """``body`` n times, or as often as any child of the envelope needs where loops have a fixed end."""
    return lax.fori_loop(0, n if inside.bounds is None else getattr(inside.bounds, name), body, start)


def count(size):
    """How many tiles a map of ``size`` (rows, columns) ``[2]`` fills."""
    return lax.div(size[0] * size[1] + (TILE - 1), TILE)


def pixels(t, size, n):
    """Row, column ``[T]`` of the pixels of tile t in a map of ``size`` ``[2]``, and which exist, bool ``[T]``: those
    beyond the map do not, nor do tiles from n on.
    """
    at, width = t * TILE + jnp.arange(TILE), jnp.maximum(size[1], 1)
    return lax.div(at, width), lax.rem(at, width), (at < size[0] * size[1]) & (t < n)


def rows(genes, number, row, column, live):
    """Where pixels of a map lie in the heap, int32 ``[T]``, from their row and column ``[T]``; those outside the map,
    or not ``live`` (bool ``[T]``), at its beginning, where all is zero. ``number``: of the map, 0 for the image.
    """
    (height, width), offset = picked((genes.sizes, genes.offsets), number)
    live = live & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return jnp.where(live, offset + row * width + column, 0)


def at(inside, genes, number, t, n):
    """The heap row where tile t of map ``number`` begins; of tiles from n on, the last tile, which nobody reads."""
    return jnp.where(t < n, picked(genes.offsets, number) + t * TILE, inside.pixels - TILE)


def read(heap, at):
    """The tile ``[T, B, C]`` that begins at heap row ``at``, in float32."""
    return lax.dynamic_slice_in_dim(heap, at, TILE, axis=0).astype(jnp.float32)


def write(heap, tile, at):
    """The heap with this tile ``[T, B, C]`` from row ``at`` on, rounded to the heap's type."""
    return lax.dynamic_update_slice(heap, tile.astype(heap.dtype), (at, 0, 0))


def gather(heap, rows):
    """Pixels ``[T, B, C]`` of the heap from their rows ``[T]``, which are all in it: no bounds are checked."""
    one = lax.GatherDimensionNumbers(offset_dims=(1, 2), collapsed_slice_dims=(0,), start_index_map=(0,))
    return lax.gather(heap, rows[:, None], one, (1, *heap.shape[1:]), mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS)


def operand(heap, rows, channels: int, dtype):
    """Pixels of the heap ``[M, B, C]`` as a matrix ``[T B, G channels]``, from G arrays of heap rows ``[T]``; of each
    pixel the leading ``channels``.
    """
    parts = [gather(heap, r)[:, :, :channels].reshape(-1, channels) for r in rows]
    return jnp.concatenate(parts, -1).astype(dtype)


def by_four(inside, ends, run, carry):
    """``carry`` after ``carry = run(G, n, live, carry)`` over blocks, 4 at a time and then singly.

    Args:
        ends: the first block and how many there are, ``[2]``.
        run: G (4 or 1) is a Python int, n the first of G blocks, ``live`` whether they are to be counted: where loops
            have a fixed end, turns are left over.
        carry: what goes from turn to turn.
    """
    first, count = ends[0], ends[1]

    def at_once(group: int, done, most, k, carry):
        n = first + done + group * k
        return run(group, jnp.clip(n, 0, inside.blocks - group), k < most, carry)

    quads, singles = lax.div(count, QUAD), lax.rem(count, QUAD)
    carry = turns(inside, "quads", quads, partial(at_once, QUAD, 0, quads), carry)
    return turns(inside, "singles", singles, partial(at_once, 1, quads * QUAD, singles), carry)


def segments(inside, genes, layer, run, carry):
    """``carry`` after ``carry = run(ends, pair, carry)`` over the segments of a layer: ``ends`` ``[2]`` are a segment's
    first block and how many there are, ``pair`` the number of their pair of classes.
    """

    def one(k, carry):
        segment = picked(genes.segments, jnp.minimum(layer.segments[0] + k, inside.blocks - 1))
        exists = jnp.where(k < layer.segments[1], 1, 0)
        return run(segment.blocks * exists, segment.pair, carry)

    return turns(inside, "segments", layer.segments[1], one, carry)


def by_class(inside, pair, of, *operands):
    """``of(channels in, filters)(*operands)`` of the pair's classes, which ``of`` gets as Python ints: everything
    inside is compiled once a class, and must give the same shape.
    """
    return lax.switch(pair, [of(*classes) for classes in inside.pairs], *operands)


def widened(x, channels: int):
    """``[rows, fewer]`` -> ``[rows, channels]``, zeros behind."""
    return jnp.pad(x, ((0, 0), (0, channels - x.shape[1])))


def met(genes, layer, n, group: int, row, column, live):
    """G arrays of heap rows ``[T]``: of the input pixels that blocks n to n + G - 1 meet for the output pixels at
    ``row``, ``column`` ``[T]``; the zeros of the heap where they meet none or ``live`` (bool ``[T]``) is False.
    """
    blocks = some(genes.blocks, n, group)
    at = lambda k: (row * layer.stride[0] + blocks.offset[k, 0], column * layer.stride[1] + blocks.offset[k, 1])
    return [rows(genes, blocks.source[k], *at(k), live) for k in range(group)]


def dot(x, w):
    """``[rows, K]`` times ``[K, F]``, summed in float32."""
    return lax.dot(x, w, preferred_element_type=jnp.float32)


def windows(genes, layer, row, column, live):
    """Of the pooling windows of a tile: tap -> heap rows ``[T]`` of the cell it meets and which of them lie in the map;
    and how many of a window's cells do, at least 1, ``[T, 1, 1]``.
    """
    starts = [a * layer.stride[k] - (layer.kernel[k] - 1) // 2 for k, a in enumerate((row, column))]
    size = picked(genes.sizes, layer.source)
    inside = [jnp.minimum(starts[k] + layer.kernel[k], size[k]) - jnp.maximum(starts[k], 0) for k in (0, 1)]

    def met(tap):
        width = jnp.maximum(layer.kernel[1], 1)
        at = rows(genes, layer.source, starts[0] + lax.div(tap, width), starts[1] + lax.rem(tap, width), live)
        return at, (at > 0)[:, None, None]

    return met, jnp.maximum(inside[0] * inside[1], 1)[:, None, None]


def slope(layer, scale, variance, epsilon: float):
    """What a layer multiplies by, and the inverse deviation in it."""
    inverse = lax.rsqrt(variance + epsilon)
    return jnp.where(layer.norm, scale * inverse, 1.0), inverse
