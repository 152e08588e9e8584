"""A network's variables as the arrays that are kept of it.

Letters: P parameters, S statistics.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from jaxnas.rng import key_for


class Kept(NamedTuple):
    """All variables of a network but its streams of random numbers.

    Parameters ``[P]`` and statistics ``[S]`` lie in one row each: an optimiser step is then one operation, not one for
    each of the network's arrays, which a third of the time of a small child went into, and half of the compilation.
    ``others``: variables of any other type, as the network has them.
    """

    parameters: Float[Array, " P"]
    statistics: Float[Array, " S"]
    others: Any


class Variables:
    """Takes networks of one kind apart, and puts them together.

    Args:
        abstract: one of them, or its shapes (`nnx.eval_shape`).

    Raises:
        ValueError: a random key that is in no `nnx.Rngs`.
    """

    def __init__(self, abstract: nnx.Module):
        self.graph, *states = nnx.split(abstract, nnx.Param, nnx.BatchStat, nnx.RngState, ...)
        self.streams, self.others = states[2], states[3]
        self._forms = [jax.tree.structure(state) for state in states]
        if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(self.others)):
            raise ValueError(
                f"{type(abstract).__name__} keeps a random key in a variable of its own: keep it in nnx.Rngs, whose "
                "streams are seeded at each step, or draw from the key that the network is called with"
            )
        self._parameters, self._statistics = unravel(states[0]), unravel(states[1])

    def apart(self, network: nnx.Module) -> Kept:
        """What is kept.

        Raises:
            ValueError: the network has made or lost variables.
        """
        nnx.pop(network, nnx.Intermediate)
        _, *states = nnx.split(network, nnx.Param, nnx.BatchStat, nnx.RngState, ...)
        if [jax.tree.structure(state) for state in states] != self._forms:
            raise ValueError(
                f"{type(network).__name__} had other variables after a call than before: make every variable in "
                "__init__, so that a step leaves what the next one finds"
            )
        parameters, statistics, _, others = states
        return Kept(ravel_pytree(parameters)[0], ravel_pytree(statistics)[0], others)

    def together(self, kept: Kept, key: Array) -> nnx.Module:
        """The network with these in it; ``key`` seeds its streams of random numbers (it is consumed if it has any)."""
        parts = self._parameters(kept.parameters), self._statistics(kept.statistics), self._seeded(key), kept.others
        return nnx.merge(self.graph, *parts, copy=True)  # or it would change variables of an outer trace

    def _seeded(self, key: Array) -> nnx.State:
        """All streams at their beginning, each from a key of its own."""
        leaves, form = jax.tree.flatten(self.streams)

        def seeded(number: int, leaf) -> Array:
            if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jnp.zeros(leaf.shape, leaf.dtype)  # how many numbers were drawn
            own = key_for(key, "stream", number)
            return jax.random.split(own, leaf.shape) if leaf.shape else own

        return jax.tree.unflatten(form, [seeded(number, leaf) for number, leaf in enumerate(leaves)])


def unravel(tree: Any) -> Callable:
    """The function that takes one row of numbers apart into arrays of the tree's shapes."""
    found = []

    def ravel(tree):
        row, back = ravel_pytree(tree)
        found.append(back)
        return row

    jax.eval_shape(ravel, tree)
    return found[0]
