"""Layers on padded arrays, written for ONE child; `jax.vmap` or `jax.lax.map` over them trains many.

A padded array holds its child in the leading channels and in the upper left of the map; everything else is zero and
stays zero. A kernel lies in the middle of its padded block. How a convolution runs is the business of `engines`.

Letters: B batch, H W height and width of the map, F filters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int


@dataclass(frozen=True)
class BatchNorm:
    """momentum: how much of the old running statistics is kept at a step; epsilon: added to the variance."""

    momentum: float = 0.9
    epsilon: float = 1e-5


Training = bool | Bool[Array, ""]
"""Whether a network trains or scores. Of a Python bool nothing is traced for the other case; with a traced one a single
program serves both, which compiles faster.
"""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Known:
    """A Python bool that a `jax.custom_vjp` takes without tracing it."""

    value: bool


Carried = Known | Bool[Array, ""]


def carried(training: Training) -> Carried:
    """``training`` as an argument of a `jax.custom_vjp`; `known`, `either` and others read it inside."""
    value = known(training)
    return jnp.asarray(training) if value is None else Known(value)


def known(training: Training | Carried) -> bool | None:
    """The value of a Python bool; None of a traced one."""
    if isinstance(training, Known):
        return training.value
    return bool(training) if isinstance(training, bool | np.bool_) else None


def either(training: Training | Carried, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """What ``yes`` gives in training and ``no`` in scoring, by `lax.cond` where ``training`` is traced."""
    value = known(training)
    if value is None:
        return lax.cond(training, yes, no)
    return yes() if value else no()


def stride_over(y: Float[Array, "B H W F"], step: Int[Array, "2"]) -> Float[Array, "B H W F"]:
    """Every ``step``-th row and column of y, moved to the upper left; zeros follow them."""
    for axis in (1, 2):
        size = y.shape[axis]
        at = jnp.arange(size) * jnp.maximum(step[axis - 1], 1)  # an absent layer's step is 0
        y = jnp.take(y, at, axis=axis, mode="fill", fill_value=0, unique_indices=True, indices_are_sorted=True)
    return y


def pixels(size: Int[Array, "2"], shape: tuple[int, int]) -> Float[Array, "H W 1"]:
    """1 in the upper left ``size`` of a map of ``shape``, else 0."""
    rows, columns = (jnp.arange(shape[i]) < size[i] for i in (0, 1))
    return (rows[:, None] & columns).astype(jnp.float32)[:, :, None]


def global_average(x: Float[Array, "B H W F"], live: Float[Array, "H W 1"] | None) -> Float[Array, "B F"]:
    """Mean over the live part of the map (None: all of it), float32; the rest of x must be zero."""
    if live is None:
        return x.mean((1, 2), dtype=jnp.float32)
    return x.sum((1, 2), dtype=jnp.float32) / jnp.maximum(live.sum(), 1)


class Statistics(NamedTuple):
    """Mean and (biased) variance of each channel, ``[F]``, over the batch and the live part of the map."""

    mean: Array
    variance: Array


def moved(
    running: Statistics, used: Statistics, training: Training, momentum: float | Float[Array, "..."]
) -> Statistics:
    """The running statistics after a batch: in training ``momentum`` of them, and the rest of those used."""
    if known(training) is False:
        return running
    keep = jnp.float32(momentum) if known(training) else jnp.where(training, momentum, 1.0)
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, running, used)


class Sums(NamedTuple):
    """The gradients of batch normalisation's bias and scale, ``[F]``, summed over all that was normalised."""

    bias: Array
    scale: Array


def norm_sums(dz: Float[Array, "... F"], centred: Float[Array, "... F"], inverse: Float[Array, " F"]) -> Sums:
    """From the gradient of what batch normalisation gave, y less its mean, and the inverse deviation."""
    axes = tuple(range(dz.ndim - 1))
    return Sums(dz.sum(axes), (dz * centred).sum(axes) * inverse)


def norm_gradient(
    dz: Float[Array, "... F"],
    centred: Float[Array, "... F"],
    sums: Sums,
    scale: Float[Array, " F"],
    inverse: Float[Array, " F"],
    share: Float[Array, ""] | float | None,
) -> Float[Array, "... F"]:
    """The gradient of what batch normalisation was given.

    Args:
        dz: the gradient of what it gave.
        centred: what it was given, less the mean.
        sums: `norm_sums` of all of dz.
        scale: what it multiplied by.
        inverse: 1 / deviation.
        share: 1 / how many cells of a channel the statistics were taken over; 0 or None: running ones were used.

    References:
        Ioffe & Szegedy, Batch Normalization, 2015, section 3 (https://arxiv.org/abs/1502.03167).
    """
    slope = scale * inverse
    if share is None:
        return slope * dz
    return slope * dz - slope * sums.bias * share - centred * (slope * inverse * sums.scale * share)


def norm_share(training: Training | Carried, count: int | Array) -> Float[Array, ""] | float | None:
    """``share`` of `norm_gradient` for statistics over ``count`` cells of a channel."""
    value = known(training)
    return training / count if value is None else 1 / count if value else None


class _Pooled(NamedTuple):
    """The largest normalised cell of each window before it was normalised, ``[B, H2, W2, F]``; which of the window's
    cells it is, counted row by row (None without pooling); and 1 where the window is live (None: everywhere).
    """

    values: Array
    cell: Array | None
    live: Array | None


def normalise(
    y: Float[Array, "B H W F"],
    scale: Float[Array, " F"],
    bias: Float[Array, " F"],
    running: Statistics,
    training: Training,
    live: Float[Array, "H W 1"] | None = None,
    pool: int = 1,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "B H2 W2 F"], Statistics]:
    """Batch normalisation, ReLU and max pooling in one: ``max(0, pool((y - mean) / deviation * scale + bias))``.

    Normalising is monotone in each channel, so the pooled cell can be chosen before it: all that follows runs on the
    smaller map, and the gradient reads y once. On CPU this takes a third to an eighth of the time of three layers.

    Args:
        y: what the convolution gave. The result is of its type, as is all of a map's size that is kept for the
            gradient; what happens in between is float32.
        scale: zero for filters that the child lacks, as ``bias``.
        running: statistics of a trained network, used when not training.
        training: normalise by the statistics of this batch, through which gradients flow.
        live: 1 in the child's part of the map; None: all of it.
        pool: side of the windows and their stride; the map's last windows may be incomplete. H2 = ceil(H / pool).
        epsilon: added to the variance.

    Returns:
        The result, zero outside the live part, and the statistics used (constants to differentiation).
    """
    y, live = _whole_windows(y, live, pool)
    return _normalise(y, scale, bias, running, carried(training), live, pool, epsilon)


def _whole_windows(y, live, pool: int):
    """The map enlarged to a multiple of ``pool`` by cells that are not live."""
    height, width = (-side % pool for side in y.shape[1:3])
    if height == width == 0:
        return y, live
    live = jnp.ones((*y.shape[1:3], 1)) if live is None else live
    grow = ((0, height), (0, width), (0, 0))
    return jnp.pad(y, ((0, 0), *grow)), jnp.pad(live, grow)


@partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def _normalise(y, scale, bias, running, training, live, pool, epsilon):
    return _forward(y, scale, bias, running, training, live, pool, epsilon)[0]


def _forward(y, scale, bias, running, training, live, pool, epsilon):
    statistics = either(training, lambda: batch_statistics(y, live), lambda: running)
    slope = scale * lax.rsqrt(statistics.variance + epsilon)
    pooled = _choose(y, slope, live, pool)
    z = jax.nn.relu((_exact(pooled.values) - statistics.mean) * slope + bias)
    z = (z if pooled.live is None else z * pooled.live).astype(y.dtype)
    return (z, statistics), (y, scale, training, live, statistics, z, pooled)


def _backward(pool, epsilon, residuals, cotangents):
    y, scale, training, live, (mean, variance), z, pooled = residuals
    dz, inverse = jnp.where(z > 0, _exact(cotangents[0]), 0), lax.rsqrt(variance + epsilon)
    sums = norm_sums(dz, _exact(pooled.values) - mean, inverse)
    share = norm_share(training, _count(y, live))
    before = lambda dz, y: norm_gradient(dz, _exact(y) - mean, sums, scale, inverse, share)
    if pooled.cell is None:
        dy = before(dz, y)
    else:
        here = (jnp.arange(pool)[:, None] * pool + jnp.arange(pool)).astype(jnp.int16)[:, None, :, None]
        spread = lambda a: a[:, :, None, :, None]
        chosen = jnp.where(spread(pooled.cell) == here, spread(dz), 0)
        dy = before(chosen, _by_window(y, pool)).reshape(y.shape)
    dy = dy if live is None else dy * live
    return dy.astype(y.dtype), sums.scale, sums.bias, None, None, None


_normalise.defvjp(_forward, _backward)


def _exact(a):
    """In float32, in which everything is summed; what is kept may be shorter."""
    return a.astype(jnp.float32)


def _count(y, live):
    """How many cells of a channel the statistics are taken over."""
    return y.shape[0] * (y.shape[1] * y.shape[2] if live is None else jnp.maximum(live.sum(), 1))


def batch_statistics(y: Float[Array, "B H W F"], live: Float[Array, "H W 1"] | None = None) -> Statistics:
    """Over the live part of the map (None: all of it), float32."""
    y = _exact(y)
    count, among = _count(y, live), (lambda a: a) if live is None else (lambda a: a * live)
    mean = among(y).sum((0, 1, 2)) / count
    return Statistics(mean, among(jnp.square(y - mean)).sum((0, 1, 2)) / count)


def _by_window(y, pool: int):
    """``[B, H, W, F]`` -> ``[B, H2, pool, W2, pool, F]``, without a copy."""
    b, h, w, f = y.shape
    return y.reshape(b, h // pool, pool, w // pool, pool, f)


def _choose(y, slope, live, pool: int) -> _Pooled:
    """The live cell of each window that is largest once normalised: the smallest where the slope is negative."""
    if pool == 1:
        return _Pooled(y, None, live)
    sign = jnp.where(slope < 0, -1.0, 1.0).astype(y.dtype)
    cells = _by_window(y * sign if live is None else jnp.where(live > 0, y * sign, -jnp.inf), pool)
    best, cell = cells[:, :, 0, :, 0], jnp.zeros((), jnp.int16)
    for k in range(1, pool * pool):
        other = cells[:, :, k // pool, :, k % pool]
        cell = jnp.where(other > best, jnp.int16(k), cell)
        best = jnp.maximum(best, other)
    window = None if live is None else live[::pool, ::pool]
    best = best * sign if window is None else jnp.where(window > 0, best * sign, 0)
    return _Pooled(best, cell, window)
