"""The operations of NAS-Bench-201's cells, forward and backward, written for ONE child.

An edge computes the child's own operation: under `lax.map` a true branch of `lax.switch`. Where children run under
`jax.vmap`, which would compute all branches of all children, one masked convolution serves every edge. Gradients are by
hand: those of a switch would keep what all of its branches need; here a cell keeps its nodes alone, and what its
convolutions gave is computed again, which on CPU takes no longer than storing it.

Letters: B batch, H W height and width of the map, C channels in, F filters, K kernel side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxnas.children import layers
from jaxnas.children.cell201.architecture import EDGES, OPERATIONS, SIDES, CellEnvelope
from jaxnas.children.cell201.pooling import average, average_transposed
from jaxnas.children.engines import convolution, shared
from jaxnas.children.engines.convolution import around, begin, centre, correlate
from jaxnas.children.engines.shared import Shared
from jaxnas.children.layers import Carried, Statistics, Training, carried, either

NONE, SKIP, ONE, THREE, POOL = range(len(OPERATIONS))


class ConvParameters(NamedTuple):
    """Kernel ``[K, K, C, F]``; scale and bias of batch normalisation ``[F]``."""

    kernel: jax.Array
    scale: jax.Array
    bias: jax.Array


@dataclass(frozen=True)
class Form:
    """How a convolution that batch normalisation follows is computed.

    Attributes:
        dtype: of its operands and of maps, the result among them; sums and statistics are float32.
        epsilon: added to the variance.
        stride: both ways, 1 or 2.
        image: it reads the image: without ReLU, and no gradient of it is asked for.
        platform: see `Engine`.
        plain: by XLA's own convolutions; see `Padded`.
    """

    dtype: jnp.dtype
    epsilon: float
    stride: int = 1
    image: bool = False
    platform: str = "cpu"
    plain: bool = False


def conv_norm(
    form: Form, x: Float[Array, "B H W C"] | Shared, values: ConvParameters, running: Statistics, training: Training
) -> tuple[Float[Array, "B H2 W2 F"], Statistics]:
    """ReLU, convolution without bias, batch normalisation; and the statistics used, constants to differentiation."""
    x = jax.tree.map(lambda a: a.astype(form.dtype), x)
    return _differentiable(form, x, values, running, carried(training))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _differentiable(form, x, values, running, training):
    z, _, used = _conv_norm(form, x, values, running, training)
    return z, used


def _conv_norm(form: Form, x, values: ConvParameters, running: Statistics, training: Carried):
    """Also what the convolution gave; x is of the form's type."""
    y = _convolve(form, x, values.kernel)
    used = either(training, lambda: layers.batch_statistics(y), lambda: running)
    slope = values.scale * lax.rsqrt(used.variance + form.epsilon)
    z = (y.astype(jnp.float32) - used.mean) * slope + values.bias
    return z.astype(form.dtype), y, used


def _conv_norm_forward(form, x, values, running, training):
    z, y, used = _conv_norm(form, x, values, running, training)
    return (z, used), (x, y, used, values, training)


def _conv_norm_backward(form, residuals, cotangents):
    return *_gradients(form, cotangents[0], *residuals), None, None


_differentiable.defvjp(_conv_norm_forward, _conv_norm_backward)


def _convolve(form: Form, x, kernel):
    x, kernel, stride = _operand(form, x), kernel.astype(form.dtype), (form.stride,) * 2
    if isinstance(x, Shared):
        return shared.correlate(x, kernel, stride, form.platform).astype(form.dtype)
    if form.plain:
        return convolution.plain(x, kernel, stride).astype(form.dtype)
    return correlate(x, kernel, stride, around(kernel.shape[:2]), form.platform).astype(form.dtype)


def _operand(form: Form, x):
    return x if form.image else jax.nn.relu(x)


def _gradients(
    form: Form,
    dz: Float[Array, "B H2 W2 F"],
    x: Float[Array, "B H W C"] | Shared,
    y: Float[Array, "B H2 W2 F"],
    used: Statistics,
    values: ConvParameters,
    training: Carried,
) -> tuple[Float[Array, "B H W C"] | None, ConvParameters]:
    """Of `conv_norm` with respect to x (None where it is the image) and values, from that of its result; y is what the
    convolution gave.
    """
    inverse, centred = lax.rsqrt(used.variance + form.epsilon), y.astype(jnp.float32) - used.mean
    dz = dz.astype(jnp.float32)
    sums = layers.norm_sums(dz, centred, inverse)
    share = layers.norm_share(training, y.size // y.shape[-1])
    dy = layers.norm_gradient(dz, centred, sums, values.scale, inverse, share).astype(form.dtype)
    dx, kernel = _convolution_gradients(form, _operand(form, x), values.kernel.astype(form.dtype), dy)
    dx = None if form.image else jnp.where(x > 0, dx, 0).astype(x.dtype)
    return dx, ConvParameters(kernel, sums.scale, sums.bias)


def _convolution_gradients(form: Form, x, w, dy):
    """Of `_convolve` with respect to its operands x ``[B, H, W, C]`` (of an image None) and w ``[K, K, C, F]``."""
    stride = (form.stride, form.stride)
    if isinstance(x, Shared):
        return None, shared.weight_gradient(x.taps, dy, w.shape)
    if form.plain:
        return convolution.plain_gradients(x, w, dy, stride)
    kernel = convolution.weight_gradient(x, dy, w.shape[:2], form.platform, stride)
    if form.image:
        return None, kernel
    back = convolution.input_gradient if form.stride == 1 else convolution.input_gradient_of_stride_2
    return back(dy, w, form.platform), kernel


def cell(
    inside: CellEnvelope,
    form: Form,
    x: Float[Array, "B H W C"],
    values: Sequence[ConvParameters | None],
    running: Sequence[Statistics | None],
    operations: Int[Array, "6"],
    training: Training,
) -> tuple[Float[Array, "B H W C"], Sequence[Statistics | None]]:
    """One cell: each node is the sum of what its edges bring, the last one is the result.

    Args:
        inside: which operations each edge can have.
        form: how convolutions are computed.
        x: what enters the cell.
        values: parameters by edge, as large as the edge's largest convolution; None where it can be none.
        running: statistics by edge, likewise.
        operations: places in `OPERATIONS`: the child's own.
        training: normalise by the statistics of this batch.

    Returns:
        The last node, and the statistics used.
    """
    return _cell(inside, form, x, values, running, operations, carried(training))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _cell(inside, form, x, values, running, operations, training):
    return _cell_forward(inside, form, x, values, running, operations, training)[0]


def _cell_forward(inside, form, x, values, running, operations, training):
    nodes, used = [x, None, None, None], []
    for e, (start, end) in enumerate(EDGES):
        edge = _Edge(inside, form, e, operations[e], training)
        nodes[end], one = edge.forward(nodes[end], nodes[start], values[e], running[e])
        used.append(one)
    return (nodes[3], used), (nodes[:3], used, values, operations, training)


def _cell_backward(inside, form, residuals, cotangents):
    nodes, used, values, operations, training = residuals
    gradients, dnodes = [None] * len(EDGES), [None, None, None, cotangents[0]]
    for e, (start, end) in reversed([*enumerate(EDGES)]):
        edge = _Edge(inside, form, e, operations[e], training)
        found = edge.backward(dnodes[start], dnodes[end], nodes[start], used[e], values[e])
        dnodes[start], gradients[e] = found
    return dnodes[0], gradients, None, None, None


_cell.defvjp(_cell_forward, _cell_backward)


class _Edge:
    """An edge of a cell, whose operation is known at run time alone where the envelope leaves several."""

    def __init__(self, inside: CellEnvelope, form: Form, number: int, operation, training: Carried):
        self.form, self.operation, self.training = form, operation, training
        self.known = tuple(OPERATIONS.index(name) for name in inside.operations[number])
        self.side = inside.sides[number]
        self.masked = not inside.engine.in_turn and len(self.known) > 1

    def forward(self, total, x, values: ConvParameters | None, running: Statistics | None):
        """``total`` (None: nothing yet) and what x brings; the statistics used."""
        if self.masked:
            return self._all_forward(total, x, values, running)
        return self._own(self._one_forward, total, x, values, running)

    def backward(self, total, dz, x, used: Statistics | None, values: ConvParameters | None):
        """``total`` (None: nothing yet) and the gradient of x; the gradient of the values."""
        if self.masked:
            return self._all_backward(total, dz, x, used, values)
        return self._own(self._one_backward, total, dz, x, used, values)

    def _own(self, run, *operands):
        """``run(operation, *operands)`` of the child's own operation."""
        if len(self.known) == 1:
            return run(self.known[0], *operands)
        place = np.array([self.known.index(o) if o in self.known else 0 for o in range(len(OPERATIONS))], np.int32)
        return lax.switch(jnp.asarray(place)[self.operation], [partial(run, o) for o in self.known], *operands)

    def _one_forward(self, operation: int, total, x, values, running):
        if operation in (ONE, THREE):
            own = values._replace(kernel=centre(values.kernel, _sides(operation)))
            z, _, used = _conv_norm(self.form, x, own, running, self.training)
            return _plus(total, z), used
        return _linear(operation, total, x, average), running

    def _one_backward(self, operation: int, total, dz, x, used, values):
        gradient = None if values is None else jax.tree.map(jnp.zeros_like, values)
        if operation in (ONE, THREE):
            own = values._replace(kernel=centre(values.kernel, _sides(operation)))
            dx, gradient = _gradients(self.form, dz, x, _convolve(self.form, x, own.kernel), used, own, self.training)
            edge = begin(self.side, _sides(operation)[0])
            kernel = jnp.pad(gradient.kernel, ((edge, edge), (edge, edge), (0, 0), (0, 0)))
            return _plus(total, dx), gradient._replace(kernel=kernel)
        return _linear(operation, total, dz, average_transposed), gradient

    def _all_forward(self, total, x, values, running):
        is_a = self._is_a
        z = jnp.zeros_like(x) if total is None else total
        if self.side:
            convolved, _, used = _conv_norm(self.form, x, self._masked(values), running, self.training)
            z = z + convolved
            running = jax.tree.map(lambda new, old: jnp.where(is_a(ONE) | is_a(THREE), new, old), used, running)
        z = z + is_a(SKIP) * x if SKIP in self.known else z
        z = z + is_a(POOL) * average(x) if POOL in self.known else z
        return z, running

    def _all_backward(self, total, dz, x, used, values):
        is_a, gradient = self._is_a, None
        dx = jnp.zeros_like(x) if total is None else total
        if self.side:
            own = self._masked(values)
            y = _convolve(self.form, x, own.kernel)
            back, gradient = _gradients(self.form, dz, x, y, used, own, self.training)
            dx, gradient = dx + back, self._masked(gradient)
        dx = dx + is_a(SKIP) * dz if SKIP in self.known else dx
        dx = dx + is_a(POOL) * average_transposed(dz) if POOL in self.known else dx
        return dx, gradient

    def _is_a(self, operation: int):
        return self.operation == operation

    def _masked(self, values: ConvParameters) -> ConvParameters:
        """Without what the child's operation lacks."""
        live = jnp.float32(self._is_a(ONE) | self._is_a(THREE))
        middle = np.zeros((self.side, self.side, 1, 1), np.float32)
        middle[self.side // 2, self.side // 2] = 1
        taps = jnp.where(self._is_a(THREE), 1.0, middle) * live
        return ConvParameters(values.kernel * taps, values.scale * live, values.bias * live)


def _sides(operation: int) -> tuple[int, int]:
    """The kernel sides of a convolution."""
    return (SIDES[OPERATIONS[operation]],) * 2


def _linear(operation: int, total, x, pool: Callable):
    """``total`` and what an operation without parameters makes of x."""
    if operation == NONE:
        return jnp.zeros_like(x) if total is None else total
    return _plus(total, x if operation == SKIP else pool(x))


def _plus(total, more):
    return more if total is None else total + more
