"""Bayesian optimisation with a Gaussian process over tokens: a Hamming kernel for choices, Matern's for ordinals, and
expected improvement or UCB.

References:
    Jones et al., Efficient Global Optimization of Expensive Black-Box Functions, 1998 (expected improvement);
    Srinivas et al., Gaussian Process Optimization in the Bandit Setting, 2010 (https://arxiv.org/abs/0912.3995), UCB;
    Desautels et al., Parallelizing Exploration-Exploitation Tradeoffs, 2014 (https://jmlr.org/papers/v15/desautels14a)
    for several proposals a round; Hutter et al., SMAC, 2011, section 4.1, for the weighted Hamming kernel;
    Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, 2012, section 3.1
    (https://arxiv.org/abs/1206.2944) for Matern's 5/2.

Letters: N samples, T decisions, V the greatest number of values of a choice, C capacity, P pool of candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Range
from jaxnas.settings import settings
from jaxnas.strategies.cholesky import inverse_factor
from jaxnas.strategies.levels import stepped

AT_ONCE = 1000


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


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["tokens", "rewards", "trials", "kernel", "optimiser"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class BayesState:
    """tokens: of the latest trials, int32 ``[C, T]``; rewards: theirs, ``[C]``; trials: how many there were, int32
    ``[]``; kernel: a `Kernel`; optimiser: optax's state of it.
    """

    tokens: Any
    rewards: Any
    trials: Any
    kernel: Any
    optimiser: Any
    decisions: Decisions


@settings
class Bayes:
    """A Gaussian process of the rewards' normal scores; the candidate that promises most is next.

    The covariance of two samples is exp(-sum over the decisions in which they differ of (w_a + w_b)), a and b their
    values there. Two levels of an ordinal do not count there, but multiply the covariance by Matern's 5/2 of their
    distance, a share of the range; that of an absent one lies in the middle. The weights w, the length scales and the
    noise climb the marginal likelihood, a few steps of Adam at each update.

    Attributes:
        initial: uniform samples before the process is asked.
        pool: candidates of a proposal: half uniform, half mutants of the best trials, which step as those of evolution.
        parents: how many of the best trials mutate.
        acquisition: "ei", expected improvement, or "ucb", mean + beta standard deviations.
        beta: of UCB.
        capacity: how many of the latest trials are kept, a power of two; work grows with its cube.
        fits: steps of Adam on the kernel at an update.
        fit_rate: their learning rate, of logarithms.

    Raises:
        ValueError: a value out of its range.
    """

    branches: ClassVar[bool] = True
    initial: Annotated[int, Range(1, 10**6)] = 10
    pool: Annotated[int, Range(2, 8192)] = 256
    parents: Annotated[int, Range(1, 8192)] = 8
    acquisition: Literal["ei", "ucb"] = "ei"
    beta: Annotated[float, Range(0, 1e6)] = 1.0
    capacity: Annotated[int, Range(1, 8192)] = 256
    fits: Annotated[int, Range(0, 1000)] = 1
    fit_rate: LearningRate = 0.05

    def __post_init__(self):
        if self.capacity & (self.capacity - 1):
            raise ValueError(f"capacity={self.capacity}: give a power of two")

    def init(self, decisions: Decisions, key: jax.Array) -> BayesState:
        """Nothing is known; ``key`` is not used."""
        del key
        T, kernel = len(decisions), _kernel(decisions)
        tokens, rewards = jnp.full((self.capacity, T), -2, jnp.int32), jnp.full(self.capacity, -jnp.inf)
        return BayesState(tokens, rewards, jnp.int32(0), kernel, self._adam.init(kernel), decisions)

    def propose(self, state: BayesState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """The n best candidates, each chosen as if the ones before had given what is expected of them; ``key`` is
        consumed. Before `initial` trials: uniform samples.

        Raises:
            ValueError: more than `AT_ONCE`: the pool has twice as many, and a matrix of all its pairs.
        """
        if n > AT_ONCE:
            raise ValueError(f"children={n}: Bayes chooses {AT_ONCE:,} a round at most, each after all before it")
        uniform, pool = self._candidates(state, key, n)
        return jnp.where(state.trials < self.initial, uniform, pool[self._choose(state, pool, n)])

    def _on_known(self, work: Callable, state: BayesState):
        """``work(tokens, scores, known)`` on as much of the memory as is in use, since its cost is cubic: an eighth, a
        quarter, half or all. (Under `jax.vmap` all of these are computed.) Each is compiled: the work should be no
        more than what is cubic.
        """
        known = self._known(state)
        scores = _normal_scores(state.rewards, known)
        sizes = [self.capacity >> halvings for halvings in (3, 2, 1, 0) if self.capacity >> halvings]
        cut = lambda size: lambda: work(state.tokens[:size], scores[:size], known[:size])
        return jax.lax.switch((state.trials > jnp.array(sizes[:-1])).sum(), [cut(size) for size in sizes])

    def _known(self, state: BayesState) -> Bool[Array, " C"]:
        """Which places have a trial."""
        return state.trials > jnp.arange(self.capacity)

    def _choose(self, state: BayesState, pool: Int[Array, "P T"], n: int) -> Int[Array, " N"]:
        """Which n of the pool."""
        kernel, known = state.kernel, self._known(state)
        posterior = self._on_known(lambda *memory: _posterior(kernel, *memory, pool, together=n > 1), state)
        best = jnp.where(known, _normal_scores(state.rewards, known), -jnp.inf).max()
        seen = (pool[:, None] == state.tokens).all(-1).any(-1)
        first = (pool[:, None] == pool).all(-1).argmax(-1) == jnp.arange(len(pool))
        new = first & jnp.where((first & ~seen).sum() < n, True, ~seen)  # in a small space all may have been seen

        def choose(carry, _):
            variance, covariance, open_ = carry
            gain = jnp.where(open_, self._gain(posterior.mean, variance, best), -jnp.inf)
            at = gain.argmax()
            taken = covariance[:, at] / jnp.sqrt(variance[at] + jnp.exp(kernel.noise))
            variance = jnp.maximum(variance - taken**2, 1e-9)
            return (variance, covariance - jnp.outer(taken, taken), open_.at[at].set(False)), at

        if n == 1:  # no matrix of all candidates
            gain = self._gain(posterior.mean, posterior.variance, best)
            return jnp.where(new, gain, -jnp.inf).argmax()[None]
        covariance = _covariance(kernel, pool, pool) - posterior.explained
        start = posterior.variance, covariance, new
        return jax.lax.scan(choose, start, length=n)[1]

    def update(self, state: BayesState, tokens: Tokens, rewards: Rewards):
        """Remember a round and improve the kernel. Metrics: "mean reward", "noise" (standard deviation, of rewards
        with variance 1).
        """
        chex.assert_equal_shape_prefix([tokens, rewards], 1)
        tokens, rewards = jnp.asarray(tokens, jnp.int32), jnp.asarray(rewards, jnp.float32)
        at = (state.trials + jnp.arange(len(rewards))) % self.capacity
        memory, kept = state.tokens.at[at].set(tokens), state.rewards.at[at].set(rewards)
        state = replace(state, tokens=memory, rewards=kept, trials=state.trials + len(rewards))
        for _ in range(self.fits):
            gradient = self._on_known(partial(_ascent, state.kernel), state)
            moves, optimiser = self._adam.update(jax.tree.map(jnp.negative, gradient), state.optimiser, state.kernel)
            state = replace(state, kernel=_bounded(optax.apply_updates(state.kernel, moves)), optimiser=optimiser)
        return state, {"mean reward": rewards.mean(), "noise": jnp.exp(state.kernel.noise / 2)}

    def most_likely(self, state: BayesState) -> Int[Array, " T"]:
        """The best trial that is remembered."""
        return state.tokens[state.rewards.argmax()]

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.fit_rate)

    def _gain(
        self, mean: Float[Array, " P"], variance: Float[Array, " P"], best: Float[Array, ""]
    ) -> Float[Array, " P"]:
        """What a candidate promises."""
        deviation = jnp.sqrt(variance)
        if self.acquisition == "ucb":
            return mean + self.beta * deviation
        z = (mean - best) / deviation
        return deviation * (z * norm.cdf(z) + norm.pdf(z))

    def _candidates(self, state: BayesState, key: jax.Array, n: int) -> tuple[Array, Array]:
        """n uniform samples, and the pool ``[P, T]``."""
        decisions, sizes = state.decisions, jnp.asarray(state.decisions.sizes)
        parent_key, where_key, what_key = jax.random.split(key, 3)
        count = max(self.pool, 2 * n)
        drawn = jax.random.randint(what_key, (count, len(sizes)), 0, sizes)
        top = jax.lax.top_k(state.rewards, min(self.parents, self.capacity))[1]
        rank = jax.random.randint(parent_key, (count // 2,), 0, jnp.clip(state.trials, 1, len(top)))
        parents, other = state.tokens[top[rank]], drawn[: count // 2]
        if decisions.ordinal.any():
            steps = jax.random.uniform(jax.random.fold_in(what_key, 1), other.shape)
            other = jnp.where(decisions.ordinal & (parents >= 0), stepped(parents, sizes, steps), other)
        changes = jax.random.uniform(where_key, other.shape)
        changed = (changes <= changes.min(-1, keepdims=True)) | (changes < 1 / len(sizes)) | (parents < 0)
        pool = jnp.concatenate([jnp.where(changed, other, parents), drawn[count // 2 :]])
        return decisions.without_absent(drawn[count - n :]), decisions.without_absent(pool)


def _kernel(decisions: Decisions) -> Kernel:
    """To begin with: of two uniform samples about exp(-1)."""
    T, spans = len(decisions), np.where(decisions.ordinal, decisions.sizes - 1, 0)
    values = int(decisions.sizes[spans == 0].max(initial=1))
    kernel = Kernel(jnp.full((T, values), jnp.log(0.5 / T)), jnp.log(jnp.float32(1e-2)))
    if not spans.any():
        return kernel
    return replace(kernel, lengths=jnp.full(T, jnp.log(0.3 * T**0.5)), spans=tuple(spans.tolist()))


class _Posterior(NamedTuple):
    """Of the candidates: mean and variance ``[P]``; explained: what the trials take off their covariance ``[P, P]``."""

    mean: Array
    variance: Array
    explained: Array | None


def _posterior(
    kernel: Kernel, tokens, scores, known: Bool[Array, " C"], pool: Int[Array, "P T"], together: bool
) -> _Posterior:
    """``together``: with what is explained."""
    inverse = inverse_factor(_noisy(kernel, tokens, known))
    white = inverse @ (_covariance(kernel, tokens, pool) * known[:, None])  # L^-1 K(known, pool) [C, P]
    variance = jnp.maximum(1 - (white**2).sum(0), 1e-9)
    return _Posterior(white.T @ (inverse @ scores), variance, white.T @ white if together else None)


def _covariance(kernel: Kernel, a: Int[Array, "A T"], b: Int[Array, "B T"]) -> Float[Array, "A B"]:
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

    # a loop in the program too: unrolled, it takes four times as long to compile
    decisions = a.T, b.T, jnp.exp(kernel.weights), jnp.array(spans or (0,) * T, jnp.int32), lengths
    return jnp.exp(-jax.lax.scan(farther, jnp.zeros((len(a), len(b))), decisions)[0])


def _apart(a: Float[Array, " A"], b: Float[Array, " B"], length: Float[Array, ""]) -> Float[Array, "A B"]:
    """The negative logarithm of Matern's 5/2."""
    far = 5**0.5 * jnp.abs(a[:, None] - b) / length
    return far - jnp.log1p(far + far**2 / 3)


def _noisy(kernel: Kernel, tokens: Int[Array, "C T"], known: Bool[Array, " C"]) -> Float[Array, "C C"]:
    """The covariance of trials with noise; places without a trial are independent of all."""
    covariance = jnp.where(known[:, None] & known, _covariance(kernel, tokens, tokens), 0.0)
    return covariance + jnp.diag(jnp.where(known, jnp.exp(kernel.noise), 1.0))


def _ascent(kernel: Kernel, tokens, scores: Float[Array, " C"], known: Bool[Array, " C"]) -> Kernel:
    """Gradient of the log marginal likelihood of the scores, a trial.

    References:
        Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, equation 5.9.
    """
    matrix, pull = jax.vjp(lambda kernel: _noisy(kernel, tokens, known), kernel)
    inverse = inverse_factor(matrix)
    precision = inverse.T @ inverse
    solved = precision @ scores
    return pull(0.5 * (jnp.outer(solved, solved) - precision) / known.sum())[0]


def _bounded(kernel: Kernel) -> Kernel:
    weights = jnp.clip(kernel.weights, -7.0, 1.0)
    if kernel.lengths is None:
        return replace(kernel, weights=weights, noise=jnp.clip(kernel.noise, -9.0, 0.0))
    noise = jnp.clip(kernel.noise, -7.0, 0.0)  # near levels are all but equal: less would be too little for float32
    return replace(kernel, weights=weights, noise=noise, lengths=jnp.clip(kernel.lengths, -4.0, 2.0))


def _normal_scores(rewards: Float[Array, " C"], known: Bool[Array, " C"]) -> Float[Array, " C"]:
    """Of the known rewards, by rank; 0 elsewhere. Failed children lie far from all others: ranks keep the scale.

    Equal rewards have equal scores.
    """
    less = ((rewards[:, None] > rewards) & known).sum(1)
    equal = ((rewards[:, None] == rewards) & known).sum(1)
    scores = norm.ppf((less + 0.5 * equal) / jnp.maximum(known.sum(), 1))
    return jnp.where(known, scores, 0.0)
