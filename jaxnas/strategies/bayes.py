"""Bayesian optimisation with a Gaussian process over tokens, by expected improvement or UCB.

References:
    Jones et al., Efficient Global Optimization of Expensive Black-Box Functions, 1998 (expected improvement);
    Srinivas et al., Gaussian Process Optimization in the Bandit Setting, 2010 (https://arxiv.org/abs/0912.3995), UCB;
    Desautels et al., Parallelizing Exploration-Exploitation Tradeoffs, 2014 (https://jmlr.org/papers/v15/desautels14a)
    for several proposals a round.

Letters: N samples, T decisions, C capacity, P pool of candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import chex
import jax
import jax.numpy as jnp
import optax
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Range
from jaxnas.settings import settings
from jaxnas.strategies.gaussian_process import ascent, bounded, covariance, fresh, normal_scores, posterior_of
from jaxnas.strategies.levels import stepped

AT_ONCE = 1000


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
        T, kernel = len(decisions), fresh(decisions)
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
        scores = normal_scores(state.rewards, known)
        sizes = [self.capacity >> halvings for halvings in (3, 2, 1, 0) if self.capacity >> halvings]
        cut = lambda size: lambda: work(state.tokens[:size], scores[:size], known[:size])
        return jax.lax.switch((state.trials > jnp.array(sizes[:-1])).sum(), [cut(size) for size in sizes])

    def _known(self, state: BayesState) -> Bool[Array, " C"]:
        """Which places have a trial."""
        return state.trials > jnp.arange(self.capacity)

    def _choose(self, state: BayesState, pool: Int[Array, "P T"], n: int) -> Int[Array, " N"]:
        """Which n of the pool."""
        kernel, known = state.kernel, self._known(state)
        posterior = self._on_known(lambda *memory: posterior_of(kernel, *memory, pool, together=n > 1), state)
        best = jnp.where(known, normal_scores(state.rewards, known), -jnp.inf).max()
        seen = (pool[:, None] == state.tokens).all(-1).any(-1)
        first = (pool[:, None] == pool).all(-1).argmax(-1) == jnp.arange(len(pool))
        new = first & jnp.where((first & ~seen).sum() < n, True, ~seen)  # in a small space all may have been seen

        def choose(carry, _):
            variance, shared, open_ = carry
            gain = jnp.where(open_, self._gain(posterior.mean, variance, best), -jnp.inf)
            at = gain.argmax()
            taken = shared[:, at] / jnp.sqrt(variance[at] + jnp.exp(kernel.noise))
            variance = jnp.maximum(variance - taken**2, 1e-9)
            return (variance, shared - jnp.outer(taken, taken), open_.at[at].set(False)), at

        if n == 1:  # no matrix of all candidates
            gain = self._gain(posterior.mean, posterior.variance, best)
            return jnp.where(new, gain, -jnp.inf).argmax()[None]
        start = posterior.variance, covariance(kernel, pool, pool) - posterior.explained, new
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
            gradient = self._on_known(partial(ascent, state.kernel), state)
            moves, optimiser = self._adam.update(jax.tree.map(jnp.negative, gradient), state.optimiser, state.kernel)
            state = replace(state, kernel=bounded(optax.apply_updates(state.kernel, moves)), optimiser=optimiser)
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
