"""What policy gradients share: settings, state, baseline, step, and the rule that a round without advantage is none.

Letters: N samples, T decisions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Share, Weight
from jaxnas.settings import settings
from jaxnas.strategies.policy import Policy, PolicyLayers, Scale, Units

ROUNDING = 4 * 2.0**-24
"""Of float32: four units in the last place of a number's half."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["parameters", "optimiser", "baseline", "rounds"],
    meta_fields=["decisions"],
)
@dataclass(frozen=True)
class PolicyState:
    """What a policy gradient knows. parameters: an `nnx.State`; optimiser: optax's state; baseline: a moving average of
    rewards, float32 ``[]``; rounds: so many, int32 ``[]``.
    """

    parameters: Any
    optimiser: Any
    baseline: Any
    rounds: Any
    decisions: Decisions


@settings
class PolicyGradient(ABC):
    """A strategy that moves a policy along gradients; how, says `_learn`.

    Attributes:
        learning_rate: of Adam.
        baseline_decay: what the moving average of rewards, the baseline, keeps of its old value at a round.
        entropy_weight: weight of the policy's entropy (nats, summed over decisions) as a bonus; 0: none.
        policy: "lstm" or "table", as in `Policy`; so are the next four.
        units: of each LSTM layer.
        layers: LSTM layers.
        scale: the controller's weights start uniform in [-scale, scale].
        place_bias: a bias for each place, too.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: LearningRate = 6e-4
    baseline_decay: Share = 0.95
    entropy_weight: Weight = 0.0
    policy: Literal["lstm", "table"] = "lstm"
    units: Units = 35
    layers: PolicyLayers = 2
    scale: Scale = 0.08
    place_bias: bool = False

    def init(self, decisions: Decisions, key: jax.Array) -> PolicyState:
        """A fresh policy; ``key`` is consumed."""
        parameters = self._policy.fresh(decisions, key)
        return PolicyState(parameters, self._adam.init(parameters), jnp.float32(0), jnp.int32(0), decisions)

    def propose(self, state: PolicyState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n architectures sampled from the policy; ``key`` is consumed."""
        return self._policy.sample(state.decisions, state.parameters, key, n).tokens

    def update(self, state: PolicyState, tokens: Tokens, rewards: Rewards):
        """What `_learn` makes of advantages R_k - b, b the moving average.

        Where no advantage is more than rounding and there is no entropy bonus, policy and optimiser stay as they are,
        and the average alone moves. Metrics: "mean reward", "baseline" (the one subtracted), and those of `_learn`.
        """
        chex.assert_equal_shape_prefix([tokens, rewards], 1)
        rewards = jnp.asarray(rewards, jnp.float32)
        baseline, average = self._baseline(state, rewards.mean())
        advantage = self._advantages(rewards, baseline)
        old = state.parameters, state.optimiser
        new, figures = self._learn(state, tokens, advantage)
        acts = (advantage != 0).any() | (self.entropy_weight > 0)
        metrics = {"mean reward": rewards.mean(), "baseline": baseline, **figures}
        return PolicyState(*stepped(acts, new, old), average, state.rounds + 1, state.decisions), metrics

    def log_prob(self, state: PolicyState, tokens: Tokens) -> Float[Array, " N"]:
        """Natural logarithm of the policy's probability of each sample."""
        return self._policy.score(state.decisions, state.parameters, tokens).log_prob

    def most_likely(self, state: PolicyState) -> Int[Array, " T"]:
        """The architecture that the policy prefers, decision by decision."""
        return self._policy.with_parameters(state.decisions, state.parameters).most_likely().tokens

    @abstractmethod
    def _learn(self, state: PolicyState, tokens: Tokens, advantage: Float[Array, " N"]) -> tuple[tuple, dict]:
        """Parameters and optimiser after a round, by `_step`; and figures about it: "entropy" (of the policy before,
        mean over samples, nats) and the strategy's own.
        """

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    @property
    def _policy(self) -> Policy:
        return Policy(self.policy, self.units, self.layers, self.scale, self.place_bias)

    def _baseline(self, state: PolicyState, mean: Float[Array, ""]) -> tuple[Array, Array]:
        """What to subtract in this round, and the average to keep: one of equal numbers is that number, bit for bit.

        It is the average of the rounds before. Of those there are none in the first one, whose own mean stands in.
        """
        baseline = jnp.where(state.rounds == 0, mean, state.baseline)
        return baseline, baseline + (1 - self.baseline_decay) * (mean - baseline)

    def _advantages(self, rewards: Float[Array, " N"], baseline: Float[Array, ""]) -> Float[Array, " N"]:
        return advantages(rewards, baseline)

    def _step(self, learnt: tuple, loss: Callable) -> tuple[tuple, Any]:
        """One step of Adam: (parameters, optimiser) after it, and what ``loss`` gives beside its value."""
        parameters, optimiser = learnt
        gradient, beside = jax.grad(loss, has_aux=True)(parameters)
        steps, optimiser = self._adam.update(gradient, optimiser, parameters)
        return (optax.apply_updates(parameters, steps), optimiser), beside


def advantages(rewards: Float[Array, " N"], baseline: Float[Array, ""]) -> Float[Array, " N"]:
    """R_k - b, and exactly 0 for all where none is more than rounding: `ROUNDING` times the greatest of |R_k| and |b|.

    float32 has 24 bits, and the mean of equal numbers may miss them by the last few.
    """
    difference = rewards - baseline
    scale = jnp.maximum(jnp.abs(rewards).max(), jnp.abs(baseline))
    return jnp.where((jnp.abs(difference) > ROUNDING * scale).any(), difference, 0.0)


def normalised(advantage: Float[Array, " N"], rewards: Float[Array, " N"]) -> Float[Array, " N"]:
    """Advantages divided by the standard deviation of the rewards, but by nothing smaller than the distance of their
    mean from the baseline. Of equal rewards they are 0; that of a single sample stays.
    """
    if len(rewards) == 1:
        return advantage
    differ = rewards.max() - rewards.min() > ROUNDING * jnp.abs(rewards).max()
    divisor = jnp.maximum(rewards.std(), jnp.abs(advantage.mean()))
    return jnp.where(differ, advantage / jnp.where(differ, divisor, 1.0), 0.0)


def stepped(acts: Array, new, old):
    """The new tree where ``acts``, else the old one bit for bit: no advantage and no bonus, no step, so that Adam's
    moments do not move a policy which nothing has been said of.
    """
    return jax.tree.map(lambda a, b: jnp.where(acts, a, b), new, old)
