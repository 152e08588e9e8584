"""The controller: an LSTM that writes an architecture token by token.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.2, 3.3 and 4.1
    (https://arxiv.org/abs/1611.01578); for ordinals: Salimans et al., PixelCNN++, 2017, section 2.1
    (https://arxiv.org/abs/1701.05517).

Letters: T columns of tokens, M decisions, A anchors, D kinds of choice, V the greatest number of values of a decision,
U units.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxnas.decisions import ABSENT, Anchor, Choice, Conditions, Decisions, Ordinal
from jaxnas.strategies.levels import FAR, log_masses

Chooser = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(number of a decision, logits ``[V]``, logits of its links ``[A]``) -> its token, or an anchor's bits ``[A]``."""


class Step(NamedTuple):
    """The decisions as arrays, ``[M]`` each: number; of a choice, row of its kind in embedding and softmax; of an
    ordinal, row of its kind in those of ordinals, else -1; number of values; its first column; its number among the
    anchors, -1 for others; when it exists.
    """

    number: np.ndarray
    kind: np.ndarray
    level: np.ndarray
    size: np.ndarray
    column: np.ndarray
    anchor: np.ndarray
    when: Conditions


def _steps(decisions: Decisions) -> Step:
    kinds, levels = _kinds(decisions, Choice), _kinds(decisions, Ordinal)
    rows, column, anchor = [], 0, 0
    for number, decision in enumerate(decisions.made):
        if isinstance(decision, Anchor):
            rows.append((number, 0, -1, 1, column, anchor))
            column, anchor = column + anchor, anchor + 1
        else:
            ordinal = isinstance(decision, Ordinal)
            place = (0, levels.index(decision.kind)) if ordinal else (kinds.index(decision.kind), -1)
            rows.append((number, *place, decision.size, column, -1))
            column += 1
    numbers = (np.array(field, np.int32) for field in zip(*rows, strict=True))
    return Step(*numbers, when=decisions.conditions(decisions.made))


def _kinds(decisions: Decisions, of: type[Choice | Ordinal]) -> tuple[str, ...]:
    """Of choices, or of ordinals, in order of first appearance."""
    return tuple(dict.fromkeys(d.kind for d in decisions.made if isinstance(d, of)))


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

    Choices of one kind share their embedding and their softmax. Of an ordinal, mean and scale of a discretised logistic
    come out (`log_masses`), and what goes in after it is a vector times its level's share of the range, plus another
    vector; ordinals of one kind share them. An anchor points to the earlier one j with probability
    sigmoid(v . tanh(W_prev h_j + W_curr h)), h the last LSTM layer's state at an anchor (section 3.3); what goes in
    after it is the sum of the h_j that it points to, divided by one more than their number (the paper does not say;
    so in the code of ENAS, https://arxiv.org/abs/1802.03268). All weights start uniform in [-scale, scale].

    Args:
        decisions: what is to be decided.
        units: of each LSTM layer, and numbers in an embedding.
        layers: how many LSTM layers.
        scale: bound of the initial weights.
        rngs: its ``params`` stream is consumed.
        place_bias: whether what comes out has also a bias for each place, not only for each kind.
    """

    def __init__(
        self, decisions: Decisions, *, units: int, layers: int, scale: float, rngs: nnx.Rngs, place_bias: bool = False
    ):
        uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -scale, scale)
        initial = {"kernel_init": uniform, "recurrent_kernel_init": uniform, "bias_init": uniform}
        values = int(decisions.sizes[~decisions.ordinal].max(initial=1))
        levels = len(_kinds(decisions, Ordinal))
        kinds = len(_kinds(decisions, Choice)) or min(1, levels)  # an array of no rows cannot be read
        self.decisions, self.units, self.anchors = decisions, units, decisions.anchors
        self.cells = nnx.List([nnx.LSTMCell(units, units, **initial, rngs=rngs) for _ in range(layers)])
        self.first_input = nnx.Param(uniform(rngs.params(), (units,)))
        self.embeddings = nnx.Param(uniform(rngs.params(), (kinds, values, units)))
        self.softmax = nnx.Param(uniform(rngs.params(), (kinds, units, values)))
        self.softmax_bias = nnx.Param(uniform(rngs.params(), (kinds, values)))
        if self.anchors:
            self.w_prev = nnx.Param(uniform(rngs.params(), (units, units)))
            self.w_curr = nnx.Param(uniform(rngs.params(), (units, units)))
            self.v = nnx.Param(uniform(rngs.params(), (units,)))
        self.levels = nnx.Param(uniform(rngs.params(), (levels, units, 2))) if levels else None
        if levels:
            self.levels_bias = nnx.Param(uniform(rngs.params(), (levels, 2)))
            self.levels_embedding = nnx.Param(uniform(rngs.params(), (levels, 2, units)))
        biased = lambda outputs: nnx.Param(jnp.zeros((len(decisions.made), outputs))) if place_bias else None
        self.place_bias, self.place_levels = biased(values), biased(2) if levels else None

    def sample(self, key: jax.Array) -> Walk:
        """One architecture drawn from the policy; ``key`` is consumed."""
        keys = jax.random.split(key, len(self.decisions.made))
        links = lambda number, logits: jax.random.bernoulli(keys[number], jax.nn.sigmoid(logits))
        return self._walk(lambda n, logits, to: (jax.random.categorical(keys[n], logits), links(n, to)))

    def score(self, tokens: Int[Array | np.ndarray, " T"]) -> Walk:
        """A given architecture."""
        tokens, columns = self._widened(jnp.asarray(tokens, jnp.int32)), jnp.asarray(_steps(self.decisions).column)
        links = lambda number: jax.lax.dynamic_slice(tokens, (columns[number],), (self.anchors,))
        return self._walk(lambda number, logits, to: (tokens[columns[number]], links(number)))

    def most_likely(self) -> Walk:
        """The greatest probability at each decision in turn."""
        return self._walk(lambda number, logits, to: (logits.argmax(), to > 0))

    def _widened(self, tokens: Int[Array, " T"]) -> Int[Array, " more"]:
        """With room behind, so that all of an anchor's links can be read and written at once."""
        return jnp.pad(tokens, (0, max(1, self.anchors)), constant_values=ABSENT)

    def _walk(self, choose: Chooser) -> Walk:
        """Decide M times, as ``choose`` says. The one scan behind all three."""

        def decide(carry, step: Step):
            memory, x, placed, tokens = carry
            moved, top = self._advance(memory, x)
            logits, to = self._logits(top, step), self._links(top, placed)
            token, bits = choose(step.number, logits, to)
            window = jax.lax.dynamic_slice(tokens, (step.column,), (max(1, self.anchors),))
            values, own = self._values(token, bits, step)
            present = step.when.met(tokens)
            present = present & ((values[0] >= 0) | ~own.any())
            window = jnp.where(own, jnp.where(present, values, ABSENT), window)
            gain = jax.tree.map(lambda g: jnp.where(present, g, 0.0), _gain(logits, to, values, own, step.anchor))
            here = (jnp.arange(self.anchors) == step.anchor)[:, None]
            following = moved, self._input(values, own, placed, step), jnp.where(here, top, placed)
            following = jax.tree.map(lambda new, old: jnp.where(present, new, old), following, (memory, x, placed))
            return (*following, jax.lax.dynamic_update_slice(tokens, window, (step.column,))), gain

        nothing = tuple((jnp.zeros(self.units), jnp.zeros(self.units)) for _ in self.cells)
        tokens = self._widened(jnp.full(len(self.decisions), ABSENT, jnp.int32))
        start = nothing, self.first_input[...], jnp.zeros((self.anchors, self.units)), tokens
        (*_, tokens), gains = jax.lax.scan(decide, start, jax.tree.map(jnp.asarray, _steps(self.decisions)))
        log_probs, entropies = gains
        return Walk(tokens[: len(self.decisions)], log_probs.sum(), entropies.sum())

    def _advance(self, memory, x: Float[Array, " U"]):
        """One step of the LSTM layers: the new memory, and what the last of them puts out."""
        moved = []
        for cell, carry in zip(self.cells, memory, strict=True):
            carry, x = cell(carry, x)
            moved.append(carry)
        return tuple(moved), x

    def _logits(self, top: Float[Array, " U"], step: Step) -> Float[Array, " V"]:
        """Of a decision's values; hugely negative past them."""
        logits = top @ self.softmax[...][step.kind] + self.softmax_bias[...][step.kind]
        if self.place_bias is not None:
            logits = logits + self.place_bias[...][step.number]
        logits = jnp.where(jnp.arange(logits.shape[0]) < step.size, logits, FAR)
        return logits if self.levels is None else self._or_levels(logits, top, step)

    def _or_levels(self, logits: Float[Array, " C"], top: Float[Array, " U"], step: Step) -> Float[Array, " V"]:
        """A choice's, or an ordinal's log-probabilities."""
        raw = top @ self.levels[...][step.level] + self.levels_bias[...][step.level]
        if self.place_levels is not None:
            raw = raw + self.place_levels[...][step.number]
        most = int(self.decisions.sizes.max())
        padded = jnp.pad(logits, (0, most - len(logits)), constant_values=FAR)
        return jnp.where(step.level < 0, padded, log_masses(raw, step.size, most))

    def _links(self, top: Float[Array, " U"], placed: Float[Array, "A U"]) -> Float[Array, " A"]:
        """The logit of pointing to each anchor (section 3.3)."""
        return jnp.tanh(placed @ self.w_prev[...] + top @ self.w_curr[...]) @ self.v[...] if self.anchors else top[:0]

    def _values(self, token: Array, bits: Array, step: Step):
        """What a decision writes from its column on, and where in that window."""
        places = jnp.arange(max(1, self.anchors))
        if not self.anchors:
            return jnp.asarray(token, jnp.int32)[None], places == 0
        choice = step.anchor < 0
        values = jnp.where(choice, jnp.asarray(token, jnp.int32), bits.astype(jnp.int32))
        return values, jnp.where(choice, places == 0, places < step.anchor)

    def _input(self, values, own, placed: Float[Array, "A U"], step: Step) -> Float[Array, " U"]:
        """What goes into the LSTM after a decision."""
        embedded = self._embedded(values[0], step)
        if not self.anchors:
            return embedded
        chosen = ((values > 0) & own).astype(jnp.float32)  # of absent links, too: nothing may divide by zero
        return jnp.where(step.anchor < 0, embedded, chosen @ placed / (1 + chosen.sum()))

    def _embedded(self, token: Int[Array, ""], step: Step) -> Float[Array, " U"]:
        """Of a choice's value a row, of an ordinal's level a point on a line."""
        if self.levels is None:
            return self.embeddings[...][step.kind, token]
        slope, offset = self.levels_embedding[...][step.level]
        along = token / jnp.maximum(step.size - 1, 1) * slope + offset
        return jnp.where(step.level < 0, self.embeddings[...][step.kind, jnp.where(step.level < 0, token, 0)], along)


def _gain(logits, to, values, own, anchor) -> tuple[Array, Array]:
    """Log-probability and entropy of one decision."""
    log_p = jax.nn.log_softmax(logits)
    chosen, spread = log_p[values[0]], -(jnp.exp(log_p) * log_p).sum()
    if not len(to):
        return chosen, spread
    yes, no = jax.nn.log_sigmoid(to), jax.nn.log_sigmoid(-to)
    linked = jnp.where(own, jnp.where(values > 0, yes, no), 0.0).sum()
    unsure = -jnp.where(own, jnp.exp(yes) * yes + jnp.exp(no) * no, 0.0).sum()
    return jnp.where(anchor < 0, chosen, linked), jnp.where(anchor < 0, spread, unsure)
