"""Random search: the control that every other result is compared with.

References:
    Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, 2012
    (https://jmlr.org/papers/v13/bergstra12a.html).

Letters: N samples, T decisions.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxnas.decisions import Decisions, Rewards, Tokens


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["decisions"])
@dataclass(frozen=True)
class RandomState:
    """Nothing is learnt: the decisions are all there is."""

    decisions: Decisions


@dataclass(frozen=True)
class Random:
    """Every decision uniform and independent; repeats are possible."""

    def init(self, decisions: Decisions, key: jax.Array) -> RandomState:
        """The state; ``key`` is not used."""
        del key
        return RandomState(decisions)

    def propose(self, state: RandomState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n uniform samples; ``key`` is consumed."""
        sizes = jnp.asarray(state.decisions.sizes)
        return state.decisions.without_absent(jax.random.randint(key, (n, len(sizes)), 0, sizes))

    def update(self, state: RandomState, tokens: Tokens, rewards: Rewards):
        """The same state, and the mean reward."""
        del tokens
        return state, {"mean reward": jnp.mean(rewards)}
