"""Q-learning as a tuner: from a setting that is known one decision is changed, and what that changes of the score is
the reward.

References:
    Watkins & Dayan, Q-learning, Machine Learning 8, 1992 (https://doi.org/10.1007/BF00992698);
    Lin, Self-Improving Reactive Agents Based on Reinforcement Learning, Planning and Teaching, Machine Learning 8, 1992
    (https://doi.org/10.1007/BF00992699): experience replay; Mnih et al., Human-level control through deep reinforcement
    learning, Nature 518, 2015 (https://doi.org/10.1038/nature14236): replay with targets that wait;
    Sutton & Barto, Reinforcement Learning, 2nd edition, 2018, sections 6.8 (afterstates) and 9.4 (linear
    approximation).

Letters: N samples, T decisions, A actions, W walkers, F features of a decision, C places of the replay buffer, K
replayed trials, V the greatest number of values of a decision.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from jaxnas.decisions import ABSENT, Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Probability, Range
from jaxnas.settings import settings
from jaxnas.strategies.q_learning import Schedule, check_schedule, check_size, epsilon_at
from jaxnas.strategies.random import scaled

KNOTS = 5
"""Between so many points, at most, what an ordinal's levels are worth is interpolated."""
STEPS = 2
"""Of Adam, after each trial."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "optimiser", "points", "scores", "trials", "count", "best", "record", "key"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class QTunerState:
    """weights: of the features, float32 ``[T, F]``; optimiser: optax's state; points: where the walkers stand, int32
    ``[W, T]``, and scores: the rewards there, float32 ``[W]``, -inf of one that has not begun; trials: a `Replay`;
    count: trials so far, int32 ``[]``; best: the best setting of all, int32 ``[T]``, and record, its reward; key: what
    the replays are drawn from.
    """

    weights: Any
    optimiser: Any
    points: Any
    scores: Any
    trials: Any
    count: Any
    best: Any
    record: Any
    key: Any
    decisions: Decisions


class Replay(NamedTuple):
    """The latest C trials. starts: the settings that they came from, int32 ``[C, T]``; tokens: what they were, int32
    ``[C, T]``; changes: of the score, float32 ``[C]``; rewards: float32 ``[C]``. One that came from nowhere has itself
    as its start.
    """

    starts: Array
    tokens: Array
    changes: Array
    rewards: Array


@settings
class QTuner:
    """A state is a setting (all its tokens), an action changes one decision: a choice to any other value, an ordinal by
    1, 2, 4, 8, ... levels. The reward of an action is the change of the score. Actions are epsilon-greedy: the one with
    the greatest Q, or with probability epsilon a decision, each as often, and then one of its actions.

    Q is linear: Q(s, a) = w (f(s') - f(s)), s' the setting after a. The features f of a choice are its values, one
    each; of an ordinal a line, -1 to 1, and hat functions around 5 places of its range (fewer where it has fewer
    levels), between which w is interpolated; all are 0 where a decision does not exist. After each trial two steps of
    Adam, each on ``replay`` trials drawn from the buffer, lower the mean of
    (r + discount max(0, max_a' Q(s', a')) - Q(s, a))^2, the maximum held fixed; 0 is what it is worth to stay. Rewards
    are divided by the standard deviation of the scores in the buffer.

    Walkers stand at the best settings so far: a trial better than where the worst of them stands takes it there.
    The first ``initial`` trials are uniform; later, trial i starts from walker i mod ``walkers``. What is in the buffer
    or in the same round is not proposed again while the walker has another action. Decisions that exist after an action
    alone are drawn uniformly.

    Attributes:
        learning_rate: of Adam.
        discount: of the next setting's best value.
        epsilon: (probability of a random action, number of trials that it holds for), one after the other; the last
            holds for ever.
        initial: uniform trials to begin with.
        walkers: how many of the best settings are gone on from.
        replay: trials of a step, drawn with replacement from the buffer, the new one in it; 0: the new one alone. Of
            one that came from nowhere the gradient is 0: it is no action, and counts in the mean alone.
        capacity: trials in the buffer; then the oldest goes.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: LearningRate = 0.02
    discount: Probability = 0.0
    epsilon: Schedule = ((0.3, 1),)
    initial: Annotated[int, Range(1, 10**6)] = 20
    walkers: Annotated[int, Range(1, 10_000)] = 10
    replay: Annotated[int, Range(0, 100_000)] = 32
    capacity: Annotated[int, Range(1, 10**6)] = 512

    def __post_init__(self):
        check_schedule(self.epsilon)

    def init(self, decisions: Decisions, key: jax.Array) -> QTunerState:
        """No walker has begun; ``key`` is kept for the replays. Raises ValueError: a buffer too large."""
        T = len(decisions)
        check_size("capacity", self.capacity, self.capacity * T)
        # what is known is held against each action's setting, in bytes
        check_size("capacity", self.capacity, len(_actions(decisions).column) * self.capacity * T // 4)
        check_size("walkers", self.walkers, self.walkers * T)
        absent = lambda n: jnp.full((n, T), ABSENT, jnp.int32)
        trials = Replay(absent(self.capacity), absent(self.capacity), *jnp.zeros((2, self.capacity)))
        weights, least = jnp.zeros((T, _width(decisions))), jnp.float32(-jnp.inf)
        walkers = absent(self.walkers), jnp.full(self.walkers, least)
        learnt = weights, self._adam.init(weights)
        return QTunerState(*learnt, *walkers, trials, jnp.int32(0), absent(1)[0], least, key, decisions)

    def propose(self, state: QTunerState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """An action of each of n walkers; ``key`` is consumed."""
        columns, actions = len(state.decisions), len(_actions(state.decisions).column)
        chance = jax.random.uniform(key, (n, 1 + columns + actions))

        def one(earlier, turn):
            tokens = self._step(state, state.count + turn, earlier, chance[turn])
            return earlier.at[turn].set(tokens), tokens

        return jax.lax.scan(one, jnp.full((n, columns), ABSENT, jnp.int32), jnp.arange(n))[1]

    def update(self, state: QTunerState, tokens: Tokens, rewards: Rewards):
        """Trial after trial, from where the walkers stood before the round.

        Metrics: "mean reward"; "epsilon" of the next trial.
        """
        tokens, rewards, before = jnp.asarray(tokens), jnp.asarray(rewards, jnp.float32), state

        def learn(state: QTunerState, trial):
            state = replace(state, trials=self._kept(state, before, *trial))
            weights, optimiser = self._learnt(state)
            state = replace(self._moved(state, *trial), weights=weights, optimiser=optimiser)
            return replace(state, count=state.count + 1), None

        state, _ = jax.lax.scan(learn, state, (tokens, rewards))
        return state, {"mean reward": rewards.mean(), "epsilon": epsilon_at(self.epsilon, state.count)}

    def most_likely(self, state: QTunerState) -> Int[Array, " T"]:
        """The best setting that was seen."""
        return state.best

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    def _step(self, state: QTunerState, trial, earlier: Int[Array, "N T"], chance: Float[Array, " K"]):
        """The setting ``[T]`` of a trial, not one of the same round if that can be."""
        decisions, columns = state.decisions, len(state.decisions)
        explore, raw, lots = chance[0], scaled(chance[1 : 1 + columns], decisions.sizes), chance[1 + columns :]
        walker, column = trial % self.walkers, _actions(decisions).column
        point = state.points[walker]
        after, possible = _after(decisions, point)
        known = jnp.concatenate([state.trials.tokens, earlier])
        new = possible & ~(after[:, None] == known).all(-1).any(-1)
        possible = jnp.where(new.any(), new, possible)
        values = _gains(_worth(decisions, state.weights), point, after)
        greedy = values >= jnp.where(possible, values, -jnp.inf).max()
        # the least of exponential variables with these rates: each decision as often, whatever actions it has
        lots = jnp.log(lots) * jnp.zeros(columns).at[column].add(possible)[column]
        allowed = possible & (greedy | (explore < epsilon_at(self.epsilon, trial)))
        moved = jnp.where(possible.any(), after[jnp.where(allowed, lots, -jnp.inf).argmax()], point)
        fresh = (trial < self.initial) | (moved < 0)  # one that has not begun has -1 alone
        return decisions.without_absent(jnp.where(fresh, raw, moved)[None])[0]

    def _kept(self, state: QTunerState, before: QTunerState, tokens: Int[Array, " T"], reward) -> Replay:
        """The buffer with one trial more."""
        place, walker = state.count % self.capacity, state.count % self.walkers
        came = (state.count >= self.initial) & (before.scores[walker] > -jnp.inf)
        start, change = before.points[walker], reward - before.scores[walker]
        trial = Replay(jnp.where(came, start, tokens), tokens, jnp.where(came, change, 0.0), reward)
        return jax.tree.map(lambda kept, new: kept.at[place].set(new), state.trials, trial)

    def _learnt(self, state: QTunerState) -> tuple[Array, Any]:
        """Weights and Adam's state after a trial, which is in the buffer."""
        decisions, trials = state.decisions, state.trials
        known = jnp.minimum(state.count + 1, self.capacity)
        spread = jnp.std(trials.rewards, where=jnp.arange(self.capacity) < known)
        spread = jnp.where(spread > 0, spread, 1.0)

        def step(learnt, chance):
            weights, optimiser = learnt
            drawn = scaled(chance, known) if self.replay else (state.count % self.capacity)[None]
            tokens, worth = trials.tokens[drawn], _worth(decisions, weights)
            following = jax.vmap(lambda point: _greatest(decisions, worth, point))(tokens) if self.discount else 0.0
            moves = _features(decisions, tokens) - _features(decisions, trials.starts[drawn])
            error = trials.changes[drawn] / spread + self.discount * following - (moves * weights).sum((1, 2))
            gradient = -2 * (error[:, None, None] * moves).mean(0)
            change, optimiser = self._adam.update(gradient, optimiser)
            return (weights + change, optimiser), None

        chance = jax.random.uniform(jax.random.fold_in(state.key, state.count), (STEPS, max(self.replay, 1)))
        return jax.lax.scan(step, (state.weights, state.optimiser), chance)[0]

    def _moved(self, state: QTunerState, tokens: Int[Array, " T"], reward) -> QTunerState:
        """The worst walker goes where a better trial was; one that stands there notes its new score instead."""
        there = (state.points == tokens).all(-1)
        walker = jnp.where(there.any(), there.argmax(), state.scores.argmin())
        goes, better = there.any() | (reward > state.scores[walker]), reward > state.record
        return replace(
            state,
            points=state.points.at[walker].set(jnp.where(goes, tokens, state.points[walker])),
            scores=state.scores.at[walker].set(jnp.where(goes, reward, state.scores[walker])),
            best=jnp.where(better, tokens, state.best),
            record=jnp.maximum(reward, state.record),
        )


class Actions(NamedTuple):
    """int ``[A]`` each: which decision changes, and by how much."""

    column: np.ndarray
    step: np.ndarray


def _actions(decisions: Decisions) -> Actions:
    """A choice takes another value (steps go round), an ordinal a level 1, 2, 4, 8, ... below or above."""
    steps = [
        [sign * 2**power for power in range(int(size - 1).bit_length()) for sign in (-1, 1)]
        if ordinal
        else list(range(1, size))
        for size, ordinal in zip(decisions.sizes.tolist(), decisions.ordinal, strict=True)
    ]
    columns = np.repeat(np.arange(len(decisions)), [len(of) for of in steps])
    found = np.array([step for of in steps for step in of], np.int32)
    return Actions(columns, found) if len(found) else Actions(np.zeros(1, np.int32), np.zeros(1, np.int32))


def _after(decisions: Decisions, point: Int[Array, " T"]) -> tuple[Int[Array, "A T"], Bool[Array, " A"]]:
    """Settings after each action, those that come into being absent, and which actions there are."""
    column, step = _actions(decisions)
    size, token = decisions.sizes[column], point[column] + step
    token = jnp.where(decisions.ordinal[column], token, token % size)
    possible = (point[column] >= 0) & (token >= 0) & (token < size) & (step != 0)
    moved = jnp.where(jnp.arange(len(decisions)) == column[:, None], token[:, None], point)
    return decisions.without_absent(moved), possible


def _knots(decisions: Decisions) -> Int[np.ndarray, " T"]:
    """How many values of a decision have a feature of their own."""
    return np.where(decisions.ordinal, np.minimum(decisions.sizes, KNOTS), decisions.sizes)


def _width(decisions: Decisions) -> int:
    """F."""
    return int(_knots(decisions).max()) + int(decisions.ordinal.any())


def _features(decisions: Decisions, tokens: Int[Array | np.ndarray, "*S T"]) -> Float[Array, "*S T F"]:
    """Of each decision; 0 where it is absent."""
    knots, spans = _knots(decisions), np.maximum(decisions.sizes - 1, 1)
    fine = _hats(tokens * ((knots - 1) / spans).astype(np.float32), int(knots.max()))
    if decisions.ordinal.any():
        line = jnp.where(decisions.ordinal, tokens * (2 / spans).astype(np.float32) - 1, 0.0)
        fine = jnp.concatenate([fine, line[..., None]], -1)
    return jnp.where(tokens[..., None] >= 0, fine, 0.0)


def _hats(place: Float[Array, "*S"], count: int) -> Float[Array, "*S K"]:
    """Each 1 at its own of the places 0, 1, 2, ..., 0 at the others, and straight between."""
    return jnp.maximum(0.0, 1 - jnp.abs(place[..., None] - jnp.arange(count)))


def _worth(decisions: Decisions, weights: Float[Array, "T F"]) -> Float[Array, "T V"]:
    """What each token of each decision is worth."""
    tokens = np.indices((decisions.sizes.max(), len(decisions)), np.int32)[0]
    return (_features(decisions, jnp.asarray(tokens)) * weights).sum(-1).T


def _gains(worth: Float[Array, "T V"], point: Int[Array, " T"], after: Int[Array, "A T"]) -> Float[Array, " A"]:
    """Q of each action: what the setting after it is worth more than the present one."""
    value = lambda tokens: jnp.where(tokens >= 0, worth[jnp.arange(len(worth)), tokens], 0.0).sum(-1)
    return value(after) - value(point)


def _greatest(decisions: Decisions, worth: Float[Array, "T V"], point: Int[Array, " T"]) -> Float[Array, ""]:
    """The best action's Q, and 0 where none is better than to stay."""
    after, possible = _after(decisions, point)
    return jnp.where(possible, _gains(worth, point, after), 0.0).max(initial=0.0)
