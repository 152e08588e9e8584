"""The *ragged* engine: one kernel over all children whose loops follow each child's own sides and channels.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxnas.children.engines import ragged_kernel as kernel
from jaxnas.children.engines.convolution import around
from jaxnas.children.engines.engine import Shape, Sides


@dataclass(frozen=True)
class Ragged:
    """One kernel over all children whose loops follow each child's own sides and channels: for GPUs (`ragged_kernel`).

    Attributes:
        platform: see `Engine`; on "cpu" the kernels run in Pallas' interpreter, which is for tests.

    Raises:
        ValueError: on TPUs.
    """

    name: ClassVar[str] = "ragged"
    unasked: ClassVar[bool] = False
    in_turn: ClassVar[bool] = False
    skips_absent: ClassVar[bool] = True

    platform: str = "cpu"

    def __post_init__(self):
        if self.platform == "tpu":
            raise ValueError("engine 'ragged' has no kernel for TPUs: take 'padded'")

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> Sequence[int]:
        return (0, 0, 0, 0) if own is None else (*own.kernel, own.channels, own.filters)

    def share(self, x, kernel: Sides, stride: Sides):
        return x

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return _conv(x.astype(dtype), w, branch, stride, dtype, self.platform == "cpu")

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        live, batch = np.array([self.branch(padded, own, first)]), 128  # work is rounded up to tiles of a whole batch
        work = kernel.executed(live, (batch, *size), padded.channels, padded.filters, stride)
        return int(work[0, 0]) // batch

    def branches(self, padded: Shape, first: bool) -> int:
        return 1


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _conv(x, w, live, stride, dtype, interpret):
    """The convolution of one child, and under `jax.vmap` one kernel over all; so are both gradients.

    It is zero beyond the child's filters; so are the gradients beyond its channels, taps and filters.

    Args:
        x: ``[B, H, W, C]``, of ``dtype``, as its gradient and the result are; zero beyond the child's channels.
        w: ``[KH, KW, C, F]``, the child's kernel in the middle.
        live: kernel height, kernel width, channels in and filters, ``[4]``; all 0 where the child lacks the layer.
        stride: of the rows and the columns.
        dtype: float32 or bfloat16; sums and the gradient of w are float32.
        interpret: run the kernels in Pallas' interpreter.

    Returns:
        ``[B, ceil(H / stride), ceil(W / stride), F]``.
    """
    return _forward(x, w, live, stride, dtype, interpret)[0]


def _forward(x, w, live, stride, dtype, interpret):
    sides, w = w.shape[:2], w.astype(dtype)
    run = lambda x, w, live: kernel.correlate(x, w, kernel.spans(live, sides), stride, around(sides), dtype, interpret)
    return _for_all(run)(x, w, live), (x, w, live)


def _backward(stride, dtype, interpret, residuals, dy):
    sides = residuals[1].shape[:2]

    def gradients(x, w, live, dy):
        span, pads = kernel.spans(live, sides), around(sides)
        dx = kernel.input_gradient(dy, w, x.shape[2:4], span, stride, pads, dtype, interpret)
        return dx, kernel.weight_gradient(x, dy, sides, span, stride, pads, dtype, interpret)

    return *_for_all(gradients)(*residuals, dy), None


_conv.defvjp(_forward, _backward)


def _for_all(fn: Callable) -> Callable:
    """``fn`` of arrays of many children, called with those of one: under `jax.vmap` it gets all of them at once."""
    mapped = custom_vmap(lambda *one: jax.tree.map(lambda a: a[0], fn(*(a[None] for a in one))))

    @mapped.def_vmap
    def over_children(n, batched, *arrays):
        arrays = [a if own else jnp.broadcast_to(a, (n, *a.shape)) for a, own in zip(arrays, batched, strict=True)]
        found = fn(*arrays)
        return found, jax.tree.map(lambda _: True, found)

    return mapped
