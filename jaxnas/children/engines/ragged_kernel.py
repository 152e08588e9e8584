"""The *ragged* engine: one convolution for many different children at once, its work following each of them.

All children's arrays are padded to one shape, but the loops of the kernels run over each child's own taps and channels
alone (Pallas, Triton backend for CUDA; the interpreter elsewhere, which is for tests, not for speed). A child that
lacks the layer has sizes 0: it costs the writing of its zeros. Arrays hold a child as `layers` says.

The axis that is summed must hold zeros where a child ends (channels of x and w; filters of dy, for the gradient of x),
up to the next multiple of `PIECE`; what lies further, at dead taps or in dead outputs alone does not count. Products of
float32 follow `jax.default_matmul_precision`: below "highest" a GPU takes them in TF32, as `jnp.matmul` does.

Letters: N children, B batch, H W map, C channels in, F filters, KH KW kernel height and width; all of them padded.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int, Int32

from jaxnas.children.engines.convolution import Pads, dilate, reach

Pair = tuple[int, int]

ROWS = 128  # output cells of a program: each kernel that it loads serves them all
SIDE = 64  # filters of a program (and channels, in a weight gradient): with ROWS, 64 accumulators a thread of 128
LINE = 128  # bytes of the summed axis at a step: a cache line, and the widest row that matrix units read
SUMMED = 16_384  # rows that one program sums for a weight gradient; more are split, so that few children fill a device
SMALLEST = 16  # side of the smallest product that Triton takes
PIECE = 8  # channels of 16 bytes (bfloat16), loaded by a thread at once; a mask that ends within them would forbid it
WARPS, STAGES = 4, 3  # threads / 32 of a program; steps whose loads are under way at once


def spans(live: Int[Array, "N 4"], kernel: Pair) -> Int32[Array, "N 6"]:
    """Where children lie in blocks of ``kernel`` taps: first row, rows, first column, columns, channels in, filters.

    Args:
        live: kernel height, kernel width, channels in and filters of each child; all 0 where it lacks the layer.
        kernel: (KH, KW); each child's own lies in the middle.
    """
    height, width, channels, filters = live.astype(jnp.int32).T
    top, left = (reach(kernel[i])[0] - (side - 1) // 2 for i, side in enumerate((height, width)))
    return jnp.stack([top, height, left, width, channels, filters], axis=1)


def mirrored(span: Int32[Array, "N 6"], kernel: Pair) -> Int32[Array, "N 6"]:
    """The spans of the flipped kernels, channels and filters exchanged, as the gradient of x needs them.

    They must be told: the middle of an even side is not where its mirror image lies.
    """
    top, height, left, width, channels, filters = span.T
    return jnp.stack([kernel[0] - top - height, height, kernel[1] - left - width, width, filters, channels], axis=1)


def correlate(
    x: Float[Array, "N B H W C"],
    w: Float[Array, "N KH KW C F"],
    span: Int32[Array, "N 6"],
    stride: Pair = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
    dtype: DTypeLike = jnp.float32,
    interpret: bool = False,
) -> Float[Array, "N B H2 W2 F"]:
    """Each child's x under its own kernel, over a map that ``pads`` widens by zeros; zero beyond its filters.

    Args:
        x: inputs, zero beyond each child's channels.
        w: kernels.
        span: where each child's lies, see `spans`.
        stride: of the rows and the columns.
        pads: rows and columns of zeros around the map; under `around` H2 = ceil(H / stride height).
        dtype: of the factors and of the result, float32 or bfloat16; sums are float32.
        interpret: run the kernel in Pallas' interpreter, wherever there is no GPU.
    """
    children, (channels, filters), kernel = x.shape[0], w.shape[3:], w.shape[1:3]
    window = _window(x.shape, kernel, stride, pads)
    tiles = _forward_tiles(window.cells, channels, filters, dtype)
    y = _run(
        partial(_correlate_kernel, window=window, width=kernel[1], tiles=tiles),
        (pl.cdiv(filters, tiles[2]), pl.cdiv(window.cells, tiles[0]), children),
        jax.ShapeDtypeStruct((children, window.cells, filters), dtype),
        (span, x.astype(dtype), w.astype(dtype).swapaxes(3, 4)),  # the summed axis last, as TF32 units read it
        interpret,
    )
    return y.reshape(children, -1, *window.out, filters)


def input_gradient(
    dy: Float[Array, "N B H2 W2 F"],
    w: Float[Array, "N KH KW C F"],
    size: Pair,
    span: Int32[Array, "N 6"],
    stride: Pair,
    pads: Pads,
    dtype: DTypeLike = jnp.float32,
    interpret: bool = False,
) -> Float[Array, "N B H W C"]:
    """The gradient of `correlate` in x, of maps of ``size`` = (H, W); span, stride and pads as they were there.

    It is `correlate` of dy, flipped kernels, `mirrored` spans and reversed pads; these must keep the map's size.
    """
    flipped, back = w[:, ::-1, ::-1].swapaxes(3, 4), tuple(pad[::-1] for pad in pads)
    spread = jax.vmap(partial(dilate, stride=stride, size=size))(dy)
    return correlate(spread, flipped, mirrored(span, w.shape[1:3]), (1, 1), back, dtype, interpret)


def weight_gradient(
    x: Float[Array, "N B H W C"],
    dy: Float[Array, "N B H2 W2 F"],
    kernel: Pair,
    span: Int32[Array, "N 6"],
    stride: Pair = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
    dtype: DTypeLike = jnp.float32,
    interpret: bool = False,
) -> Float32[Array, "N KH KW C F"]:
    """The gradient of `correlate` in w, for ``kernel`` = (KH, KW); span, stride and pads as they were there."""
    children, channels, filters = x.shape[0], x.shape[4], dy.shape[4]
    window = _window(x.shape, kernel, stride, pads)
    tiles = _weight_tiles(window.cells, channels, filters, dtype)
    parts, taps = pl.cdiv(window.cells, SUMMED), kernel[0] * kernel[1]
    dw = _run(
        partial(_weight_kernel, window=window, width=kernel[1], tiles=tiles),
        (pl.cdiv(filters, tiles[2]), pl.cdiv(channels, tiles[1]), taps, parts, children),
        jax.ShapeDtypeStruct((children, parts, taps, channels, filters), jnp.float32),
        (span, x.astype(dtype), dy.astype(dtype)),
        interpret,
    )
    return dw.sum(1).reshape(children, *kernel, channels, filters)


def _run(kernel, grid, out, operands, interpret):
    """The output ``out``. A program sees of each operand what belongs to its child, as ``[cells, channels]``."""
    span, *arrays = operands
    arrays = [a.reshape(a.shape[0], -1, a.shape[-1]) for a in arrays]
    return pl.pallas_call(
        kernel,
        out_shape=out,
        grid=grid,
        in_specs=[_block(a.shape, 1) for a in (span, *arrays)],
        out_specs=_block(out.shape, len(out.shape) - 2),
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=STAGES),
        interpret=interpret,
    )(span, *arrays)


def _block(shape, picked: int) -> pl.BlockSpec:
    """The part of an array that belongs to a program, which picks the array's first axes by its place in the grid."""
    rest = shape[picked:]
    return pl.BlockSpec((*[None] * picked, *rest), lambda *place: (*place[: -picked - 1 : -1], *[0] * len(rest)))


def executed(
    live: Int[np.ndarray, "N 4"],
    shape: tuple[int, int, int],
    channels: int,
    filters: int,
    stride: Pair = (1, 1),
    dtype: DTypeLike = jnp.float32,
) -> Int[np.ndarray, "N 3"]:
    """Multiply-adds that run for each child: `correlate` under `around`, `input_gradient`, `weight_gradient`.

    The child's own work, its channels, filters and cells rounded up to whole tiles. ``live`` as in `spans`; ``shape``
    is (B, H, W); ``channels`` and ``filters`` are the padded ones.
    """
    height, width, own_channels, own_filters = np.asarray(live, np.int64).T
    cells, outputs = math.prod(shape), shape[0] * math.prod(-(-shape[i + 1] // stride[i]) for i in (0, 1))
    volumes = (
        (outputs, own_channels, own_filters, _forward_tiles(outputs, channels, filters, dtype)),
        (cells, own_filters, own_channels, _forward_tiles(cells, filters, channels, dtype)),
        (outputs, own_channels, own_filters, _weight_tiles(outputs, channels, filters, dtype)),
    )
    whole = [math.prod(-(-side // tile) * tile for side, tile in zip(v[:3], v[3], strict=True)) for v in volumes]
    return np.stack([height * width * volume for volume in whole], axis=1)


@dataclass(frozen=True)
class _Window:
    """Outputs ``out`` = (H2, W2) over maps of ``size`` = (H, W), with ``before`` rows and columns of zeros ahead."""

    batch: int
    size: Pair
    out: Pair
    stride: Pair
    before: Pair

    @property
    def cells(self) -> int:
        """Outputs of the whole batch."""
        return self.batch * math.prod(self.out)

    def under(self, cell, i, j):
        """The places among all cells of x that tap (i, j) sees for each output ``cell``, and whether both exist."""
        row = lax.rem(lax.div(cell, self.out[1]), self.out[0]) * self.stride[0] - self.before[0] + i
        column = lax.rem(cell, self.out[1]) * self.stride[1] - self.before[1] + j
        place = (lax.div(cell, math.prod(self.out)) * self.size[0] + row) * self.size[1] + column
        inside = (row >= 0) & (row < self.size[0]) & (column >= 0) & (column < self.size[1])
        return place, inside & (cell < self.cells)


def _window(shape, kernel, stride, pads: Pads) -> _Window:
    """For x of ``shape`` [N, B, H, W, C]."""
    size = shape[2:4]
    out = tuple((size[i] + sum(pads[i]) - kernel[i]) // stride[i] + 1 for i in (0, 1))
    return _Window(shape[1], size, out, stride, (pads[0][0], pads[1][0]))


def _correlate_kernel(span, x, w, y, *, window: _Window, width, tiles):
    """One tile of outputs of one child. span ``[6]``, x ``[B * H * W, C]``, w ``[KH * KW * F, C]``."""
    top, rows, left, columns, channels, filters = (span[k] for k in range(6))
    cell = pl.program_id(1) * tiles[0] + jnp.arange(tiles[0])
    f = pl.program_id(0) * tiles[2] + jnp.arange(tiles[2])
    blocks = pl.cdiv(channels, tiles[1])
    steps = jnp.where(pl.program_id(0) * tiles[2] < filters, rows * columns * blocks, 0)
    columns, blocks = jnp.maximum(columns, 1), jnp.maximum(blocks, 1)  # the compiler may divide by them for no step
    last_c, last_f = _whole_pieces(channels, x.shape[1]), _whole_pieces(filters, y.shape[1])

    def step(t, total):
        tap = lax.div(t, blocks)
        i, j = top + lax.div(tap, columns), left + lax.rem(tap, columns)
        c = lax.rem(t, blocks) * tiles[1] + jnp.arange(tiles[1])
        place, inside = window.under(cell, i, j)
        seen = _load(x, place, c, inside, c < last_c)
        weights = _load(w, (i * width + j) * y.shape[1] + f, c, f < last_f, c < last_c)
        return total + jnp.dot(seen, weights.T, preferred_element_type=jnp.float32)

    total = lax.fori_loop(0, steps, step, jnp.zeros((tiles[0], tiles[2]), jnp.float32))
    _store(y, cell, f, total, (f < filters)[None])


def _weight_kernel(span, x, dy, dw, *, window: _Window, width, tiles):
    """One tile of one tap of one child, summed over a part of the cells. x ``[B * H * W, C]``, dy ``[cells, F]``."""
    top, rows, left, columns, channels, filters = (span[k] for k in range(6))
    i, j = lax.div(pl.program_id(2), width), lax.rem(pl.program_id(2), width)
    c = pl.program_id(1) * tiles[1] + jnp.arange(tiles[1])
    f = pl.program_id(0) * tiles[2] + jnp.arange(tiles[2])
    alive = (i >= top) & (i < top + rows) & (j >= left) & (j < left + columns)
    alive &= (pl.program_id(1) * tiles[1] < channels) & (pl.program_id(0) * tiles[2] < filters)
    first = pl.program_id(3) * SUMMED
    steps = jnp.where(alive, pl.cdiv(jnp.minimum(window.cells - first, SUMMED), tiles[0]), 0)
    last_c, last_f = _whole_pieces(channels, x.shape[1]), _whole_pieces(filters, dy.shape[1])

    def step(t, total):
        cell = first + t * tiles[0] + jnp.arange(tiles[0])
        place, inside = window.under(cell, i, j)
        seen = _load(x, place, c, inside, c < last_c)
        grown = _load(dy, cell, f, cell < window.cells, f < last_f)
        return total + jnp.dot(seen.T, grown, preferred_element_type=jnp.float32)

    total = lax.fori_loop(0, steps, step, jnp.zeros((tiles[1], tiles[2]), jnp.float32))
    _store(dw, c, f, total, (c < channels)[:, None] & (f < filters)[None])


def _forward_tiles(cells, channels, filters, dtype) -> tuple[int, int, int]:
    return _tile(cells, ROWS), _tile(channels, LINE // jnp.dtype(dtype).itemsize), _tile(filters, SIDE)


def _weight_tiles(cells, channels, filters, dtype) -> tuple[int, int, int]:
    return _tile(cells, LINE // jnp.dtype(dtype).itemsize), _tile(channels, SIDE), _tile(filters, SIDE)


def _tile(size: int, most: int) -> int:
    return min(most, max(SMALLEST, 1 << (size - 1).bit_length()))


def _whole_pieces(live, size: int):
    """Where a mask may end: ``live``, rounded up to whole pieces of an axis of ``size``."""
    piece = math.gcd(size, PIECE)
    return pl.cdiv(live, piece) * piece


def _load(ref, rows, columns, rows_seen, columns_seen):
    seen = rows_seen[:, None] & columns_seen[None]
    return triton.load(ref.at[rows[:, None], columns[None]], mask=seen, other=0)


def _store(ref, rows, columns, values, live):
    inside = (rows < ref.shape[0])[:, None] & (columns < ref.shape[1])[None]
    triton.store(ref.at[rows[:, None], columns[None]], jnp.where(live, values, 0).astype(ref.dtype), mask=inside)
