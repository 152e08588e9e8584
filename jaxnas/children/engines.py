"""Engines: how the convolution of a padded layer runs inside its envelope. The same numbers, different work.

Letters: B batch, H W height and width of the map, C channels in, F filters, KH KW kernel height and width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from jaxnas.children import convolution, ragged
from jaxnas.children.convolution import around, correlate, reach

Sides = tuple[int, int]


class Shape(NamedTuple):
    """A convolution's kernel sides, channels in and filters."""

    kernel: Sides
    channels: int
    filters: int


@runtime_checkable
class Engine(Protocol):
    """A frozen dataclass. It is part of an envelope, and so of the key of a compiled program."""

    in_turn: ClassVar[bool]
    """Whether children must run one after the other."""
    skips_absent: ClassVar[bool]
    """Whether a layer that a child lacks costs no work."""

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int | Sequence[int]:
        """Which branch serves a child's layer, None where the child lacks it. Raises ValueError where none does."""

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype) -> jax.Array:
        """x ``[B, H, W, C]``, w ``[KH, KW, C, F]`` -> ``[B, ceil(H / stride), ceil(W / stride), F]`` in float32."""

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        """Multiply-adds that run forward for one example of a child on a map of ``size``."""

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        """How many convolutions a layer on maps of this width compiles."""


@dataclass(frozen=True)
class Padded:
    """Every child pays the whole envelope: for children that are tiny or nearly equal."""

    in_turn: ClassVar[bool] = False
    skips_absent: ClassVar[bool] = False

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int:
        return 0

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return _conv(x, w, branch, stride, None, dtype, first)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        return convolution.multiply_adds(size, (*padded.kernel, padded.channels, padded.filters), stride)

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        return 1


@dataclass(frozen=True)
class Branching:
    """A program with an exact convolution for each shape of the space; each child takes its own branch.

    For children that run in turn: under `jax.vmap` every branch would run for every child.

    Attributes:
        kernels: all pairs of kernel sides.
        filters: classes of filters, ascending; a child's channels are rounded up to the next class.
    """

    in_turn: ClassVar[bool] = True
    skips_absent: ClassVar[bool] = True

    kernels: tuple[Sides, ...]
    filters: tuple[int, ...]

    def pairs(self, channels: int, first: bool) -> tuple[Sides, ...]:
        """The classes of (channels in, filters) of a layer; the first layer's channels are those of the image."""
        return tuple(product((channels,) if first else self.filters, self.filters))

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> int:
        pairs = self.pairs(padded.channels, first)
        if own is None:
            return len(pairs) * len(self.kernels)
        rounded = own.channels if first else self._class(own.channels), self._class(own.filters)
        if own.kernel not in self.kernels or rounded not in pairs:
            raise ValueError(f"no branch for {own}: there are {self.kernels} of {pairs} channels")
        return pairs.index(rounded) * len(self.kernels) + self.kernels.index(own.kernel)

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        table = self._exact(w.shape[2], x.shape[2], first)
        return _conv(x, w, branch, stride, table, dtype, first)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        if self._exact(padded.channels, size[1], first) is None:
            return Padded().executed(size, padded, own, stride, first)
        if own is None:
            return 0
        channels = own.channels if first else self._class(own.channels)
        return convolution.multiply_adds(size, (*own.kernel, channels, self._class(own.filters)), stride)

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        table = self._exact(padded.channels, width, first)
        return 1 if table is None else len(table.kernels) * len(table.pairs)

    def _exact(self, channels: int, width: int, first: bool) -> "_Table | None":
        """None where the form of the convolution is so large that its branches would not pay."""
        if convolution.by_bands(width, channels):
            return None
        return _Table(self.kernels, self.pairs(channels, first))

    def _class(self, filters: int) -> int | None:
        return next((c for c in self.filters if c >= filters), None)


@dataclass(frozen=True)
class Ragged:
    """One kernel over all children whose loops follow each child's own sides and channels: for GPUs (`ragged`)."""

    in_turn: ClassVar[bool] = False
    skips_absent: ClassVar[bool] = True

    def branch(self, padded: Shape, own: Shape | None, first: bool) -> Sequence[int]:
        return (0, 0, 0, 0) if own is None else (*own.kernel, own.channels, own.filters)

    def conv(self, x, w, branch, stride: Sides, first: bool, dtype):
        return _ragged(x, w, branch, stride, dtype)

    def executed(self, size: Sides, padded: Shape, own: Shape | None, stride: Sides, first: bool) -> int:
        live, batch = np.array([self.branch(padded, own, first)]), 128  # work is rounded up to tiles of a whole batch
        work = ragged.executed(live, (batch, *size), padded.channels, padded.filters, stride)
        return int(work[0, 0]) // batch

    def branches(self, width: int, padded: Shape, first: bool) -> int:
        return 1


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _ragged(x, w, live, stride, dtype):
    return _for_all(lambda x, w, live: ragged.conv(x, w, live, stride, dtype))(x, w, live)


def _ragged_backward(stride, dtype, residuals, dy):
    def gradients(x, w, live, dy):
        return jax.vjp(lambda x, w: ragged.conv(x, w, live, stride, dtype), x, w)[1](dy)

    return *_for_all(gradients)(*residuals, dy), None


_ragged.defvjp(lambda x, w, live, stride, dtype: (_ragged(x, w, live, stride, dtype), (x, w, live)), _ragged_backward)


def _for_all(fn: Callable) -> Callable:
    """``fn`` of arrays of many children, called with those of one: under `jax.vmap` it gets all of them at once."""
    mapped = custom_vmap(lambda *one: jax.tree.map(lambda a: a[0], fn(*(a[None] for a in one))))

    @mapped.def_vmap
    def over_children(n, batched, *arrays):
        arrays = [a if own else jnp.broadcast_to(a, (n, *a.shape)) for a, own in zip(arrays, batched, strict=True)]
        found = fn(*arrays)
        return found, jax.tree.map(lambda _: True, found)

    return mapped


class _Table(NamedTuple):
    """A layer's branches: each kernel for each pair of (channels in, filters), and one more for an absent layer."""

    kernels: tuple[Sides, ...]
    pairs: tuple[Sides, ...]


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def _conv(x, w, branch, stride, table, dtype, first):
    """The convolution of one branch. Gradients are taken around the switch, so what is kept for them is (x, w) alone,
    not one copy for each branch."""
    x, w = x.astype(dtype), w.astype(dtype)
    if table is None:
        return correlate(x, w, stride, around(w.shape[:2]))

    def run(pair, kernel):
        operand, own = x[..., : pair[0]], w[:, :, : pair[0], : pair[1]]
        exact = lambda k: correlate(operand, _middle(own, k), stride, around(k))
        return _widen(lax.switch(kernel, [partial(exact, k) for k in table.kernels]), w.shape[3])

    return _switch(branch, table, run)


def _conv_forward(x, w, branch, stride, table, dtype, first):
    return _conv(x, w, branch, stride, table, dtype, first), (x.astype(dtype), w.astype(dtype), branch)


def _conv_backward(stride, table, dtype, first, residuals, dy):
    x, w, branch = residuals
    dy = convolution.dilate(dy.astype(dtype), stride, x.shape[1:3])
    if table is None:
        dw = convolution.weight_gradient(x, dy, w.shape[:2])
        dx = None if first else convolution.input_gradient(dy, w)
    else:
        dw = _weight_gradient(x, dy, w.shape, branch, table)
        dx = None if first else _input_gradient(dy, w, branch, table)
    return jnp.zeros(x.shape) if first else dx, dw, None  # nobody asks for the gradient of an image


_conv.defvjp(_conv_forward, _conv_backward)


def _input_gradient(dy, w, branch, table: _Table):
    turned = convolution.flipped(w)

    def run(pair, kernel):
        operand, own = dy[..., : pair[1]], turned[:, :, : pair[1], : pair[0]]
        exact = lambda k: correlate(operand, _middle(own, k, mirrored=True), (1, 1), convolution.mirrored(k))
        return _widen(lax.switch(kernel, [partial(exact, k) for k in table.kernels]), w.shape[2])

    return _switch(branch, table, run)


def _weight_gradient(x, dy, shape, branch, table: _Table):
    """A branch for each kernel width; the kernel's rows are a loop of so many turns."""
    widths = sorted({k[1] for k in table.kernels})
    width_of = np.array([widths.index(k[1]) for k in table.kernels], np.int32)
    rows_of = np.array([(_first(shape[0], k[0]), k[0]) for k in table.kernels], np.int32)

    def run(pair, kernel):
        def exact(width):
            rows = jnp.asarray(rows_of)[kernel]
            dw = convolution.weight_gradient_by_rows(x[..., : pair[0]], dy[..., : pair[1]], rows, shape[0], width)
            left = _first(shape[1], width)
            ends = (shape[1] - width - left, shape[2] - pair[0], shape[3] - pair[1])
            return jnp.pad(dw, [(0, 0), (left, ends[0]), (0, ends[1]), (0, ends[2])])

        return lax.switch(jnp.asarray(width_of)[kernel], [partial(exact, width) for width in widths])

    return _switch(branch, table, run)


def _switch(branch, table: _Table, run: Callable):
    """``run(pair, number of the kernel)`` of the branch's pair; zeros where the layer is absent."""
    pair, kernel = branch // len(table.kernels), branch % len(table.kernels)
    result = jax.eval_shape(lambda: run(table.pairs[0], kernel))
    absent = lambda kernel: jnp.zeros(result.shape, result.dtype)
    return lax.switch(pair, [*(partial(run, p) for p in table.pairs), absent], kernel)


def _widen(x, channels: int):
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, channels - x.shape[-1])])


def _middle(w, kernel: Sides, mirrored: bool = False):
    """The live part of a padded kernel, or of one that was flipped."""
    top, left = (_first(w.shape[i], kernel[i]) for i in (0, 1))
    if mirrored:
        top, left = w.shape[0] - top - kernel[0], w.shape[1] - left - kernel[1]
    return w[top : top + kernel[0], left : left + kernel[1]]


def _first(padded: int, side: int) -> int:
    """Where a kernel side begins in its padded block."""
    return reach(padded)[0] - reach(side)[0]
