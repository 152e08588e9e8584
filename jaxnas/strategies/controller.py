"""The controller: an LSTM that writes an architecture token by token.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.2 and 4.1
    (https://arxiv.org/abs/1611.01578).

Letters: T decisions, D kinds of decision, V the greatest number of values of a decision, U units.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxnas.decisions import ABSENT, Decisions


class Walk(NamedTuple):
    """One architecture as the controller sees it.

    tokens: ``[T]``, -1 where absent; log_prob: natural logarithm of its probability, ``[]``; entropy: of the
    distributions met on the way, summed, in nats, ``[]``. Absent decisions add nothing to either.
    """

    tokens: Int[Array, " T"]
    log_prob: Float[Array, ""]
    entropy: Float[Array, ""]


class Controller(nnx.Module):
    """LSTM layers; the embedded last decision goes in, a softmax over the next one's values comes out.

    Decisions of one kind share their embedding and their softmax. All weights start uniform in [-scale, scale].

    Args:
        decisions: what is to be decided.
        units: of each LSTM layer, and numbers in an embedding.
        layers: how many LSTM layers.
        scale: bound of the initial weights.
        rngs: its ``params`` stream is consumed.
    """

    def __init__(self, decisions: Decisions, *, units: int, layers: int, scale: float, rngs: nnx.Rngs):
        uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -scale, scale)
        initial = {"kernel_init": uniform, "recurrent_kernel_init": uniform, "bias_init": uniform}
        kinds, values = len(decisions.kinds), int(decisions.sizes.max())
        self.decisions, self.units = decisions, units
        self.cells = nnx.List([nnx.LSTMCell(units, units, **initial, rngs=rngs) for _ in range(layers)])
        self.first_input = nnx.Param(uniform(rngs.params(), (units,)))
        self.embeddings = nnx.Param(uniform(rngs.params(), (kinds, values, units)))
        self.softmax = nnx.Param(uniform(rngs.params(), (kinds, units, values)))
        self.softmax_bias = nnx.Param(uniform(rngs.params(), (kinds, values)))

    def sample(self, key: jax.Array) -> Walk:
        """One architecture drawn from the policy; ``key`` is consumed."""
        keys = jax.random.split(key, len(self.decisions))
        return self._walk(keys, lambda logits, key: jax.random.categorical(key, logits))

    def score(self, tokens: Int[Array | np.ndarray, " T"]) -> Walk:
        """A given architecture."""
        return self._walk(tokens, lambda logits, token: token)

    def most_likely(self) -> Walk:
        """The greatest probability at each decision in turn."""
        return self._walk(jnp.zeros(len(self.decisions)), lambda logits, _: logits.argmax())

    def _walk(self, given: Array | np.ndarray, choose: Callable[[Array, Array], Array]) -> Walk:
        """Decide T times: ``choose(logits [V], given[t])`` is the token. The one scan behind all three."""
        d = self.decisions
        steps = (given, jnp.arange(len(d)), jnp.asarray(d.kind_index), jnp.asarray(d.sizes), jnp.asarray(d.needs))

        def decide(carry, step):
            memory, x, tokens = carry
            given, t, kind, size, needs = step
            moved, logits = self._advance(memory, x, kind, size)
            token = choose(logits, given)
            present = (token >= 0) & ((needs[0] < 0) | (tokens[needs[0]] >= needs[1]))
            token = jnp.where(present, token, ABSENT).astype(jnp.int32)
            log_p = jax.nn.log_softmax(logits)
            gain = jnp.where(present, log_p[token], 0.0), jnp.where(present, -(jnp.exp(log_p) * log_p).sum(), 0.0)
            state = moved, self.embeddings[...][kind, token]
            state = jax.tree.map(lambda new, old: jnp.where(present, new, old), state, (memory, x))
            return (*state, tokens.at[t].set(token)), gain

        nothing = tuple((jnp.zeros(self.units), jnp.zeros(self.units)) for _ in self.cells)
        start = nothing, self.first_input[...], jnp.full(len(d), ABSENT, jnp.int32)
        (_, _, tokens), (log_probs, entropies) = jax.lax.scan(decide, start, steps)
        return Walk(tokens, log_probs.sum(), entropies.sum())

    def _advance(self, memory, x: Float[Array, " U"], kind, size):
        """One step of the LSTM layers: the new memory, and logits ``[V]``, hugely negative past the kind's values."""
        moved = []
        for cell, carry in zip(self.cells, memory, strict=True):
            carry, x = cell(carry, x)
            moved.append(carry)
        logits = x @ self.softmax[...][kind] + self.softmax_bias[...][kind]
        return tuple(moved), jnp.where(jnp.arange(logits.shape[0]) < size, logits, -1e9)
