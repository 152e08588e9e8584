"""Strategies: one algorithm, one file. They see decisions, propose tokens and learn from rewards, nothing else.

Letters: N samples, T decisions.
"""

from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.strategies.bayes import Bayes
from jaxnas.strategies.evolution import Evolution
from jaxnas.strategies.gradient import PolicyState
from jaxnas.strategies.local_search import LocalSearch
from jaxnas.strategies.optuna import Optuna
from jaxnas.strategies.ppo import PPO
from jaxnas.strategies.q_learning import QLearning
from jaxnas.strategies.q_tuner import QTuner
from jaxnas.strategies.random import Random
from jaxnas.strategies.reinforce import Reinforce

STRATEGIES = {
    "Random": Random,
    "Reinforce": Reinforce,
    "PPO": PPO,
    "Evolution": Evolution,
    "LocalSearch": LocalSearch,
    "QLearning": QLearning,
    "QTuner": QTuner,
    "Bayes": Bayes,
    "Optuna": Optuna,
}
"""Every strategy of the library by name; the laws are tested over this table."""


@runtime_checkable
class Strategy(Protocol):
    """A frozen dataclass of settings with three pure functions, jittable (``n`` is static) unless it `SaysJittable`.
    What else it may say or do stands in protocols of their own, of which it need not inherit: `Branches`, `Prefers`.

    The state is a pytree and the fold of history: replaying (tokens, rewards) through `update` rebuilds it.

    (Data is not declared here: the command line follows only protocols whose members are all functions.)
    """

    def init(self, decisions: Decisions, key: jax.Array) -> Any:
        """The state before the first round; ``key`` is consumed."""

    def propose(self, state: Any, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """Tokens of n samples; the state does not change and ``key`` is consumed."""

    def update(self, state: Any, tokens: Tokens, rewards: Rewards) -> tuple[Any, dict[str, Array]]:
        """The state after a round, and figures about it by name; rewards are finite, higher is better."""


@runtime_checkable
class SaysJittable(Protocol):
    """A strategy that says whether its functions can be compiled; where it is False, they are called as they are."""

    jittable: ClassVar[bool]


@runtime_checkable
class Branches(Protocol):
    """A strategy that says whether its work depends on its state; if so, whole searches do not run its seeds side by
    side, where every branch would be computed.
    """

    branches: ClassVar[bool]


@runtime_checkable
class Prefers(Protocol):
    """A strategy that can name its favourite."""

    def most_likely(self, state: Any) -> Int[Array, " T"]:
        """Tokens of what it thinks best now."""


def is_jittable(strategy: Strategy) -> bool:
    """Whether ``propose`` and ``update`` can be compiled: yes, unless it says no."""
    return strategy.jittable if isinstance(strategy, SaysJittable) else True


def has_branches(strategy: Strategy) -> bool:
    """Whether its work depends on its state: no, unless it says yes."""
    return strategy.branches if isinstance(strategy, Branches) else False


LEAVES = jax.Array | np.ndarray | np.generic | float
"""Of a state, what can be something else than finite."""


def finite(state: Any) -> bool:
    """Whether a state can be gone on with: no number in it is NaN, and none of a policy infinite. (Elsewhere -inf is
    what an empty place is worth.)
    """
    bad = jnp.isnan if not isinstance(state, PolicyState) else lambda leaf: ~jnp.isfinite(leaf)
    arrays = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state) if isinstance(leaf, LEAVES)]  # may hold others too
    return not any(bool(bad(leaf).any()) for leaf in arrays if jnp.issubdtype(leaf.dtype, jnp.floating))


__all__ = [
    "PPO",
    "STRATEGIES",
    "Bayes",
    "Branches",
    "Evolution",
    "LocalSearch",
    "Optuna",
    "Prefers",
    "QLearning",
    "QTuner",
    "Random",
    "Reinforce",
    "SaysJittable",
    "Strategy",
    "finite",
    "has_branches",
    "is_jittable",
]
