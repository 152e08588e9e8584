"""The *ragged* engine: one kernel over all children whose loops follow each child's own sides and channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxnas.children.engines import ragged_kernel as kernel
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

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return _ragged(x, w, branch, stride, dtype, self.platform == "cpu")

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        live, batch = np.array([self.branch(padded, own, first)]), 128  # work is rounded up to tiles of a whole batch
        work = kernel.executed(live, (batch, *size), padded.channels, padded.filters, stride)
        return int(work[0, 0]) // batch

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        return 1


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _ragged(x, w, live, stride, dtype, interpret):
    return _for_all(lambda x, w, live: kernel.conv(x, w, live, stride, dtype, interpret))(x, w, live)


def _ragged_forward(x, w, live, *rest):
    return _ragged(x, w, live, *rest), (x, w, live)


def _ragged_backward(stride, dtype, interpret, residuals, dy):
    def gradients(x, w, live, dy):
        return jax.vjp(lambda x, w: kernel.conv(x, w, live, stride, dtype, interpret), x, w)[1](dy)

    return *_for_all(gradients)(*residuals, dy), None


_ragged.defvjp(_ragged_forward, _ragged_backward)


def _for_all(fn: Callable) -> Callable:
    """``fn`` of arrays of many children, called with those of one: under `jax.vmap` it gets all of them at once."""
    mapped = custom_vmap(lambda *one: jax.tree.map(lambda a: a[0], fn(*(a[None] for a in one))))

    @mapped.def_vmap
    def over_children(n, batched, *arrays):
        arrays = [a if own else jnp.broadcast_to(a, (n, *a.shape)) for a, own in zip(arrays, batched, strict=True)]
        found = fn(*arrays)
        return found, jax.tree.map(lambda _: True, found)

    return mapped
