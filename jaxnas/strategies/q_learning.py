"""Q-learning, decision by decision: a table of values, epsilon-greedy walks and experience replay.

References:
    Baker et al., Designing Neural Network Architectures using Reinforcement Learning, 2017 ("MetaQNN"), sections 4 and
    5 (https://arxiv.org/abs/1611.02167) and its code (https://github.com/bowenbaker/metaqnn).

Letters: N samples, T decisions, V the greatest number of actions of a decision, H histories that are told apart, K
replayed trials, C places of the replay buffer.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.decisions import ABSENT, Decisions, Rewards, Tokens
from jaxnas.ranges import Probability, Range
from jaxnas.settings import settings
from jaxnas.strategies.levels import binned, bins, within
from jaxnas.strategies.random import scaled

Schedule = tuple[tuple[Probability, Annotated[int, Range(1, 10**9)]], ...]
METAQNN: Schedule = (
    (1.0, 1500),
    (0.9, 100),
    (0.8, 100),
    (0.7, 100),
    *((e, 150) for e in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)),
)
"""That of the authors' code, which counts different networks; here every trial counts."""
BINS = 16
"""Actions of an ordinal, at most."""
LARGEST = 2**26
"""Numbers in a table, at most: 256 MiB."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "tokens", "rewards", "count", "key"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class QLearningState:
    """values: Q, float32 ``[T H, V]``; tokens, int32 ``[C, T]``, and rewards, float32 ``[C]``, of the trials that may
    be replayed; count: trials so far, int32 ``[]``; key: what the replays are drawn from.
    """

    values: Any
    tokens: Any
    rewards: Any
    count: Any
    key: Any
    decisions: Decisions


class Step(NamedTuple):
    """One decision of a walk: its row of the table; its action, -1 where it is absent; how many actions it has."""

    row: Array
    action: Array
    size: Array


@settings
class QLearning:
    """The agent of MetaQNN; the defaults are those of its authors' code.

    A state is a decision together with the last ``memory`` actions; an action is the decision's token, or of an ordinal
    with more than 16 levels one of 16 equal bins, in which the token is drawn uniformly. All reward comes at the end,
    and nothing is discounted. After each trial some are replayed; in each, Q is updated from the last decision to the
    first, so that a reward reaches all of them:
    Q(s, a) += learning_rate (max_a' Q(s', a') - Q(s, a)), with the reward in place of the maximum at the end.
    Absent decisions are left out of walks and of what is remembered. Of equal values one is taken at random.

    Attributes:
        learning_rate: of Q, the paper's alpha.
        initial: value of every Q before the first update.
        epsilon: (probability of a random action, number of trials that it holds for), one after the other; the last
            holds for ever.
        memory: decisions before the present one that its Q depends on. The table has (V + 1)^memory rows a decision.
        replay: trials replayed after each, drawn with replacement from the buffer, the new one among them; 0: the new
            one alone, once.
        capacity: trials in the buffer; then the oldest goes. One that was proposed twice is in it twice.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: Annotated[float, Range(0, 1, "(]")] = 0.01
    initial: Annotated[float, Range(-1e9, 1e9)] = 0.5
    epsilon: Schedule = METAQNN
    memory: Annotated[int, Range(0, 100)] = 1
    replay: Annotated[int, Range(0, 100_000)] = 128
    capacity: Annotated[int, Range(1, 10**6)] = 4096

    def __post_init__(self):
        check_schedule(self.epsilon)

    def init(self, decisions: Decisions, key: jax.Array) -> QLearningState:
        """All values equal; ``key`` is kept for the replays. Raises ValueError where the table would be too large."""
        rows, most = len(decisions) * self._histories(decisions), _most(decisions)
        check_size("memory", self.memory, rows * most)
        check_size("capacity", self.capacity, self.capacity * len(decisions))
        tokens = jnp.full((self.capacity, len(decisions)), ABSENT, jnp.int32)
        values = jnp.full((rows, most), self.initial, jnp.float32)
        return QLearningState(values, tokens, jnp.zeros(self.capacity), jnp.int32(0), key, decisions)

    def propose(self, state: QLearningState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n walks, each with the epsilon of its own trial; ``key`` is consumed."""
        more = int(state.decisions.ordinal.any())
        chance = jax.random.uniform(key, (n, len(state.decisions), 2 + state.values.shape[1] + more))
        epsilon = jax.vmap(lambda i: epsilon_at(self.epsilon, state.count + i))(jnp.arange(n))
        return jax.vmap(lambda e, c: self._walk(state, e, c))(epsilon, chance)

    def update(self, state: QLearningState, tokens: Tokens, rewards: Rewards):
        """Trial after trial enters the buffer, and replays follow.

        Metrics: "mean reward"; "epsilon" of the next trial.
        """
        rewards = jnp.asarray(rewards, jnp.float32)
        state, _ = jax.lax.scan(self._learn, state, (jnp.asarray(tokens), rewards))
        return state, {"mean reward": rewards.mean(), "epsilon": epsilon_at(self.epsilon, state.count)}

    def most_likely(self, state: QLearningState) -> Int[Array, " T"]:
        """The greedy walk; of equal values the first, of a bin the middle."""
        chance = jnp.zeros((len(state.decisions), 2 + state.values.shape[1]))
        return self._walk(state, 0.0, jnp.pad(chance, ((0, 0), (0, 1)), constant_values=0.5))

    def _histories(self, decisions: Decisions) -> int:
        return (_most(decisions) + 1) ** self.memory

    def _next(self, decisions: Decisions, past: Array, action: Array) -> Array:
        """The number of the history after a decision: its digits are the last actions, plus one; 0 for none."""
        longer = (past * (_most(decisions) + 1) + action + 1) % self._histories(decisions)
        return jnp.where(action >= 0, longer, past)

    def _walk(self, state: QLearningState, epsilon, chance: Float[Array, "T V2"]) -> Int[Array, " T"]:
        decisions, sizes = state.decisions, bins(state.decisions, BINS)
        binning = decisions.ordinal.any()

        def decide(carry, step):
            tokens, past = carry
            t, when, size, levels, chance = step
            values = state.values[t * self._histories(decisions) + past]
            values = jnp.where(jnp.arange(len(values)) < size, values, -jnp.inf)
            greedy = jnp.where(values == values.max(), chance[2 : 2 + len(values)], -1).argmax()
            action = jnp.where(chance[0] < epsilon, scaled(chance[1], size), greedy)
            action = jnp.where(when.met(tokens), action, ABSENT)
            token = jnp.where(action < 0, ABSENT, within(levels, action, size, chance[-1])) if binning else action
            return (tokens.at[t].set(token), self._next(decisions, past, action)), None

        start = jnp.full(len(decisions), ABSENT, jnp.int32), jnp.int32(0)
        steps = jnp.arange(len(decisions)), decisions.conditions(), sizes, decisions.sizes, chance
        return jax.lax.scan(decide, start, jax.tree.map(jnp.asarray, steps))[0][0]

    def _learn(self, state: QLearningState, trial) -> tuple[QLearningState, None]:
        """One trial."""
        place = state.count % self.capacity
        tokens, rewards = state.tokens.at[place].set(trial[0]), state.rewards.at[place].set(trial[1])
        drawn = place[None]
        if self.replay:
            chance = jax.random.uniform(jax.random.fold_in(state.key, state.count), (self.replay,))
            drawn = scaled(chance, jnp.minimum(state.count + 1, self.capacity))
        values = self._swept(state.decisions, state.values, tokens[drawn], rewards[drawn])
        return replace(state, values=values, tokens=tokens, rewards=rewards, count=state.count + 1), None

    def _swept(self, decisions: Decisions, values: Array, tokens: Int[Array, "K T"], rewards: Float[Array, " K"]):
        """Q after these trials, in their order; each from its last decision to its first."""

        def back(carry, step: tuple[Step, Array, Array]):
            values, target = carry
            (row, action, size), last, reward = step
            target = jnp.where(last, reward, target)
            old = values[row]
            new = old.at[action].add(jnp.where(action >= 0, self.learning_rate * (target - old[action]), 0))
            best = jnp.where(jnp.arange(len(new)) < size, new, -jnp.inf).max()
            return (values.at[row].set(new), jnp.where(action >= 0, best, target)), None

        steps = jax.vmap(lambda t: self._steps(decisions, t))(tokens)
        last = jnp.broadcast_to(jnp.arange(len(decisions)) == len(decisions) - 1, tokens.shape)
        steps = steps, last, jnp.broadcast_to(rewards[:, None], tokens.shape)
        flat = jax.tree.map(lambda leaf: leaf[:, ::-1].reshape(-1), steps)
        return jax.lax.scan(back, (values, jnp.float32(0)), flat)[0][0]

    def _steps(self, decisions: Decisions, tokens: Int[Array, " T"]) -> Step:
        """What a walk met, ``[T]`` each."""
        follow = lambda past, action: (self._next(decisions, past, action), past)
        actions, sizes = binned(decisions, tokens, BINS), jnp.asarray(bins(decisions, BINS))
        _, pasts = jax.lax.scan(follow, jnp.int32(0), actions)
        return Step(jnp.arange(len(tokens)) * self._histories(decisions) + pasts, actions, sizes)


def _most(decisions: Decisions) -> int:
    """V."""
    return int(bins(decisions, BINS).max())


def check_size(name: str, value: int, numbers: int) -> None:
    """Raises ValueError where a setting makes a table of more than `LARGEST` numbers."""
    if numbers > LARGEST:
        raise ValueError(f"{name}={value}: the table would hold {numbers:,} numbers: give less {name}")


def check_schedule(epsilon: Schedule) -> None:
    """Raises ValueError where it is none."""
    if not epsilon or sum(trials for _, trials in epsilon[:-1]) >= 2**31:
        raise ValueError(
            f"epsilon={epsilon}: give pairs of a probability and a number of trials, fewer than 2**31 in all"
        )


def epsilon_at(schedule: Schedule, trial: Int[Array, ""]) -> Float[Array, ""]:
    """Epsilon of a trial, the first being 0."""
    epsilons, trials = zip(*schedule, strict=True)
    place = (trial >= np.cumsum(trials)[:-1]).sum()
    return jnp.asarray(epsilons, jnp.float32)[place]
