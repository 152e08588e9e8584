"""PPO: proximal policy optimisation over the same policies as REINFORCE, with a clipped surrogate objective.

References:
    Schulman et al., Proximal Policy Optimization Algorithms, 2017, section 3 (https://arxiv.org/abs/1707.06347);
    for architectures: Zoph et al., Learning Transferable Architectures, 2018, appendix A.2
    (https://arxiv.org/abs/1707.07012).

Letters: N samples, T decisions, M remembered samples.
"""

from typing import Annotated, Literal

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Range, Share, Weight
from jaxnas.settings import settings
from jaxnas.strategies.policy import ROUNDING, Policy, PolicyLayers, PolicyState, Scale, Units, advantages, stepped


@settings
class PPO:
    """Several steps a round along the clipped surrogate; an architecture is one action, its baseline a moving average.

    There is no value head: an episode begins in one and the same state, so that its value is a single number, which
    the moving average estimates.

    Attributes:
        learning_rate: of Adam.
        epochs: steps on the samples of one round.
        clip: the ratio of new to old probability counts only within [1 - clip, 1 + clip].
        baseline_decay: what the moving average of earlier rounds' rewards keeps of its old value at a round.
        normalise: divide a round's advantages by the standard deviation of its rewards, but by nothing smaller than
            the distance of their mean from the baseline (rounds of more than one sample). Of equal rewards they are 0.
        entropy_weight: weight of the policy's entropy (nats, summed over decisions) as a bonus.
        policy: "lstm" or "table", as in `Policy`; so are the next four.
        units: of each LSTM layer.
        layers: LSTM layers.
        scale: the controller's weights start uniform in [-scale, scale].
        place_bias: a bias for each place, too.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: LearningRate = 6e-4
    epochs: Annotated[int, Range(1, 10_000)] = 4
    clip: Annotated[float, Range(0, 1e6, "(]")] = 0.2
    baseline_decay: Share = 0.95
    normalise: bool = False
    entropy_weight: Weight = 0.01
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
        """So many ascents along mean_k min(ratio_k A_k, clipped ratio_k A_k) + entropy (equation 7), A_k = R_k - b.

        Where no advantage is more than rounding and there is no entropy bonus, policy and optimiser stay as they are.
        Metrics: "mean reward", "baseline" (the one subtracted), "entropy" (of the policy before, mean over samples,
        nats), "clipped" (the share of ratios outside the bounds at the last step).
        """
        chex.assert_equal_shape_prefix([tokens, rewards], 1)
        rewards = jnp.asarray(rewards, jnp.float32)
        baseline = jnp.where(state.rounds == 0, rewards.mean(), state.baseline)
        advantage = self._advantage(rewards, baseline)
        before = self._policy.score(state.decisions, state.parameters, tokens)

        def loss(parameters):
            walks = self._policy.score(state.decisions, parameters, tokens)
            gain, outside = self._surrogate(walks.log_prob - before.log_prob, advantage)
            return -gain - self.entropy_weight * walks.entropy.mean(), outside

        def step(carry, _):
            gradient, outside = jax.grad(loss, has_aux=True)(carry[0])
            steps, optimiser = self._adam.update(gradient, carry[1], carry[0])
            return (optax.apply_updates(carry[0], steps), optimiser), outside

        (parameters, optimiser), outside = jax.lax.scan(step, (state.parameters, state.optimiser), length=self.epochs)
        acts = (advantage != 0).any() | (self.entropy_weight > 0)
        parameters, optimiser = stepped(acts, (parameters, optimiser), (state.parameters, state.optimiser))
        moved = baseline + (1 - self.baseline_decay) * (rewards.mean() - baseline)
        metrics = {"mean reward": rewards.mean(), "baseline": baseline, "entropy": before.entropy.mean()}
        metrics["clipped"] = outside[-1]
        return PolicyState(parameters, optimiser, moved, state.rounds + 1, state.decisions), metrics

    def log_prob(self, state: PolicyState, tokens: Tokens) -> Float[Array, " N"]:
        """Natural logarithm of the policy's probability of each sample."""
        return self._policy.score(state.decisions, state.parameters, tokens).log_prob

    def most_likely(self, state: PolicyState) -> Int[Array, " T"]:
        """The architecture that the policy prefers, decision by decision."""
        return self._policy.with_parameters(state.decisions, state.parameters).most_likely().tokens

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    @property
    def _policy(self) -> Policy:
        return Policy(self.policy, self.units, self.layers, self.scale, self.place_bias)

    def _advantage(self, rewards: Float[Array, " N"], baseline: Float[Array, ""]) -> Float[Array, " N"]:
        advantage = advantages(rewards, baseline)
        if not self.normalise or len(rewards) == 1:
            return advantage
        differ = rewards.max() - rewards.min() > ROUNDING * jnp.abs(rewards).max()
        divisor = jnp.maximum(rewards.std(), jnp.abs(advantage.mean()))
        return jnp.where(differ, advantage / jnp.where(differ, divisor, 1.0), 0.0)

    def _surrogate(self, log_ratio: Float[Array, " N"], advantage: Float[Array, " N"]) -> tuple[Array, Array]:
        """The clipped objective, and the share of ratios outside the bounds."""
        ratio = jnp.exp(log_ratio)
        kept = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        return jnp.minimum(ratio * advantage, kept * advantage).mean(), (ratio != kept).mean()
