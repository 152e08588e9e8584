"""Whole searches on the device: propose, look up, update, again and again in one program, for many seeds at once.

The trials are those that `search` makes of the same seed with a `Table` evaluator, up to the order of float sums.

Letters: S seeds, B seeds of a block, N children a round, K rounds at most, M trials at most.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxnas.evaluators import mesh
from jaxnas.rng import key_for
from jaxnas.strategies import is_jittable
from jaxnas.tables import Records, address

MARGIN = 1 + 1e-4
"""The device spends so much of the budget: it adds costs in float32. Where a search ends is found in float64 later."""
LARGEST = 2**28
"""Trials of all seeds together, at most: 1 GiB of rows."""
ROUNDS = 64
"""Bounds on the rounds are multiples of this, so that tables with similar bounds share a program."""


class Lookup(NamedTuple):
    """A table on the device: row at each address, reward and seconds of each row, seconds to spend."""

    addresses: Array
    reward: Array
    seconds: Array
    budget: Array


@dataclass(frozen=True)
class Searches:
    """Whole searches of one strategy on one table.

    Attributes:
        rows: the trials as rows of the table, in order, -1 after the end, ``[S, M]``.
        trials: how many each search made, ``[S]``.
        spent: the sum of the seconds after each trial, ``[S, M]``; it stays after the end.
    """

    rows: Int[np.ndarray, "S M"]
    trials: Int[np.ndarray, " S"]
    spent: Float[np.ndarray, "S M"]


class CompiledSearch:
    """Searches of one strategy; tables of one space with as many rows share what is compiled.

    Args:
        strategy: any; one that says ``jittable = False`` runs seed after seed on the host.
        children: of one round.
        block: seeds that run side by side on one device: few where a state is large, so that it stays in the cache.
    """

    def __init__(self, strategy, children: int = 1, block: int = 256):
        self.strategy, self.children, self.block = strategy, children, block
        # two devices' programs that wait for tasks in one pool of threads may wait for ever
        options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else None
        self._program = jax.jit(self._on_devices, static_argnames=("decisions", "rounds"), compiler_options=options)

    def run(self, known: Records, budget: float, seeds: Sequence[int]) -> Searches:
        """Search until the sum of the trials' seconds reaches the budget; the trial that reaches it counts.

        A child that failed gives the table's floor, see `jaxnas.tables.Records.floor`: among accuracies 0.

        Raises:
            ValueError: the strategy proposed an architecture that the table does not hold, or the budget pays for more
                trials than memory holds.
        """
        most = math.ceil(budget * MARGIN / known.seconds.min() / self.children) + 1
        if most * self.children * len(seeds) > LARGEST:
            raise ValueError(
                f"budget={budget:g}: {len(seeds):,} seeds with {most * self.children:,} trials each, of which the "
                f"shortest takes {known.seconds.min():.3g} s, are more than {LARGEST:,} trials: give less"
            )
        search = self._side_by_side if is_jittable(self.strategy) else self._one_by_one
        return _ended(search(known, budget, np.asarray(seeds), math.ceil(most / ROUNDS) * ROUNDS), known, budget)

    def _side_by_side(self, known: Records, budget: float, seeds: np.ndarray, rounds: int) -> np.ndarray:
        devices = len(jax.local_devices())
        block = min(self.block, math.ceil(len(seeds) / devices))
        padded = math.ceil(len(seeds) / (devices * block)) * devices * block
        keys = jax.vmap(partial(jax.random.key, impl="threefry2x32"))(np.resize(seeds, padded))
        table = Lookup(
            known.addresses, np.float32(known.reward), np.float32(known.seconds), np.float32(budget * MARGIN)
        )
        rows = self._program(keys.reshape(-1, block), table, decisions=known.decisions, rounds=rounds)
        return np.asarray(rows).reshape(padded, -1)[: len(seeds)]

    def _on_devices(self, keys: Array, table: Lookup, *, decisions, rounds: int) -> Int[Array, "blocks B M"]:
        """The blocks of a device one after the other; every device has its own."""
        blocks = lambda keys, table: lax.map(lambda block: self._block(block, table, decisions, rounds), keys)
        return mesh.sharded(blocks, mesh.over_children(), 1)(keys, table)

    def _block(self, keys: Array, table: Lookup, decisions, rounds: int) -> Int[Array, "B M"]:
        """Until the last of its searches is at its end; what the others do after theirs is cut off later."""
        strategy, n = self.strategy, self.children
        each = jax.vmap if len(keys) > 1 else _alone

        def step(carry):
            r, states, spent, rows = carry
            tokens = each(lambda key, state: strategy.propose(state, key_for(key, "propose", r), n))(keys, states)
            found = table.addresses[each(partial(address, decisions))(tokens)]
            states, _ = each(strategy.update)(states, tokens, table.reward[found])
            rows = lax.dynamic_update_index_in_dim(rows, found, r, 0)
            return r + 1, states, spent + table.seconds[found].sum(1), rows

        goes_on = lambda carry: (carry[0] < rounds) & (carry[2] < table.budget).any()
        states = each(lambda key: strategy.init(decisions, key_for(key, "strategy")))(keys)
        rows = jnp.full((rounds, len(keys), n), -1, jnp.int32)
        *_, rows = lax.while_loop(goes_on, step, (jnp.int32(0), states, jnp.zeros(len(keys)), rows))
        return rows.transpose(1, 0, 2).reshape(len(keys), -1)

    def _one_by_one(self, known: Records, budget: float, seeds: np.ndarray, rounds: int) -> np.ndarray:
        rows, reward = np.full((len(seeds), rounds, self.children), -1, np.int32), np.float32(known.reward)
        for seed, of_seed in zip(seeds.tolist(), rows, strict=True):
            state, spent = self.strategy.init(known.decisions, key_for(seed, "strategy")), 0.0
            for r in range(rounds):
                tokens = np.asarray(self.strategy.propose(state, key_for(seed, "propose", r), self.children))
                of_seed[r] = found = known.addresses[np.asarray(address(known.decisions, tokens))]
                spent += known.seconds[found].sum()
                if spent >= budget:
                    break
                state, _ = self.strategy.update(state, tokens, reward[found])
        return rows.reshape(len(seeds), -1)


def _alone(fn: Callable) -> Callable:
    """As `jax.vmap` on a leading axis of length 1, but branches stay branches."""
    return lambda *args: jax.tree.map(lambda x: x[None], fn(*jax.tree.map(lambda x: x[0], args)))


def _ended(rows: np.ndarray, known: Records, budget: float) -> Searches:
    """Cut each search after the trial that reaches the budget."""
    spent = np.cumsum(np.where(rows < 0, 0.0, known.seconds[rows]), axis=1)
    inside = np.concatenate([np.ones((len(rows), 1), bool), spent[:, :-1] < budget], axis=1)
    if (rows[inside] < 0).any():
        raise ValueError(
            f"the table holds {len(known.tokens):,} architectures, but a strategy proposed one that is not among them: "
            "whole searches need a row for every architecture of the space"
        )
    trials = inside.sum(1)
    return Searches(
        np.where(inside, rows, -1), trials, np.where(inside, spent, spent[np.arange(len(rows)), trials - 1, None])
    )
