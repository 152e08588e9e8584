"""A Gaussian process over tokens: a Hamming kernel for choices, Matern's for ordinals, and how it learns them.

References:
    Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, equations 2.23, 2.24 and 5.9;
    Hutter et al., SMAC, 2011, section 4.1, for the weighted Hamming kernel; Snoek et al., Practical Bayesian
    Optimization of Machine Learning Algorithms, 2012, section 3.1 (https://arxiv.org/abs/1206.2944) for Matern's 5/2.

Letters: T decisions, V the greatest number of values of a choice, C known trials, P candidates, A and B any samples.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from jaxnas.decisions import Decisions
from jaxnas.strategies.cholesky import inverse_factor


@partial(jax.tree_util.register_dataclass, data_fields=["weights", "noise", "lengths"], meta_fields=["spans"])
@dataclass(frozen=True)
class Kernel:
    """Logarithms of: what each value of a decision costs where two samples differ in it ``[T, V]``, V that of choices;
    noise variance ``[]`` (of rewards with variance 1); where there are ordinals, length scales ``[T]``, shares of the
    range. spans: of an ordinal its greatest level, of a choice 0; () where there are choices alone.
    """

    weights: Any
    noise: Any
    lengths: Any = None
    spans: tuple[int, ...] = ()


def fresh(decisions: Decisions) -> Kernel:
    """To begin with: of two uniform samples about exp(-1)."""
    T, spans = len(decisions), np.where(decisions.ordinal, decisions.sizes - 1, 0)
    values = int(decisions.sizes[spans == 0].max(initial=1))
    kernel = Kernel(jnp.full((T, values), jnp.log(0.5 / T)), jnp.log(jnp.float32(1e-2)))
    if not spans.any():
        return kernel
    return replace(kernel, lengths=jnp.full(T, jnp.log(0.3 * T**0.5)), spans=tuple(spans.tolist()))


class Posterior(NamedTuple):
    """Of the candidates: mean and variance ``[P]``; explained: what the trials take off their covariance ``[P, P]``."""

    mean: Array
    variance: Array
    explained: Array | None


def posterior_of(
    kernel: Kernel, tokens, scores, known: Bool[Array, " C"], pool: Int[Array, "P T"], together: bool
) -> Posterior:
    """``together``: with what is explained."""
    inverse = inverse_factor(_noisy(kernel, tokens, known))
    white = inverse @ (covariance(kernel, tokens, pool) * known[:, None])  # L^-1 K(known, pool) [C, P]
    variance = jnp.maximum(1 - (white**2).sum(0), 1e-9)
    return Posterior(white.T @ (inverse @ scores), variance, white.T @ white if together else None)


def covariance(kernel: Kernel, a: Int[Array, "A T"], b: Int[Array, "B T"]) -> Float[Array, "A B"]:
    """exp(-distance); absent is a value like any other, of weight as the first one's."""
    T, spans = a.shape[1], kernel.spans
    lengths = jnp.exp(jnp.zeros(T) if kernel.lengths is None else kernel.lengths)

    @jax.checkpoint  # one decision's matrices at a time, in the gradient too
    def farther(distance, decision):
        of_a, of_b, weights, span, length = decision
        if spans:
            level = lambda x: jnp.where(x < 0, 0.5, x / jnp.maximum(span, 1))
            distance += jnp.where(span > 0, _apart(level(of_a), level(of_b), length), 0.0)
            of_a, of_b = (jnp.where(span > 0, jnp.minimum(x, 0), x) for x in (of_a, of_b))  # there or absent
        costs = (jnp.take(weights, jnp.maximum(x, 0)) for x in (of_a, of_b))
        return distance + jnp.where(of_a[:, None] == of_b, 0.0, next(costs)[:, None] + next(costs)), None

    # a loop in the program too: unrolled, it takes longer to compile, and ten times the memory for gradients
    decisions = a.T, b.T, jnp.exp(kernel.weights), jnp.array(spans or (0,) * T, jnp.int32), lengths
    return jnp.exp(-jax.lax.scan(farther, jnp.zeros((len(a), len(b))), decisions)[0])


def _apart(a: Float[Array, " A"], b: Float[Array, " B"], length: Float[Array, ""]) -> Float[Array, "A B"]:
    """The negative logarithm of Matern's 5/2."""
    far = 5**0.5 * jnp.abs(a[:, None] - b) / length
    return far - jnp.log1p(far + far**2 / 3)


def _noisy(kernel: Kernel, tokens: Int[Array, "C T"], known: Bool[Array, " C"]) -> Float[Array, "C C"]:
    """The covariance of trials with noise; places without a trial are independent of all."""
    among = jnp.where(known[:, None] & known, covariance(kernel, tokens, tokens), 0.0)
    return among + jnp.diag(jnp.where(known, jnp.exp(kernel.noise), 1.0))


def ascent(kernel: Kernel, tokens, scores: Float[Array, " C"], known: Bool[Array, " C"]) -> Kernel:
    """Gradient of the log marginal likelihood of the scores, a trial.

    References:
        Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, equation 5.9.
    """
    matrix, pull = jax.vjp(lambda kernel: _noisy(kernel, tokens, known), kernel)
    inverse = inverse_factor(matrix)
    precision = inverse.T @ inverse
    solved = precision @ scores
    return pull(0.5 * (jnp.outer(solved, solved) - precision) / known.sum())[0]


def bounded(kernel: Kernel) -> Kernel:
    """Within what float32 can factor."""
    weights = jnp.clip(kernel.weights, -7.0, 1.0)
    if kernel.lengths is None:
        return replace(kernel, weights=weights, noise=jnp.clip(kernel.noise, -9.0, 0.0))
    noise = jnp.clip(kernel.noise, -7.0, 0.0)  # near levels are all but equal: less would be too little for float32
    return replace(kernel, weights=weights, noise=noise, lengths=jnp.clip(kernel.lengths, -4.0, 2.0))


def normal_scores(rewards: Float[Array, " C"], known: Bool[Array, " C"]) -> Float[Array, " C"]:
    """Of the known rewards, by rank; 0 elsewhere. Failed children lie far from all others: ranks keep the scale.

    Equal rewards have equal scores.
    """
    less = ((rewards[:, None] > rewards) & known).sum(1)
    equal = ((rewards[:, None] == rewards) & known).sum(1)
    scores = norm.ppf((less + 0.5 * equal) / jnp.maximum(known.sum(), 1))
    return jnp.where(known, scores, 0.0)
