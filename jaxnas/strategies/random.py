"""Random search: the control that every other result is compared with.

References:
    Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, 2012
    (https://jmlr.org/papers/v13/bergstra12a.html).

Letters: N samples, T decisions, R rows of the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import Range
from jaxnas.settings import settings
from jaxnas.strategies.rows import row, rows

LAST = 2**31 - 1
Known = Callable[[Array], Array]
DRAWS = 32
"""Draws that may meet what is known, before the space is gone through from there."""


@partial(jax.tree_util.register_dataclass, data_fields=["seen", "mark", "count"], meta_fields=["decisions"])
@dataclass(frozen=True)
class RandomState:
    """The decisions and, where nothing may be repeated, the memory of what was proposed.

    seen: bool ``[R]``; mark: what a row holds once its architecture was proposed, bool ``[]``: it turns whenever all
    were; count: rows seen since, int32 ``[]``.
    """

    decisions: Decisions
    seen: Any = None
    mark: Any = None
    count: Any = None


@settings
class Random:
    """Every decision uniform and independent.

    Without repeats each draw has the same distribution over what was not proposed yet; the very last architectures of
    a space, which draws no longer find, are met by walking through it from a draw on. Once every architecture was
    proposed, it begins anew. In a growing space decisions that do not exist yet still tell proposals apart.

    Attributes:
        repeats: whether an architecture may be proposed again.
        memory: the most rows (a byte each) to remember proposals in. A space with no more raw tokens than that has a
            row for each architecture. In a larger one architectures share rows by a hash: nothing is repeated, but of
            those not proposed yet a share of (proposals / memory) is left out with them.

    Raises:
        ValueError: no memory.
    """

    repeats: bool = True
    memory: Annotated[int, Range(1, 2**30)] = 2**18

    def init(self, decisions: Decisions, key: jax.Array) -> RandomState:
        """The state; ``key`` is not used."""
        del key
        if self.repeats:
            return RandomState(decisions)
        seen = jnp.zeros(rows(decisions, self.memory), bool)
        return RandomState(decisions, seen, jnp.array(True), jnp.int32(0))

    def propose(self, state: RandomState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n uniform samples; ``key`` is consumed."""
        if self.repeats:
            sizes = jnp.asarray(state.decisions.sizes)
            return state.decisions.without_absent(jax.random.randint(key, (n, len(sizes)), 0, sizes))
        total = min(state.decisions.count, LAST)
        laps = (state.count + jnp.arange(n)) // total  # a round may end one and begin the next

        def one(places, turn):
            earlier = lambda place: ((places == place) & (laps == laps[turn])).any()
            known = lambda place: earlier(place) | ((laps[turn] == 0) & (state.seen[place] == state.mark))
            tokens, place = self._unknown(state, known, jax.random.fold_in(key, turn))
            return places.at[turn].set(place), tokens

        return jax.lax.scan(one, jnp.full(n, -1), jnp.arange(n))[1]

    def update(self, state: RandomState, tokens: Tokens, rewards: Rewards):
        """What was proposed is noted; metrics: "mean reward"."""
        if not self.repeats:
            state, _ = jax.lax.scan(lambda s, t: (self._note(s, t), None), state, jnp.asarray(tokens))
        return state, {"mean reward": jnp.mean(rewards)}

    def _unknown(self, state: RandomState, known: Known, key: jax.Array) -> tuple[Array, Array]:
        """Tokens and row of a draw that is not known. (A hashed memory that is all but full may give one that is.)"""

        def placed(raw):
            tokens = state.decisions.without_absent(raw[None])[0]
            return raw, tokens, row(state.decisions, self.memory, tokens)

        def again(carry):
            tries, (raw, *_) = carry
            chance = jax.random.uniform(jax.random.fold_in(key, tries), raw.shape)
            fresh = scaled(chance, state.decisions.sizes)
            return tries + 1, placed(jnp.where(tries < DRAWS, fresh, _next(state.decisions, raw)))

        vain = lambda carry: known(carry[1][2]) & (carry[0] < DRAWS + state.seen.size)
        return jax.lax.while_loop(vain, again, again((jnp.int32(0), placed(jnp.asarray(state.decisions.sizes)))))[1][1:]

    def _note(self, state: RandomState, tokens: Int[Array, " T"]) -> RandomState:
        """One proposal more; after the last of a space it begins anew."""
        place = row(state.decisions, self.memory, tokens)
        count = state.count + (state.seen[place] != state.mark)
        done = count >= min(state.decisions.count, LAST)
        seen = state.seen.at[place].set(state.mark)
        return replace(state, seen=seen, mark=state.mark ^ done, count=jnp.where(done, 0, count))


def scaled(chance: Float[Array, "*shape"], sizes) -> Int[Array, "*shape"]:
    """Numbers uniform in [0, 1) as numbers uniform in 0..size-1; of each size below 2**22."""
    return (chance * sizes).astype(jnp.int32)


def _next(decisions: Decisions, raw: Int[Array, " T"]) -> Int[Array, " T"]:
    """The raw tokens that follow in order, the last decision's moving fastest; after the last ones the first."""
    full = (raw == decisions.sizes - 1)[::-1]
    carried = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(full[:-1]).astype(bool)])[::-1]
    return jnp.where(carried, (raw + 1) % decisions.sizes, raw)
