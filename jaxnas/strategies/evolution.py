"""Regularised (ageing) evolution: the best of a random few has a child by one mutation, and the oldest dies.

References:
    Real et al., Regularized Evolution for Image Classifier Architecture Search, 2019, algorithm 1
    (https://arxiv.org/abs/1802.01548).

Letters: N samples, T decisions, P places of the population, S participants of a tournament.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.decisions import ABSENT, Decisions, Rewards, Tokens
from jaxnas.ranges import Probability, Range, Weight
from jaxnas.settings import settings
from jaxnas.strategies.levels import stepped
from jaxnas.strategies.random import scaled


@partial(
    jax.tree_util.register_dataclass, data_fields=["tokens", "rewards", "born", "count"], meta_fields=["decisions"]
)
@dataclass(frozen=True)
class EvolutionState:
    """The population. tokens: int32 ``[P, T]``; rewards: float32 ``[P]``, -inf in an empty place; born: number of the
    trial, int32 ``[P]``, -1 in an empty place; count: trials so far, int32 ``[]``.
    """

    tokens: Any
    rewards: Any
    born: Any
    count: Any
    decisions: Decisions


class Chance(NamedTuple):
    """Uniform numbers in [0, 1) for a proposal: raw ``[T]``, where there is no population yet and for what is new in a
    child; first and second ``[S]``, tournaments; which ``[T]``, parents; crossed, column and value ``[1]``.
    """

    raw: Float[Array, "*N T"]
    first: Float[Array, "*N S"]
    second: Float[Array, "*N S0"]
    which: Float[Array, "*N T0"]
    crossed: Float[Array, "*N 1"]
    column: Float[Array, "*N 1"]
    value: Float[Array, "*N 1"]


@settings
class Evolution:
    """Evolution of a population of fixed size; the defaults are the paper's ageing evolution.

    A child has its parent's tokens but for one decision, which takes another value: of a choice each as often, of an
    ordinal more often a near one (`stepped`). Decisions that exist in the child alone are drawn uniformly. The first
    ``population`` proposals are uniform, and so are all of the round that fills it. In a round with several children
    all have their parents in the population before it.

    Attributes:
        population: its size.
        sample: participants of a tournament, drawn with replacement, as in the paper's algorithm and NATS-Bench.
        elite: how many of the best never die; of the others the oldest does. 0: everyone dies of age (the paper);
            population - 1: only the worst dies (a genetic algorithm without ageing). Of equals the younger ranks first.
        crossover: the probability that a child takes each token from the winner of one tournament or of another, with
            equal probabilities, before it is mutated.
        weights: in what ratio decisions (columns of tokens) are the one mutated, among those present; one with 0 is
            mutated only where no other can be. None: equally. NATS-Bench's evolution draws a node of the cell and then
            one of its edges: (1/3, 1/6, 1/6, 1/9, 1/9, 1/9).

    Raises:
        ValueError: a value out of its range.
    """

    population: Annotated[int, Range(1, 100_000)] = 100
    sample: Annotated[int, Range(1, 10_000)] = 25
    elite: Annotated[int, Range(0, 100_000)] = 0
    crossover: Probability = 0.0
    weights: tuple[Weight, ...] | None = None

    def __post_init__(self):
        if self.elite >= self.population:
            raise ValueError(f"elite={self.elite}: give a number from 0 to {self.population - 1}: somebody must die")
        if self.weights is not None and sum(self.weights) == 0:
            raise ValueError(f"weights={self.weights}: give numbers of 0 or more, not all 0")

    def init(self, decisions: Decisions, key: jax.Array) -> EvolutionState:
        """An empty population; ``key`` is not used. Raises ValueError where there is not one weight a column."""
        del key
        if self.weights is not None and len(self.weights) != len(decisions):
            raise ValueError(f"weights={self.weights}: this space has {len(decisions)} columns: give one for each")
        tokens = jnp.full((self.population, len(decisions)), ABSENT, jnp.int32)
        rewards, born = jnp.full(self.population, -jnp.inf), jnp.full(self.population, -1, jnp.int32)
        return EvolutionState(tokens, rewards, born, jnp.int32(0), decisions)

    def propose(self, state: EvolutionState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n children, or uniform samples while the population is not full; ``key`` is consumed."""
        chance = self._chance(len(state.decisions), key, n)
        raw = scaled(chance.raw, state.decisions.sizes)
        children = jax.vmap(lambda r, c: self._child(state, r, c))(raw, chance)
        return state.decisions.without_absent(jnp.where(state.count < self.population, raw, children))

    def update(self, state: EvolutionState, tokens: Tokens, rewards: Rewards):
        """The children enter in their order, each in another's place.

        Metrics: "mean reward"; "population mean" and "population best", of the rewards of those alive.
        """

        def enter(state, child):
            place, (tokens, reward) = self._leaving(state), child
            born, alive = state.born.at[place].set(state.count), state.tokens.at[place].set(tokens)
            rewards = state.rewards.at[place].set(reward)
            return EvolutionState(alive, rewards, born, state.count + 1, state.decisions), None

        rewards = jnp.asarray(rewards, jnp.float32)
        state, _ = jax.lax.scan(enter, state, (jnp.asarray(tokens), rewards))
        mean = jnp.mean(state.rewards, where=state.born >= 0)
        metrics = {"mean reward": rewards.mean(), "population mean": mean, "population best": state.rewards.max()}
        return state, metrics

    def most_likely(self, state: EvolutionState) -> Int[Array, " T"]:
        """The best of those alive."""
        return state.tokens[state.rewards.argmax()]

    def _leaving(self, state: EvolutionState) -> Int[Array, ""]:
        """The place that the next one takes: an empty one, or of whoever dies."""
        if self.elite == 0:
            return state.count % self.population  # the oldest: places are taken in turn
        best = jnp.lexsort((-state.born, -state.rewards))[: self.elite]
        return state.born.at[best].set(jnp.iinfo(jnp.int32).max).argmin()

    def _chance(self, columns: int, key: jax.Array, n: int) -> Chance:
        """All that is random in n proposals. One draw for all compiles in half the time of one for each."""
        other = (self.sample, columns) if self.crossover else (0, 0)
        widths = (columns, self.sample, *other, 1, 1, 1)
        numbers = jax.random.uniform(key, (n, sum(widths)))
        return Chance(*jnp.split(numbers, np.cumsum(widths)[:-1], axis=1))

    def _child(self, state: EvolutionState, raw: Int[Array, " T"], chance: Chance) -> Int[Array, " T"]:
        """With tokens where nothing is, too; ``raw`` fills what the parents do not have."""
        tokens = self._winner(state, chance.first)
        if self.crossover:
            tokens = self._crossed(state.decisions, tokens, self._winner(state, chance.second), raw, chance)
        return self._mutated(state.decisions, tokens, raw, chance)

    def _winner(self, state: EvolutionState, chance: Float[Array, " S"]) -> Int[Array, " T"]:
        """The tokens of the best of a tournament."""
        drawn = scaled(chance, self.population)
        return state.tokens[drawn[state.rewards[drawn].argmax()]]

    def _crossed(self, decisions: Decisions, one, other, raw, chance: Chance) -> Int[Array, " T"]:
        """Each token from one of two or, where one alone has it, from that; absent also where neither has it."""
        mine = (chance.which < 0.5) | (chance.crossed >= self.crossover)
        mixed = jnp.where(mine, jnp.where(one < 0, other, one), jnp.where(other < 0, one, other))
        present = decisions.without_absent(jnp.where(mixed < 0, raw, mixed)[None])[0] >= 0
        return jnp.where(present, mixed, ABSENT)

    def _mutated(self, decisions: Decisions, tokens, raw, chance: Chance) -> Int[Array, " T"]:
        """One of the decisions present takes another value; no decision with one value alone is ever chosen."""
        weights = np.ones(len(decisions)) if self.weights is None else np.array(self.weights)
        weights = np.float32(weights / weights.sum() + 1e-30)  # so that of zeros alone one can be chosen
        bounds = jnp.cumsum(jnp.where((tokens >= 0) & (decisions.sizes > 1), weights, 0))
        column = (bounds <= chance.column * bounds[-1]).sum()  # past the last one, where nothing can be mutated
        size = jnp.asarray(decisions.sizes)[column]
        value = (tokens[column] + 1 + scaled(chance.value[0], size - 1)) % size
        if decisions.ordinal.any():
            level = stepped(tokens[column], size, chance.value[0])
            value = jnp.where(jnp.asarray(decisions.ordinal)[column], level, value)
        return jnp.where(jnp.arange(len(decisions)) == column, value, jnp.where(tokens < 0, raw, tokens))
