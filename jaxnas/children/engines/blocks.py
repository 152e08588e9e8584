"""Convolutions of stride 1 in the forms that XLA's CPU backend runs fast, one child on one core.

A convolution there is a product of patches with the kernel. Where filters are few, a block of neighbouring outputs is
put out at once, as filters of a larger kernel with a stride of the block's sides: fewer patches, and rows of a product
that fill the processor's registers. Which block: `block_of`, a rule drawn from `benchmarks/convolution_forms.py`.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

LAYOUT = ("NHWC", "HWIO", "NHWC")
Pads = tuple[tuple[int, int], tuple[int, int]]
FULL, FULL_OF_ODD = 24, 48
"""With so many filters, of an odd number of channels (but one) with the second, a product is at full speed; with fewer,
at about a 32nd of it for each, of which `ODD` is left with odd ones."""
ODD = 0.4
MOVED = 0.92
"""What is left of the speed where a block has several rows, whose outputs have to be sorted."""
BEYOND = 0.6
"""What is left of it where the larger kernel is larger than the map, which then has to be padded first."""
PART_BYTES = 3 * 2**19
"""A weight gradient whose operands take more than so many bytes is summed over parts of the batch that take less: these
stay in the core's cache while they are transposed, which is 2 to 4 times as fast."""
PARTS = range(4, 33)
"""How many images a part may have."""


class Block(NamedTuple):
    """Rows and columns of the outputs that are put out at once."""

    rows: int
    columns: int


BLOCKS = tuple(Block(*sides) for sides in product((1, 2, 4), repeat=2) if math.prod(sides) <= 8)


@cache
def block_of(size: tuple[int, int], shape: tuple[int, int, int, int]) -> Block:
    """The fastest block for a kernel of ``shape`` on maps of ``size``, by its share of a large product's speed."""
    kernel, (channels, filters) = shape[:2], shape[2:]
    odd = channels > 1 and channels % 2 == 1

    def share(block: Block) -> float:
        wide = _wide_sides(kernel, block)
        useful = math.prod(kernel) / math.prod(wide) * math.prod(size) / math.prod(_outputs(size, block))
        many = filters * math.prod(block)
        speed = 1.0 if many >= (FULL_OF_ODD if odd else FULL) else many / 32 * (ODD if odd else 1)
        beyond = any(w > side for w, side in zip(wide, size, strict=True))
        return useful * speed * (MOVED if block.rows > 1 else 1) * (BEYOND if beyond else 1)

    return max(BLOCKS, key=share)  # of equals the first, which is the smallest


def _wide_sides(kernel: Sequence[int], block: Block) -> list[int]:
    """Of the kernel that puts out a block at once."""
    return [k + many - 1 for k, many in zip(kernel, block, strict=True)]


def _outputs(size: Sequence[int], block: Block) -> list[int]:
    """The sides of all blocks together that cover a map."""
    return [-(-side // many) * many for side, many in zip(size, block, strict=True)]


def executed(size: tuple[int, int], shape: tuple[int, int, int, int]) -> int:
    """Multiply-adds of `convolve` for one example."""
    block = block_of(size, shape)
    return math.prod((*_outputs(size, block), *_wide_sides(shape[:2], block), *shape[2:]))


def convolve(x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], pads: Pads) -> Float[Array, "B H W F"]:
    """The convolution under paddings that keep the map's size, float32, by the fastest block."""
    return by_block(x, w, pads, block_of(x.shape[1:3], w.shape))


def by_block(
    x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], pads: Pads, block: Block
) -> Float[Array, "B H W F"]:
    """`convolve` by this one."""
    (b, *size), filters = x.shape[:3], w.shape[3]
    outputs = _outputs(size, block)
    pads = [(p[0], p[1] + all_of - side) for p, all_of, side in zip(pads, outputs, size, strict=True)]
    y = strided(x, _wide(w, block), block, pads)
    if block.rows > 1:
        y = y.reshape(*y.shape[:3], *block, filters).transpose(0, 1, 3, 2, 4, 5)
    return lax.slice(y.reshape(b, *outputs, filters), (0, 0, 0, 0), (b, *size, filters))


def strided(x, w, stride: tuple[int, int], pads):
    """A plain convolution, float32. Where the kernel is larger than the map XLA leaves its fast path (5 GFLOP/s against
    100): then the map is padded first, and XLA must not see that the rest is zero.
    """
    if w.shape[0] > x.shape[1] or w.shape[1] > x.shape[2]:
        x, pads = lax.optimization_barrier(jnp.pad(x, ((0, 0), *pads, (0, 0)))), [(0, 0), (0, 0)]
    return lax.conv_general_dilated(x, w, stride, pads, dimension_numbers=LAYOUT, preferred_element_type=jnp.float32)


def _wide(w, block: Block):
    """The kernel once for each output of a block, as filters of a larger one: ``[KH + rows - 1, KW + columns - 1, C,
    rows * columns * F]``.
    """
    zero, (rows, columns) = np.zeros((), w.dtype), block
    shifted = lambda i, j: lax.pad(w, zero, [(i, rows - 1 - i, 0), (j, columns - 1 - j, 0), (0, 0, 0), (0, 0, 0)])
    kernels = [shifted(i, j) for i in range(rows) for j in range(columns)]
    return lax.concatenate(kernels, 3) if len(kernels) > 1 else w


def in_parts(
    x: Float[Array, "B H W C"], dy: Float[Array, "B H W F"], gradient: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """The sum of ``gradient`` over parts of the batch."""
    b, total = x.shape[0], x.nbytes + dy.nbytes
    parts = [n for n in PARTS if b % n == 0]
    fitting = [n for n in (*parts, b) if n * total <= b * PART_BYTES]
    part = max(fitting) if fitting else min(parts, default=b)
    if part == b:
        return gradient(x, dy)
    parts = tuple(a.reshape(-1, part, *a.shape[1:]) for a in (x, dy))
    found = jax.eval_shape(gradient, x[:part], dy[:part])
    start = jnp.zeros(found.shape, found.dtype)
    return lax.scan(lambda total, one: (total + gradient(*one), None), start, parts)[0]


def transposed(x: Float[Array, "B H W C"], dy: Float[Array, "B H W F"]):
    """What `kernel_gradient` takes: ``[C, H, W, B]`` and ``[H, W, B, F]``."""
    return x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)


def kernel_gradient(
    images: Float[Array, "C H W B"], dy: Float[Array, "H W B F"], pads: Pads
) -> Float[Array, "KH KW C F"]:
    """Gradient of `convolve` with respect to its w, itself a convolution of the forward kind."""
    found = lax.conv_general_dilated(
        images, dy, (1, 1), pads, dimension_numbers=LAYOUT, preferred_element_type=jnp.float32
    )
    return found.transpose(1, 2, 0, 3)
