"""The convolution of one branch among many, and its gradients, which are taken around the switch.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas.children.engines import convolution, shared
from jaxnas.children.engines.convolution import around, begin, centre, correlate
from jaxnas.children.engines.engine import Sides
from jaxnas.children.engines.shared import Shared


class Table(NamedTuple):
    """A layer's branches: each kernel for each pair of (channels in, filters), and one more for an absent layer."""

    kernels: tuple[Sides, ...]
    pairs: tuple[Sides, ...]


def conv(x, w, branch, stride, table, dtype, first, platform, plain=False):
    """The convolution of one branch. Gradients are taken around the switch, so what is kept for them is (x, w) alone,
    not one copy for each branch.

    Args:
        x: ``[B, H, W, C]``; of an image also `Shared`.
        w: ``[KH, KW, C, F]``.
        branch: its number, ``[]``.
        stride: of the rows and the columns.
        table: the branches; None: there is one, of the shape of w.
        dtype: of the factors and of the result; sums are float32.
        first: x is an image, whose gradient nobody asks for.
        platform: of the device.
        plain: of a single branch, by XLA's own convolutions.

    Returns:
        ``[B, ceil(H / stride), ceil(W / stride), F]``.
    """
    x, taps = (x.images, x.taps) if isinstance(x, Shared) else (x, None)
    return _conv(x.astype(dtype), taps, w, branch, stride, table, dtype, first, platform, plain)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7, 8, 9))
def _conv(x, taps, w, branch, stride, table, dtype, first, platform, plain):
    """`conv` of an x of ``dtype``, of which its gradient is too; that of w is float32. ``taps``: None, or those of the
    image that children share.
    """
    return _correlate(x, taps, w.astype(dtype), branch, stride, table, platform, plain)


def _conv_forward(x, taps, w, branch, stride, table, dtype, first, platform, plain):
    w = w.astype(dtype)
    return _correlate(x, taps, w, branch, stride, table, platform, plain), (x, taps, w, branch)


@partial(jax.jit, static_argnums=(4, 5, 6, 7))  # traced once, not again when its gradient is asked for
def _correlate(x, taps, w, branch, stride, table, platform, plain):
    if plain:
        return convolution.plain(x, w, stride).astype(x.dtype)
    if taps is not None and platform != "cpu":
        return shared.correlate(Shared(x, taps), w, stride, platform).astype(x.dtype)
    if table is None:
        return correlate(x, w, stride, around(w.shape[:2]), platform).astype(x.dtype)

    def run(pair, kernel):
        operand, own = _narrow(x, pair[0]), _narrow(w, *pair)
        exact = lambda k: correlate(operand, centre(own, k), stride, around(k), platform).astype(x.dtype)
        return _widen(lax.switch(kernel, [partial(exact, k) for k in table.kernels]), w.shape[3])

    size = [-(-side // s) for side, s in zip(x.shape[1:3], stride, strict=True)]
    return _switch(branch, table, run, (x.shape[0], *size, w.shape[3]), x.dtype)


def _conv_backward(stride, table, dtype, first, platform, plain, residuals, dy):
    x, taps, w, branch = residuals
    if plain:
        dx, dw = convolution.plain_gradients(x, w, dy, stride)
        return None if first else dx.astype(dtype), None, dw, None  # nobody asks for the gradient of an image
    if taps is not None:
        return None, None, shared.weight_gradient(taps, dy, w.shape), None
    dy = convolution.dilate(dy, stride, x.shape[1:3])
    if platform != "cpu":  # or XLA keeps the patches of the forward pass, which hold each map once for each column
        x, dy = lax.optimization_barrier((x, dy))
    if table is None:
        dw = convolution.weight_gradient(x, dy, w.shape[:2], platform)
        dx = None if first else convolution.input_gradient(dy, w, platform).astype(dtype)
    else:
        dw = _weight_gradient(x, dy, w.shape, branch, table, platform)
        dx = None if first else _input_gradient(dy, w, branch, table, platform)
    return dx, None, dw, None


_conv.defvjp(_conv_forward, _conv_backward)


def _input_gradient(dy, w, branch, table: Table, platform: str):
    turned = convolution.flipped(w)

    def run(pair, kernel):
        operand, own = _narrow(dy, pair[1]), _narrow(turned, pair[1], pair[0])
        turn = lambda k: (centre(own, k, turned=True), (1, 1), convolution.mirrored(k), platform)
        exact = lambda k: correlate(operand, *turn(k)).astype(dy.dtype)
        return _widen(lax.switch(kernel, [partial(exact, k) for k in table.kernels]), w.shape[2])

    return _switch(branch, table, run, (*dy.shape[:3], w.shape[2]), dy.dtype)


def _weight_gradient(x, dy, shape, branch, table: Table, platform: str):
    def whole(x, dy):
        def run(pair, kernel):
            gradient = convolution.weight_gradients(_narrow(x, pair[0]), _narrow(dy, pair[1]), platform)

            def exact(own):
                top, left = (begin(shape[i], own[i]) for i in (0, 1))
                ends = (shape[0] - own[0] - top, shape[1] - own[1] - left, shape[2] - pair[0], shape[3] - pair[1])
                return _pad(gradient(own), [(top, ends[0]), (left, ends[1]), (0, ends[2]), (0, ends[3])])

            return lax.switch(kernel, [partial(exact, own) for own in table.kernels])

        return _switch(branch, table, run, shape, jnp.float32)

    return convolution.in_parts(x, dy, whole, platform)


def _switch(branch, table: Table, run: Callable, shape: tuple[int, ...], dtype):
    """``run(pair, number of the kernel)`` of the branch's pair; zeros where the layer is absent."""
    pair, kernel = branch // len(table.kernels), branch % len(table.kernels)
    absent = lambda kernel: jnp.zeros(shape, dtype)
    return lax.switch(pair, [*(partial(run, p) for p in table.pairs), absent], kernel)


# In lax, not jnp: each branch of each layer takes these, and jnp's are traced and lowered as functions of their own.


def _narrow(x, *last: int):
    """The leading part of the last axes."""
    return lax.slice(x, [0] * x.ndim, [*x.shape[: x.ndim - len(last)], *last])


def _widen(x, channels: int):
    return _pad(x, [(0, 0)] * (x.ndim - 1) + [(0, channels - x.shape[-1])])


def _pad(x, pads):
    return lax.pad(x, np.zeros((), x.dtype), [(*pad, 0) for pad in pads])
