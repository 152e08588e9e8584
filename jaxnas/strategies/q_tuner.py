"""Q-learning as a tuner: from the present setting one decision moves by one step, and pays what it changes.

References:
    Watkins & Dayan, Q-learning, Machine Learning 8, 1992 (https://doi.org/10.1007/BF00992698).

Letters: N samples, T decisions, A actions, W walkers, R rows of the table.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxnas.decisions import ABSENT, Decisions, Rewards, Tokens
from jaxnas.ranges import Probability, Range
from jaxnas.settings import settings
from jaxnas.strategies.q_learning import Schedule, check_schedule, check_size, epsilon_at
from jaxnas.strategies.random import scaled
from jaxnas.strategies.rows import row, rows

PARTS = 8
"""An ordinal's levels lie in so many equal bins, at most, and its larger steps are as long as one."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "points", "scores", "count", "best", "record"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class QTunerState:
    """values: Q, float32 ``[R, A]``; points: where the walkers stand, int32 ``[W, T]``, and scores: the rewards
    there, float32 ``[W]``, -inf of one that has not begun; count: trials so far, int32 ``[]``; best: the best setting
    of all, int32 ``[T]``, and record, its reward.
    """

    values: Any
    points: Any
    scores: Any
    count: Any
    best: Any
    record: Any
    decisions: Decisions


@settings
class QTuner:
    """A state is a setting (all its tokens); an action changes one decision to the next or the former value, where
    there is one: values should be listed in an order that means something. Ordinals of 16 levels or more also move by
    an eighth of their range. The reward of an action is the difference in score that it makes:
    Q(s, a) += learning_rate (r + discount max_a' Q(s', a') - Q(s, a)), from 0.

    A walker begins at a random setting and goes wherever its action leads, for better or worse; decisions that exist
    there alone are drawn uniformly. It learns where it comes by again, so it is for spaces of a few hundred settings:
    in larger ones it strolls, and finds less than random search.

    Trial i is walker i mod ``walkers``'s; all learn in one table. The trials of a round all start from where the
    walkers stood before it, so give no more children a round than walkers, and each goes on from its last trial.

    The table has a row for each raw setting in a space of ``rows`` or fewer of them, where of an ordinal all levels in
    one of 8 equal bins count as one. In a larger one settings share rows by a hash: two that meet there (few do, as
    long as far fewer than ``rows`` are visited) disturb each other's values, but actions are always possible ones.

    Attributes:
        learning_rate: of Q.
        discount: of the next setting's best value.
        epsilon: (probability of a random action, number of trials that it holds for), one after the other; the last
            holds for ever.
        walkers: how many there are.
        rows: the most rows of the table, of 8 T bytes each, or 16 T where all decisions are long ordinals.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: Annotated[float, Range(0, 1, "(]")] = 0.1
    discount: Probability = 0.9
    epsilon: Schedule = ((1.0, 100), (0.5, 100), (0.1, 100))
    walkers: Annotated[int, Range(1, 100_000)] = 1
    rows: Annotated[int, Range(1, 2**28)] = 2**16

    def __post_init__(self):
        check_schedule(self.epsilon)

    def init(self, decisions: Decisions, key: jax.Array) -> QTunerState:
        """No walker has begun; ``key`` is not used. Raises ValueError where the table would be too large."""
        del key
        shape = rows(decisions, self.rows, PARTS), len(_actions(decisions).column)
        check_size("rows", self.rows, shape[0] * shape[1])
        values = jnp.zeros(shape)
        points = jnp.full((self.walkers, len(decisions)), ABSENT, jnp.int32)
        scores, least = jnp.full(self.walkers, -jnp.inf), jnp.float32(-jnp.inf)
        return QTunerState(values, points, scores, jnp.int32(0), points[0], least, decisions)

    def propose(self, state: QTunerState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """An action of each of n walkers; ``key`` is consumed."""
        chance = jax.random.uniform(key, (n, 1 + len(state.decisions) + state.values.shape[1]))
        return state.decisions.without_absent(jax.vmap(lambda i, c: self._step(state, i, c))(jnp.arange(n), chance))

    def update(self, state: QTunerState, tokens: Tokens, rewards: Rewards):
        """Trial after trial, from where the walkers stood before the round.

        Metrics: "mean reward"; "epsilon" of the next trial.
        """
        tokens, rewards, start = jnp.asarray(tokens), jnp.asarray(rewards, jnp.float32), state

        def learn(state: QTunerState, trial):
            values = self._learnt(state.values, start, state.count % self.walkers, *trial)
            return self._moved(state, values, *trial), None

        state, _ = jax.lax.scan(learn, state, (tokens, rewards))
        return state, {"mean reward": rewards.mean(), "epsilon": epsilon_at(self.epsilon, state.count)}

    def most_likely(self, state: QTunerState) -> Int[Array, " T"]:
        """The best setting that was seen."""
        return state.best

    def _row(self, state: QTunerState, tokens: Int[Array, " T"]) -> Int[Array, ""]:
        return row(state.decisions, self.rows, tokens, PARTS)

    def _step(self, state: QTunerState, number: Int[Array, ""], chance: Float[Array, " K"]) -> Int[Array, " T"]:
        """The setting after one action, or a random one to begin with; with tokens where nothing is, too."""
        trial, columns = state.count + number, len(state.decisions)
        explore, raw, lot = chance[0], scaled(chance[1 : 1 + columns], state.decisions.sizes), chance[1 + columns :]
        walker = trial % self.walkers
        point, values = state.points[walker], state.values[self._row(state, state.points[walker])]
        possible = _possible(state.decisions, point)
        greedy = values == jnp.where(possible, values, -jnp.inf).max()
        action = jnp.where(possible & (greedy | (explore < epsilon_at(self.epsilon, trial))), lot, -1).argmax()
        actions = _actions(state.decisions)
        step = jnp.where(possible[action], jnp.asarray(actions.step)[action], 0)
        moved = point + jnp.where(jnp.arange(columns) == jnp.asarray(actions.column)[action], step, 0)
        return jnp.where(point < 0, raw, moved)  # one that has not begun has -1 alone

    def _learnt(self, values: Array, start: QTunerState, walker: Array, tokens: Int[Array, " T"], reward) -> Array:
        """Q after one trial of a walker."""
        point, score = start.points[walker], start.scores[walker]
        differs = (tokens != point) & (point >= 0)
        column = differs.argmax()  # the first: those that exist in one of the two alone come later
        actions, change = _actions(start.decisions), tokens[column] - point[column]
        taken = (actions.column == column) & (actions.step == change)
        place = self._row(start, point), jnp.where(taken.any(), taken.argmax(), 2 * column + (change > 0))
        possible = _possible(start.decisions, tokens)
        following = jnp.where(possible, values[self._row(start, tokens)], -jnp.inf).max()
        target = reward - score + self.discount * jnp.where(possible.any(), following, 0.0)
        return values.at[place].add(jnp.where(differs.any(), self.learning_rate * (target - values[place]), 0.0))

    def _moved(self, state: QTunerState, values: Array, tokens: Int[Array, " T"], reward) -> QTunerState:
        """The next walker stands where its trial was."""
        walker, better = state.count % self.walkers, reward > state.record
        return QTunerState(
            values=values,
            points=state.points.at[walker].set(tokens),
            scores=state.scores.at[walker].set(reward),
            count=state.count + 1,
            best=jnp.where(better, tokens, state.best),
            record=jnp.maximum(reward, state.record),
            decisions=state.decisions,
        )


class Actions(NamedTuple):
    """int ``[A]`` each: which decision moves, and by how much. Down and up, of each in turn; then long ordinals by an
    eighth of their range.
    """

    column: np.ndarray
    step: np.ndarray


def _actions(decisions: Decisions) -> Actions:
    far = np.flatnonzero(decisions.ordinal & (decisions.sizes >= 2 * PARTS))
    lengths = np.concatenate([np.ones(len(decisions), np.int32), decisions.sizes[far] // PARTS])
    columns = np.concatenate([np.arange(len(decisions)), far])
    return Actions(np.repeat(columns, 2), (lengths[:, None] * [-1, 1]).reshape(-1))


def _possible(decisions: Decisions, point: Int[Array, " T"]) -> Bool[Array, " A"]:
    """Which actions there are."""
    column, step = _actions(decisions)
    following = point[column] + step
    return (point[column] >= 0) & (following >= 0) & (following < decisions.sizes[column])
