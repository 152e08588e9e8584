"""A convolution whose derivative XLA runs fast on CPU, in loops too.

Letters: B batch, H W height and width of the map, I O channels in and out, KH KW sides of the kernel.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

LAYOUT = ("NHWC", "HWIO", "NHWC")
PLAIN = {"lhs_dilation": ((1, 1),), "rhs_dilation": ((1, 1),), "feature_group_count": (1,), "out_sharding": (None,)}
"""Arguments of `lax.conv_general_dilated` with what they may be here."""


def convolve(x: Array, w: Array, window_strides: Sequence[int], padding: Any, **rest: Any) -> Array:
    """`lax.conv_general_dilated` for `nnx.Conv`, which takes it as its ``conv_general_dilated``.

    XLA on CPU runs a convolution's own derivative tens of times slower inside a loop (jax issue 12868). So there the
    derivative of a convolution over two axes, of one group and without dilation, is written as convolutions of the
    forward kind. Everything else is JAX's own. There is no forward-mode derivative.
    """
    numbers, precision = rest.pop("dimension_numbers"), rest.pop("precision", None)
    usual = all(name in PLAIN and value in PLAIN[name] for name, value in rest.items())
    if x.ndim != 4 or not usual:
        more = {"dimension_numbers": numbers, "precision": precision}
        return lax.conv_general_dilated(x, w, window_strides, padding, **more, **rest)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], w.shape[:2], window_strides, padding)
    return _conv(x, w, tuple(window_strides), tuple(map(tuple, padding)), precision)


def _stock(x, w, strides, pads, precision):
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=LAYOUT, precision=precision)


_conv = jax.custom_vjp(_stock, nondiff_argnums=(2, 3, 4))


def _forward(x, w, *how):
    return _stock(x, w, *how), (x, w)


def _backward(strides, pads, precision, operands, dy):
    stock = lambda x, w, dy: jax.vjp(lambda x, w: _stock(x, w, strides, pads, precision), x, w)[1](dy)
    own = partial(_forward_kind, strides=strides, pads=pads, precision=precision)
    return lax.platform_dependent(*operands, dy, cpu=own, default=stock)


_conv.defvjp(_forward, _backward)


def _forward_kind(
    x: Float[Array, "B H W I"], w: Float[Array, "KH KW I O"], dy: Float[Array, "B H2 W2 O"], strides, pads, precision
) -> tuple[Float[Array, "B H W I"], Float[Array, "KH KW I O"]]:
    """The gradients of x and w. Channels and batch change places for that of w; XLA must not undo it."""
    product = partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding="VALID", dimension_numbers=LAYOUT, precision=precision
    )
    dy = _padded(dy, [(0, 0), (0, 0)], [stride - 1 for stride in strides])
    sides = zip(w.shape, pads, x.shape[1:3], dy.shape[1:3], strict=False)
    ends = [(k - 1 - before, side + before - out) for k, (before, _), side, out in sides]
    dx = product(_padded(dy, ends), w[::-1, ::-1].swapaxes(2, 3))
    turned = lax.optimization_barrier((_padded(x, pads).transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)))
    dw = product(*turned)[:, : w.shape[0], : w.shape[1]]  # a stride may leave rows and columns unread
    return dx, dw.transpose(1, 2, 0, 3)


def _padded(x: Array, ends: Sequence[tuple[int, int]], between: Sequence[int] = (0, 0)) -> Array:
    """Zeros around a map (less of it, where negative), and so many between its rows and columns."""
    inner = [(*end, gap) for end, gap in zip(ends, between, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *inner, (0, 0, 0)])
