"""Levels in order: a distribution over them that gradients train, steps from one to another, and bins of them.

References:
    Salimans et al., PixelCNN++, 2017, section 2.1 (https://arxiv.org/abs/1701.05517): the discretised logistic.

Letters: T decisions, V levels, padded.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions

FAR = -1e9
"""The logarithm of nothing, in float32 and with a gradient."""
START = 0.2
"""The scale at raw numbers of 0, a share of the range: there each level has a third of its equal share, at least."""
SHARPEST = 1 / 512
"""The least scale, a share of the range: a step of Adam may not leap over all that has a probability."""
ALONE = 20.0
"""Of few levels the least scale is a level divided by this: then all but e-10 is one level's."""


def log_masses(raw: Float[Array, "*S 2"], size: Int[Array | np.ndarray, "*S"], most: int) -> Float[Array, "*S V"]:
    """Logarithms of the levels' probabilities, which sum to 1; `FAR` past the last level.

    A logistic variable is rounded to the nearest level, and what lies beyond an end is the end's. Its mean is
    size sigmoid(raw_0) - 1/2, in levels; its scale goes up with raw_1 from the least to the whole range, both bounded,
    so that no level is ever impossible and no gradient infinite.

    Args:
        raw: any two numbers; at 0, 0 the mean is in the middle, and the scale `START`.
        size: how many levels there are.
        most: V, at least the size.
    """
    size = jnp.asarray(size)[..., None]
    span = jnp.maximum(size - 1, 1).astype(jnp.float32)
    mean = size * jax.nn.sigmoid(raw[..., :1]) - 0.5
    least = jnp.log(jnp.maximum(SHARPEST, 1 / (ALONE * span)))
    start = jnp.log(START) / least
    scale = span * jnp.exp(least * jax.nn.sigmoid(jnp.log(start) - jnp.log1p(-start) - raw[..., 1:]))
    level = jnp.arange(most)
    first, last = level == 0, level >= size - 1
    # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): of its logarithm nothing cancels
    below = jnp.where(last, 0.0, jax.nn.log_sigmoid((level + 0.5 - mean) / scale))
    above = jnp.where(first, 0.0, jax.nn.log_sigmoid((mean - level + 0.5) / scale))
    inside = jnp.where(first | last, 0.0, jnp.log(-jnp.expm1(-1 / scale)))
    return jnp.where(level < size, below + above + inside, FAR)


def stepped(token: Array, size: Array | np.ndarray, chance: Float[Array, "*S"]) -> Int[Array, "*S"]:
    """Another level: up or down, as often where there is both, by a step from 1 to the whole way to the end, s with a
    probability proportional to log(1 + 1/s): as often small, middling or large. Of one level alone, that one.

    Args:
        token: the present level, ``[*S]`` or ``[T]``.
        size: how many there are.
        chance: uniform in [0, 1).
    """
    up = (token == 0) | ((token < size - 1) & (chance >= 0.5))
    way = jnp.where(up, size - 1 - token, token)
    step = jnp.floor((way + 1.0) ** jnp.mod(2 * chance, 1.0)).astype(jnp.int32)
    step = jnp.clip(step, 1, jnp.maximum(way, 1)) * (way > 0)
    return jnp.where(up, token + step, token - step)


def bins(decisions: Decisions, most: int) -> Int[np.ndarray, " T"]:
    """How many values are told apart, where of an ordinal those of more levels lie in ``most`` equal bins."""
    return np.where(decisions.ordinal, np.minimum(decisions.sizes, most), decisions.sizes).astype(np.int32)


def binned(decisions: Decisions, tokens: Int[Array | np.ndarray, "*N T"], most: int) -> Int[Array, "*N T"]:
    """Tokens as numbers of `bins`; absent ones stay."""
    if not (decisions.ordinal & (decisions.sizes > most)).any():
        return jnp.asarray(tokens)
    count, levels = (np.where(decisions.ordinal, sizes, 1) for sizes in (bins(decisions, most), decisions.sizes))
    return jnp.asarray(tokens) * count // levels


def within(size: Array, number: Array, count: Array, chance: Float[Array, "*S"]) -> Int[Array, "*S"]:
    """A level of a bin, uniform: the inverse of `binned`. ``count``: how many bins there are."""
    first, end = -(-number * size // count), -(-(number + 1) * size // count)
    return first + (chance * (end - first)).astype(jnp.int32)
