"""REINFORCE: policy gradient over an LSTM controller, with an exponential moving average as the baseline.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.2
    (https://arxiv.org/abs/1611.01578); Williams, Simple Statistical Gradient-Following Algorithms, 1992.

Letters: N samples (the paper's m), T decisions.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.strategies.controller import Controller, Walk


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["parameters", "optimiser", "baseline", "rounds"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class ReinforceState:
    """parameters: an `nnx.State`; optimiser: optax's state; baseline: float32 ``[]``; rounds: int32 ``[]``."""

    parameters: Any
    optimiser: Any
    baseline: Any
    rounds: Any
    decisions: Decisions


@dataclass(frozen=True)
class Reinforce:
    """The strategy of Zoph & Le; the defaults are theirs, where the paper gives them.

    Attributes:
        learning_rate: of Adam.
        baseline_decay: what the moving average keeps of its old value at a round.
        entropy_weight: weight of the policy's entropy (nats, summed over decisions) as a bonus; 0: none.
        units: of each LSTM layer.
        layers: LSTM layers.
        scale: the controller's weights start uniform in [-scale, scale].

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: float = 6e-4
    baseline_decay: float = 0.95
    entropy_weight: float = 0.0
    units: int = 35
    layers: int = 2
    scale: float = 0.08

    def __post_init__(self):
        if not 0 <= self.baseline_decay < 1:
            raise ValueError(f"baseline_decay={self.baseline_decay}: give a number from 0 up to, but not including, 1")
        for name in ("learning_rate", "units", "layers", "scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: give a positive number")
        if self.entropy_weight < 0:
            raise ValueError(f"entropy_weight={self.entropy_weight}: give 0 or more")

    def init(self, decisions: Decisions, key: jax.Array) -> ReinforceState:
        """A fresh controller; ``key`` is consumed."""
        parameters = nnx.state(self._controller(decisions, key), nnx.Param)
        return ReinforceState(parameters, self._adam.init(parameters), jnp.float32(0), jnp.int32(0), decisions)

    def propose(self, state: ReinforceState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n architectures sampled from the policy; ``key`` is consumed."""
        controller = self._restore(state, state.parameters)
        return jax.vmap(lambda k: controller.sample(k).tokens)(jax.random.split(key, n))

    def update(self, state: ReinforceState, tokens: Tokens, rewards: Rewards):
        """One ascent along mean_k [grad log P(tokens_k) (R_k - b)], b the average of *earlier* rewards (equation 4).

        In the first round there are none, and its own mean reward stands in. Metrics: "mean reward", "baseline" (the
        one subtracted), "entropy" (of the policy before the step, mean over samples, nats).
        """
        chex.assert_equal_shape_prefix([tokens, rewards], 1)
        rewards = rewards.astype(jnp.float32)
        baseline = jnp.where(state.rounds == 0, rewards.mean(), state.baseline)

        def loss(parameters):
            walks = self._score(state, parameters, tokens)
            gain = (walks.log_prob * (rewards - baseline)).mean()
            return -gain - self.entropy_weight * walks.entropy.mean(), walks.entropy.mean()

        gradient, entropy = jax.grad(loss, has_aux=True)(state.parameters)
        steps, optimiser = self._adam.update(gradient, state.optimiser, state.parameters)
        parameters = optax.apply_updates(state.parameters, steps)
        moved = self.baseline_decay * baseline + (1 - self.baseline_decay) * rewards.mean()
        metrics = {"mean reward": rewards.mean(), "baseline": baseline, "entropy": entropy}
        return ReinforceState(parameters, optimiser, moved, state.rounds + 1, state.decisions), metrics

    def log_prob(self, state: ReinforceState, tokens: Tokens) -> Float[Array, " N"]:
        """Natural logarithm of the policy's probability of each sample."""
        return self._score(state, state.parameters, tokens).log_prob

    def most_likely(self, state: ReinforceState) -> Int[Array, " T"]:
        """The architecture that the policy prefers, decision by decision."""
        return self._restore(state, state.parameters).most_likely().tokens

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    def _controller(self, decisions: Decisions, key: jax.Array) -> Controller:
        return Controller(decisions, units=self.units, layers=self.layers, scale=self.scale, rngs=nnx.Rngs(params=key))

    def _restore(self, state: ReinforceState, parameters: nnx.State) -> Controller:
        graph = nnx.graphdef(nnx.eval_shape(lambda: self._controller(state.decisions, jax.random.key(0))))
        return nnx.merge(graph, parameters)

    def _score(self, state: ReinforceState, parameters: nnx.State, tokens: Tokens) -> Walk:
        """`Walk` with a leading axis N."""
        return jax.vmap(self._restore(state, parameters).score)(tokens)
