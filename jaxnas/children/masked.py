"""Layers on padded arrays, written for ONE child: the seam behind which the engines lie.

A padded array holds its child in the leading channels and in the upper left of the map; everything else is zero and
stays zero. A kernel lies in the middle of its padded block. `jax.vmap` over these functions trains many children; how a
convolution then runs is decided here (the *padded* engine), and nowhere else.

Letters: N children, B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int

LAYOUT = ("NHWC", "HWIO", "NHWC")
Pads = tuple[tuple[int, int], tuple[int, int]]


def reach(side: int) -> tuple[int, int]:
    """How many cells a kernel side covers before and after its middle: (1, 1) for 3, (0, 1) for 2."""
    return (side - 1) // 2, side // 2


def conv(
    x: Float[Array, "B H W C"], w: Float[Array, "KH KW C F"], stride: tuple[int, int] = (1, 1)
) -> Float[Array, "B H2 W2 F"]:
    """Convolution with zero padding: output o sees the inputs around o * stride, so H2 = ceil(H / stride height).

    The gradients are written out as convolutions of the forward kind, because XLA on CPU runs a convolution's own
    derivative 40 times slower inside a loop (jax issue 12868).
    """
    return _conv(x, w, stride)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x, w, stride):
    return _per_child(partial(_correlate, stride=stride, pads=(reach(w.shape[0]), reach(w.shape[1]))))(x, w)


def _conv_forward(x, w, stride):
    return _conv(x, w, stride), (x, w)


def _conv_backward(stride, residuals, dy):
    x, w = residuals
    pads = reach(w.shape[0]), reach(w.shape[1])
    flipped = w[::-1, ::-1].swapaxes(2, 3)
    dy = _dilate(dy, stride, x.shape[1:3])
    dx = _per_child(partial(_correlate, stride=(1, 1), pads=(pads[0][::-1], pads[1][::-1])))(dy, flipped)
    dw = _per_child(partial(_weight_gradient, kernel=w.shape[:2], pads=pads))(x, dy)
    return dx, dw


_conv.defvjp(_conv_forward, _conv_backward)


def _dilate(dy, stride, size):
    """``dy`` as the gradient of a stride-1 convolution over a map of ``size``: zeros where the stride jumped."""
    if stride == (1, 1):
        return dy
    gaps = [(0, size[i] - (dy.shape[i + 1] - 1) * stride[i] - 1, stride[i] - 1) for i in (0, 1)]
    return lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *gaps, (0, 0, 0)])


def _correlate(x, w, stride, pads: Pads):
    """x ``[B, H, W, C]``, w ``[KH, KW, C, F]`` -> ``[B, H2, W2, F]``."""
    if w.shape[:2] == (1, 1):
        return x[:, :: stride[0], :: stride[1]] @ w[0, 0]
    if _by_matrix_product(x, w.shape):
        rows = _patches(x, w.shape[:2], stride, pads)
        return sum(row @ w[i].reshape(-1, w.shape[3]) for i, row in enumerate(rows))
    return lax.conv_general_dilated(x, w, stride, pads, dimension_numbers=LAYOUT)


def _weight_gradient(x, dy, kernel, pads: Pads):
    """x ``[B, H, W, C]``, dy ``[B, H, W, F]`` -> the kernel's gradient ``[KH, KW, C, F]``."""
    shape = (*kernel, x.shape[3], dy.shape[3])
    if _on_cpu() and kernel != (1, 1):
        dw = lax.conv_general_dilated(
            x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), (1, 1), pads, dimension_numbers=LAYOUT
        )
        return dw.transpose(1, 2, 0, 3)
    rows = [jnp.einsum("bhwk,bhwf->kf", row, dy) for row in _patches(x, kernel, (1, 1), pads)]
    return jnp.stack(rows).reshape(shape)


def _patches(x, kernel, stride, pads: Pads) -> list:
    """The inputs under each row of the kernel, at each position: KH arrays ``[B, H2, W2, KW * C]``.

    Row by row, because all of them at once would take KH times the memory for no more speed.
    """
    (h, w), (sh, sw) = x.shape[1:3], stride
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    wide = jnp.concatenate([x[:, :, j : j + w : sw] for j in range(kernel[1])], -1)
    return [wide[:, i : i + h : sh] for i in range(kernel[0])]


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _by_matrix_product(x, kernel) -> bool:
    """Whether to convolve as a product of patches: on CPU only where the kernel is larger than the map.

    There XLA leaves its fast path (8 GFLOP/s against 170 by patches, 5x5 kernel on a 4x4 map). Other devices take
    batched matrix products throughout.
    """
    return not _on_cpu() or kernel[0] > x.shape[1] or kernel[1] > x.shape[2]


def _per_child(fn: Callable) -> Callable:
    """``fn(x, w)``; under `jax.vmap` on CPU it runs as one ordinary convolution after the other.

    A vmapped convolution would become a grouped one, which XLA on CPU runs 20 to 50 times slower. Where all children
    share x (the first layer sees the same batch), their kernels stand side by side in a single convolution.
    """
    if not _on_cpu():
        return fn
    mapped = custom_vmap(fn)

    @mapped.def_vmap
    def over_children(n, batched, x, w):
        if batched[1] and not batched[0]:
            together = fn(x, jnp.moveaxis(w, 0, -2).reshape(*w.shape[1:-1], -1))
            return jnp.moveaxis(together.reshape(*together.shape[:-1], n, -1), -2, 0), True
        x, w = (
            a if is_batched else jnp.broadcast_to(a, (n, *a.shape))
            for a, is_batched in zip((x, w), batched, strict=True)
        )
        return lax.map(lambda pair: fn(*pair), (x, w)), True

    return mapped


def stride_over(y: Float[Array, "B H W F"], step: Int[Array, "2"]) -> Float[Array, "B H W F"]:
    """Every ``step``-th row and column of y, moved to the upper left; what follows them is meaningless."""
    for axis in (1, 2):
        size = y.shape[axis]
        y = jnp.take(y, jnp.minimum(jnp.arange(size) * step[axis - 1], size - 1), axis=axis)
    return y


def pixels(size: Int[Array, "2"], shape: tuple[int, int]) -> Float[Array, "H W 1"]:
    """1 in the upper left ``size`` of a map of ``shape``, else 0."""
    rows, columns = (jnp.arange(shape[i]) < size[i] for i in (0, 1))
    return (rows[:, None] & columns).astype(jnp.float32)[:, :, None]


def moments(
    x: Float[Array, "B H W F"], live: Float[Array, "H W 1"] | None
) -> tuple[Float[Array, " F"], Float[Array, " F"]]:
    """Mean and (biased) variance of each channel over the batch and the live part of the map; None: all of it."""
    if live is None:
        mean = x.mean((0, 1, 2))
        return mean, jnp.square(x - mean).mean((0, 1, 2))
    count = x.shape[0] * jnp.maximum(live.sum(), 1)
    mean = (x * live).sum((0, 1, 2)) / count
    return mean, (jnp.square(x - mean) * live).sum((0, 1, 2)) / count


def max_pool(x: Float[Array, "B H W F"], side: int) -> Float[Array, "B H2 W2 F"]:
    """Largest of each ``side`` x ``side`` window of x >= 0, H2 = ceil(H / side): zeros fill the last windows.

    By selection, not `jnp.max`: the gradient of that compares x with its maximum, and where XLA computes x twice with
    different rounding, the two are unequal and the gradient is lost.
    """
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % side), (0, -x.shape[2] % side), (0, 0)))
    cells = (x[:, i::side, j::side] for i in range(side) for j in range(side))
    return reduce(lambda a, b: jnp.where(a >= b, a, b), cells)


def global_average(x: Float[Array, "B H W F"], live: Float[Array, "H W 1"] | None) -> Float[Array, "B F"]:
    """Mean over the live part of the map (None: all of it); the rest of x must be zero."""
    return x.mean((1, 2)) if live is None else x.sum((1, 2)) / jnp.maximum(live.sum(), 1)
