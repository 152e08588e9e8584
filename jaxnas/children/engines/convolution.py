"""One ordinary convolution and its two gradients, in the forms that XLA runs fast.

``platform`` is that of the device which will run them, as `jax.Device.platform` says: "cpu", "gpu" or "tpu". JAX is
never asked for it, because a program may be compiled for a device that is not here.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxnas.children.engines import blocks
from jaxnas.children.engines.blocks import LAYOUT, Pads


def reach(side: int) -> tuple[int, int]:
    """How many cells a kernel side covers before and after its middle: (1, 1) for 3, (0, 1) for 2."""
    return (side - 1) // 2, side // 2


def begin(padded: int, side: int) -> int:
    """Where a kernel side begins in a padded one, in whose middle it lies."""
    return reach(padded)[0] - reach(side)[0]


def centre(
    w: Float[Array | np.ndarray, "KH KW C F"], shape: Sequence[int], turned: bool = False
) -> Float[Array | np.ndarray, "KH2 KW2 C2 F2"]:
    """The part of a padded kernel that one of ``shape`` fills: (height, width) or all four sides.

    It is the middle of the rows and columns, and the leading channels and filters. Where w was
    `flipped`, ``turned`` says so.
    """
    starts = [begin(w.shape[i], shape[i]) for i in (0, 1)]
    if turned:
        starts = [w.shape[i] - starts[i] - shape[i] for i in (0, 1)]
    shape = (*shape, *w.shape[len(shape) :])
    starts = (*starts, 0, 0)
    if isinstance(w, np.ndarray):
        return w[tuple(slice(start, start + side) for start, side in zip(starts, shape, strict=True))]
    return lax.slice(w, starts, [start + side for start, side in zip(starts, shape, strict=True)])


def around(kernel: tuple[int, int]) -> Pads:
    """The zero padding under which a kernel keeps the map's size."""
    return reach(kernel[0]), reach(kernel[1])


def correlate(
    x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], stride: tuple[int, int], pads: Pads, platform: str
) -> Float[Array, "B H2 W2 F"]:
    """Float32 result of operands of one type: output o sees the inputs from ``o * stride - pads`` on."""
    form = _form(w.shape, stride, platform)
    if form == "product":
        return _dot(x[:, :: stride[0], :: stride[1]], w[0, 0])
    if form == "blocks":
        return blocks.convolve(x, w, pads)
    if form == "convolution":
        return blocks.strided(x, w, stride, pads)
    return sum(_dot(row, w[i].reshape(-1, w.shape[3])) for i, row in enumerate(_patches(x, w.shape[:2], stride, pads)))


def plain(
    x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], stride: tuple[int, int]
) -> Float[Array, "B H2 W2 F"]:
    """`correlate` under `around` as XLA's own convolution: for one child alone, off CPU. The libraries there choose the
    algorithm, and no patch lies in memory.
    """
    pads = around(w.shape[:2])
    return lax.conv_general_dilated(x, w, stride, pads, dimension_numbers=LAYOUT, preferred_element_type=jnp.float32)


def plain_gradients(
    x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], dy: Float[Array, "B H2 W2 F"], stride: tuple[int, int]
) -> tuple[Float[Array, "B H W C"], Float[Array, "KH KW C F"]]:
    """Of `plain` with respect to x and w, float32: the convolutions that JAX makes of its derivative. Written out,
    because JAX itself takes no factors of another type than that of the sums there.
    """
    pads, sides = around(w.shape[:2]), list(zip(x.shape[1:3], w.shape[:2], dy.shape[1:3], stride, strict=True))
    ends = [(out - 1) * s + k - side for side, k, out, s in sides]  # of the padded map, beyond its last cell
    conv = partial(lax.conv_general_dilated, preferred_element_type=jnp.float32)
    over = [(k - 1 - pads[i][0], side + pads[i][0] - (out - 1) * s - 1) for i, (side, k, out, s) in enumerate(sides)]
    dx = conv(dy, flipped(w), (1, 1), over, lhs_dilation=stride, dimension_numbers=LAYOUT)
    under = [(pads[i][0], ends[i] - pads[i][0]) for i in (0, 1)]
    dw = conv(x, dy, (1, 1), under, rhs_dilation=stride, dimension_numbers=("CHWN", "IHWO", "HWNC"))
    return dx, dw


def input_gradient(dy: Float[Array, "B H W F"], w: Float[Array, "KH KW C F"], platform: str) -> Float[Array, "B H W C"]:
    """Gradient of `correlate` of stride 1 under `around` with respect to its x; `dilate` dy for other strides.

    A convolution of the forward kind, because XLA on CPU runs a convolution's own derivative 40 times slower inside a
    loop (jax issue 12868).
    """
    return correlate(dy, flipped(w), (1, 1), mirrored(w.shape[:2]), platform)


def flipped(w: Float[Array, "KH KW C F"]) -> Float[Array, "KH KW F C"]:
    """The kernel of the input gradient."""
    return w[::-1, ::-1].swapaxes(2, 3)


def mirrored(kernel: tuple[int, int]) -> Pads:
    """The padding of the input gradient."""
    return reach(kernel[0])[::-1], reach(kernel[1])[::-1]


def input_gradient_of_stride_2(
    dy: Float[Array, "B H2 W2 F"], w: Float[Array, "K K C F"], platform: str
) -> Float[Array, "B H W C"]:
    """Gradient of `correlate` of stride 2 under `around` with respect to an x of even sides, for odd K.

    The pixels of x fall into four phases that meet different taps: a convolution of the forward kind for each, which
    together do a quarter of the work of one over a dilated dy.
    """
    middle = reach(w.shape[0])[0]
    taps = [list(range(w.shape[0] - 1 - (w.shape[0] - 1 - middle - p) % 2, -1, -2)) for p in (0, 1)]

    def phase(p: int, q: int):
        if not (taps[p] and taps[q]):
            return jnp.zeros((*dy.shape[:3], w.shape[2]))
        own = w[np.array(taps[p])][:, np.array(taps[q])].swapaxes(2, 3)
        pads = [((taps[i][0] - middle - i) // 2, (middle + i - taps[i][-1]) // 2) for i in (p, q)]
        return correlate(dy, own, (1, 1), tuple(pads), platform)

    b, h, width, _ = dy.shape
    rows = [jnp.stack([phase(p, q) for q in (0, 1)], 3) for p in (0, 1)]
    return jnp.stack(rows, 2).reshape(b, 2 * h, 2 * width, w.shape[2])


def weight_gradient(
    x: Float[Array, "B H W C"],
    dy: Float[Array, "B H2 W2 F"],
    kernel: tuple[int, int],
    platform: str,
    stride: tuple[int, int] = (1, 1),
) -> Float[Array, "KH KW C F"]:
    """Gradient of `correlate` under `around` with respect to its w."""
    if stride != (1, 1) or kernel == (1, 1):
        return _by_rows(x, dy, kernel, stride)
    return in_parts(x, dy, lambda x, dy: weight_gradients(x, dy, platform)(kernel), platform)


def weight_gradients(
    x: Float[Array, "B H W C"], dy: Float[Array, "B H W F"], platform: str
) -> Callable[[tuple[int, int]], Float[Array, "KH KW C F"]]:
    """Those of stride 1 for a kernel that is chosen later: what they have in common is done."""
    if platform != "cpu":
        return partial(_by_rows, x, dy)
    operands = blocks.transposed(x, dy)
    by_blocks = lambda kernel: blocks.kernel_gradient(*operands, around(kernel))
    return lambda kernel: _by_rows(x, dy, kernel) if kernel == (1, 1) else by_blocks(kernel)


def in_parts(x, dy, gradient: Callable, platform: str):
    """``gradient(x, dy)``, a sum over the images, on CPU summed by `blocks.in_parts`."""
    return blocks.in_parts(x, dy, gradient) if platform == "cpu" else gradient(x, dy)


def multiply_adds(
    size: tuple[int, int], w_shape: tuple[int, int, int, int], stride: tuple[int, int], platform: str
) -> int:
    """What `correlate` executes for one example on a map of ``size`` = (H, W) under a kernel of ``w_shape`` = (KH, KW,
    C, F), outputs over the map's edge included. `plain` does no more than patches do.
    """
    if _form(w_shape, stride, platform) == "blocks":
        return blocks.executed(size, w_shape)
    return -(-size[0] // stride[0]) * -(-size[1] // stride[1]) * math.prod(w_shape)


def dilate(dy, stride: tuple[int, int], size: tuple[int, int]):
    """``dy`` as the gradient of a stride-1 convolution over a map of ``size``: zeros where the stride jumped."""
    if stride == (1, 1):
        return dy
    gaps = [(0, size[i] - (dy.shape[i + 1] - 1) * stride[i] - 1, stride[i] - 1) for i in (0, 1)]
    return lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *gaps, (0, 0, 0)])


def _form(w_shape, stride, platform: str) -> str:
    """On CPU the fastest, by measurement (`benchmarks/convolution_forms.py`). Other devices take matrix products of
    patches throughout, which under `jax.vmap` become batched products.
    """
    if w_shape[:2] == (1, 1):
        return "product"
    if platform != "cpu":
        return "patches"
    return "blocks" if stride == (1, 1) else "convolution"


def _dot(x, w):
    """The last axis of x times the first of w, summed in float32."""
    return lax.dot_general(x, w, (((x.ndim - 1,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def _by_rows(x, dy, kernel, stride=(1, 1)):
    """The weight gradient as a matrix product for each row of the kernel."""
    flat = lambda a: a.reshape(-1, a.shape[-1])
    product = lambda row: lax.dot(flat(row).T, flat(dy), preferred_element_type=jnp.float32)
    rows = _patches(x, kernel, stride, around(kernel))
    return jnp.stack([product(row) for row in rows]).reshape(*kernel, x.shape[3], dy.shape[3])


def _patches(x, kernel, stride, pads: Pads) -> list:
    """The inputs under each row of the kernel, at each position: KH arrays ``[B, H2, W2, KW * C]``.

    Row by row, because all of them at once would take KH times the memory for no more speed.
    """
    (h, w), (sh, sw) = x.shape[1:3], stride
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    wide = jnp.concatenate([x[:, :, j : j + w : sw] for j in range(kernel[1])], -1)
    return [wide[:, i : i + h : sh] for i in range(kernel[0])]
