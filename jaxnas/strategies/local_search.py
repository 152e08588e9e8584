"""Local search: hill climbing from random points.

References:
    White et al., Exploring the Loss Landscape in Neural Architecture Search, 2021, algorithm 1
    (https://arxiv.org/abs/2005.02960); its code (https://github.com/naszilla/naszilla), which by default moves to the
    first improvement.

Letters: N samples, T decisions, V the greatest number of neighbours of one decision, with its own value.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxnas.decisions import ABSENT, Decisions, Rewards, Tokens
from jaxnas.settings import settings
from jaxnas.strategies.random import scaled

NEXT = 4
"""A step of an ordinal is so many times the one before."""
NOWHERE = -2
"""In place of a value: there is no such neighbour."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["point", "reward", "tried", "candidate", "promise", "restart", "best", "record"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class LocalSearchState:
    """point: where it stands, int32 ``[T]``, and its reward, float32 ``[]``; tried: neighbours (this decision, that
    value or step) that need not be proposed, bool ``[T, V]``; candidate: the best neighbour so far, int32 ``[T]``, and
    promise, its reward; restart: whether the next point is a random one, bool ``[]``; best: the best of all, int32
    ``[T]``, and record, its reward.
    """

    point: Any
    reward: Any
    tried: Any
    candidate: Any
    promise: Any
    restart: Any
    best: Any
    record: Any
    decisions: Decisions


@settings
class LocalSearch:
    """From a random point to a better neighbour, again and again; where none is better, from a new random point.

    A neighbour differs in the value of one decision; those that exist in the neighbour alone are drawn uniformly. Of an
    ordinal the neighbours are 1, 4, 16, ... levels away, up or down.
    Neighbours are tried in random order, none twice from one point, and none that is known from the last one because
    it differs from both in the same decision alone.

    A round of several children holds as many different neighbours and, where no more are left, random points; the best
    of the round counts. A restart is to the best of a round of random points.

    Attributes:
        whole: whether it moves only when all neighbours are tried, to the best of them (the paper's algorithm 1);
            else it moves to an improvement at once.
    """

    whole: bool = False

    def init(self, decisions: Decisions, key: jax.Array) -> LocalSearchState:
        """Nowhere yet; ``key`` is not used."""
        del key
        nowhere, least = jnp.full(len(decisions), ABSENT, jnp.int32), jnp.float32(-jnp.inf)
        tried = _own(decisions, nowhere)
        return LocalSearchState(nowhere, least, tried, nowhere, least, jnp.array(True), nowhere, least, decisions)

    def propose(self, state: LocalSearchState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n neighbours that were not tried, or random points; ``key`` is consumed."""
        columns, places = len(state.decisions), state.tried.size
        chance = jax.random.uniform(key, (n * columns + places,))  # one draw for all: it compiles fast
        raw, count = scaled(chance[places:].reshape(n, columns), state.decisions.sizes), min(n, places)
        order = chance[:places] - state.tried.reshape(-1)
        rank, chosen = jax.lax.top_k(order, count)  # tried ones are negative
        column, place = jnp.divmod(chosen, state.tried.shape[1])
        value = _values(state.decisions, state.point)[column, place]
        changed = jnp.arange(columns) == column[:, None]
        kept = jnp.where(state.point < 0, raw[:count], state.point)
        neighbours = jnp.where(changed, value[:, None], kept)
        free = (rank < 0) | state.restart
        raw = raw.at[:count].set(jnp.where(free[:, None], raw[:count], neighbours))
        return state.decisions.without_absent(raw)

    def update(self, state: LocalSearchState, tokens: Tokens, rewards: Rewards):
        """Notes what was tried, and moves. Metrics: "mean reward"; "point", the reward where it stands."""
        tokens, rewards = jnp.asarray(tokens), jnp.asarray(rewards, jnp.float32)
        decisions, top = state.decisions, rewards.argmax()
        tried = state.tried | jax.vmap(lambda t: _difference(state, t))(tokens).any(0)
        candidate, promise = _better(tokens[top], rewards[top], state.candidate, state.promise)
        ready = tried.all() if self.whole else jnp.array(True)
        moved = state.restart | (ready & (promise > state.reward))
        point, reward = jnp.where(moved, candidate, state.point), jnp.where(moved, promise, state.reward)
        tried = jnp.where(moved, _own(decisions, point) | _shared(state, tried, point), tried)
        restart = tried.all()
        promise = jnp.where(moved | restart, -jnp.inf, promise)
        best, record = _better(tokens[top], rewards[top], state.best, state.record)
        state = LocalSearchState(point, reward, tried, candidate, promise, restart, best, record, decisions)
        return state, {"mean reward": rewards.mean(), "point": reward}

    def most_likely(self, state: LocalSearchState) -> Int[Array, " T"]:
        """The best of all that it has seen."""
        return state.best


def _better(tokens, reward, former, record):
    """The new one where its reward is greater, else the former."""
    return jnp.where(reward > record, tokens, former), jnp.maximum(reward, record)


def _own(decisions: Decisions, point: Int[Array, " T"]) -> Bool[Array, "T V"]:
    """What is no neighbour of a point: its own values, values that do not exist, values of absent decisions."""
    values = _values(decisions, point)
    return (point[:, None] == values) | (values == NOWHERE) | (point < 0)[:, None]


def _steps(decisions: Decisions) -> Int[np.ndarray, "T K"]:
    """By how much ordinals move: 1, -1, 4, -4, ...; 0 where there is no such step."""
    most = int(decisions.sizes[decisions.ordinal].max(initial=1))
    sizes = [NEXT**i for i in range(most.bit_length()) if NEXT**i < most]
    steps = np.array([sign * size for size in sizes for sign in (1, -1)], np.int32)
    return np.where(decisions.ordinal[:, None] & (np.abs(steps) < decisions.sizes[:, None]), steps, 0)


def _values(decisions: Decisions, point: Int[Array, " T"]) -> Int[Array, "T V"]:
    """What each neighbour of a point has in place of its own value: of a choice any value, of an ordinal one that is
    a step away. `NOWHERE`: there is none.
    """
    steps, choices = _steps(decisions), int(decisions.sizes[~decisions.ordinal].max(initial=1))
    steps = np.pad(steps, ((0, 0), (0, max(0, choices - steps.shape[1]))))
    moved = jnp.where(steps == 0, NOWHERE, point[:, None] + steps)
    values = jnp.where(decisions.ordinal[:, None], moved, np.arange(steps.shape[1]))
    return jnp.where((values >= 0) & (values < decisions.sizes[:, None]), values, NOWHERE)


def _difference(state: LocalSearchState, tokens: Int[Array, " T"]) -> Bool[Array, "T V"]:
    """Which neighbour of the state's point a child was, by its first other value; those that it alone has come later.

    (Random points are no neighbours, but come only where after the round nothing is left to try.)
    """
    differs = (tokens != state.point) & (state.point >= 0)
    first = jnp.arange(len(tokens)) == differs.argmax()
    return (first & differs)[:, None] & (tokens[:, None] == _values(state.decisions, state.point))


def _shared(state: LocalSearchState, tried: Bool[Array, "T V"], point: Int[Array, " T"]) -> Bool[Array, "T V"]:
    """The neighbours of the new point that the former one has tried: those along the line through both.

    None where more than one decision differs. The former point's own value counts as tried there.
    """
    differs, decisions = point != state.point, state.decisions
    if decisions.ordinal.any():  # the same step leads to another level from here: levels are compared
        rows, count = np.flatnonzero(decisions.ordinal), _steps(decisions).shape[1]
        former, values = (_values(decisions, p)[rows, :count] for p in (state.point, point))
        same = (values[:, :, None] == former[:, None]) & tried[rows, :count][:, None]
        tried = tried.at[rows, :count].set(same.any(-1) | (values == state.point[rows][:, None]))
    return (differs & (differs.sum() == 1) & ~state.restart)[:, None] & tried
