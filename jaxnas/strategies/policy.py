"""Policies: distributions over architectures that gradients train. An LSTM controller, or a table of logits.

Letters: N samples, T columns of tokens, V the greatest number of values of a column.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Tokens
from jaxnas.ranges import Range
from jaxnas.settings import settings
from jaxnas.strategies.controller import Controller, Walk
from jaxnas.strategies.levels import FAR, log_masses


class LogitTable(nnx.Module):
    """Every column decided by itself, whatever the others are; present ones alone count. A choice has a logit for each
    value, an ordinal mean and scale of a discretised logistic (`log_masses`).

    References:
        Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, 2021
        (https://arxiv.org/abs/2009.00437): its REINFORCE.

    Args:
        decisions: what is to be decided.
        scale: standard deviation of the initial numbers.
        rngs: its ``params`` stream is consumed.
    """

    def __init__(self, decisions: Decisions, *, scale: float, rngs: nnx.Rngs):
        ordinals, sizes = int(decisions.ordinal.sum()), decisions.sizes[~decisions.ordinal]
        drawn = lambda *shape: nnx.Param(scale * jax.random.normal(rngs.params(), shape))
        self.decisions = decisions
        self.logits = drawn(len(sizes), int(sizes.max())) if len(sizes) else None
        self.levels = drawn(ordinals, 2) if ordinals else None

    def sample(self, key: jax.Array) -> Walk:
        """One architecture drawn from the policy; ``key`` is consumed."""
        return self._walk(jax.random.categorical(key, self._log_p()))

    def score(self, tokens: Int[Array | np.ndarray, " T"]) -> Walk:
        """A given architecture."""
        return self._walk(jnp.asarray(tokens, jnp.int32))

    def most_likely(self) -> Walk:
        """The greatest probability at each decision."""
        return self._walk(self._log_p().argmax(-1).astype(jnp.int32))

    def _log_p(self) -> Float[Array, "T V"]:
        ordinal, sizes, parts = self.decisions.ordinal, self.decisions.sizes, []
        if self.logits is not None:
            possible = jnp.arange(self.logits.shape[1]) < jnp.asarray(sizes[~ordinal])[:, None]
            of_choices = jax.nn.log_softmax(jnp.where(possible, self.logits[...], FAR))
            parts.append(jnp.pad(of_choices, ((0, 0), (0, sizes.max() - possible.shape[1])), constant_values=FAR))
        if self.levels is not None:
            parts.append(log_masses(self.levels[...], sizes[ordinal], int(sizes.max())))
        order = np.argsort(np.argsort(ordinal, kind="stable"))  # the choices come first
        return jnp.concatenate(parts)[order] if len(parts) > 1 else parts[0]

    def _walk(self, tokens: Int[Array, " T"]) -> Walk:
        tokens, log_p = self.decisions.without_absent(tokens[None])[0], self._log_p()
        chosen = jnp.take_along_axis(log_p, jnp.maximum(tokens, 0)[:, None], axis=1)[:, 0]
        there = lambda values: jnp.where(tokens >= 0, values, 0.0).sum()
        return Walk(tokens, there(chosen), there(-(jnp.exp(log_p) * log_p).sum(-1)))


Units = Annotated[int, Range(1, 1024)]
PolicyLayers = Annotated[int, Range(1, 4)]
Scale = Annotated[float, Range(0, 100, "(]")]


@settings
class Policy:
    """What kind of policy, and how large; the controller's defaults are those of Zoph & Le, 2017, section 4.1.

    Attributes:
        policy: "lstm": the controller; "table": independent logits, which have neither units nor layers.
        units: of each LSTM layer.
        layers: LSTM layers.
        scale: the controller's weights start uniform in [-scale, scale]; logits of the table are drawn with a standard
            deviation of 1e-3.
        place_bias: a learnt bias of its own for every value of every choice, and for mean and scale of every ordinal,
            beside those that decisions of one kind share; the paper has none.
    """

    policy: Literal["lstm", "table"] = "lstm"
    units: Units = 35
    layers: PolicyLayers = 2
    scale: Scale = 0.08
    place_bias: bool = False

    def fresh(self, decisions: Decisions, key: jax.Array) -> nnx.State:
        """Parameters to begin with; ``key`` is consumed."""
        return nnx.state(self._build(decisions, key), nnx.Param)

    def with_parameters(self, decisions: Decisions, parameters: nnx.State) -> Controller | LogitTable:
        """The module, for one use."""
        graph = nnx.graphdef(nnx.eval_shape(lambda: self._build(decisions, jax.random.key(0))))
        return nnx.merge(graph, parameters)

    def sample(self, decisions: Decisions, parameters: nnx.State, key: jax.Array, n: int) -> Walk:
        """n architectures; `Walk` with a leading axis N; ``key`` is consumed."""
        return jax.vmap(self.with_parameters(decisions, parameters).sample)(jax.random.split(key, n))

    def score(self, decisions: Decisions, parameters: nnx.State, tokens: Tokens) -> Walk:
        """Given architectures; `Walk` with a leading axis N."""
        return jax.vmap(self.with_parameters(decisions, parameters).score)(tokens)

    def _build(self, decisions: Decisions, key: jax.Array) -> Controller | LogitTable:
        rngs = nnx.Rngs(params=key)
        if self.policy == "table":
            return LogitTable(decisions, scale=1e-3, rngs=rngs)
        sizes = {"units": self.units, "layers": self.layers, "scale": self.scale}
        return Controller(decisions, **sizes, place_bias=self.place_bias, rngs=rngs)
