"""REINFORCE: policy gradient over an LSTM controller or a table of logits, with an exponential moving average as the
baseline.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.2
    (https://arxiv.org/abs/1611.01578); Williams, Simple Statistical Gradient-Following Algorithms, 1992;
    Dong et al., NATS-Bench, 2021 (https://arxiv.org/abs/2009.00437), for the table and its baseline.

Letters: N samples (the paper's m), T decisions.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Rewards, Tokens
from jaxnas.ranges import LearningRate, Share, Weight
from jaxnas.settings import settings
from jaxnas.strategies.policy import Policy, PolicyLayers, PolicyState, Scale, Units, advantages, stepped


@settings
class Reinforce:
    """The strategy of Zoph & Le; the defaults are theirs, where the paper gives them.

    Attributes:
        learning_rate: of Adam.
        baseline_decay: what the moving average keeps of its old value at a round.
        baseline: what is averaged. "earlier": the rounds before the present one (Zoph & Le, section 3.2); "present":
            the present one too, with Adam's correction of the bias towards 0 (NATS-Bench).
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
    baseline: Literal["earlier", "present"] = "earlier"
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
        """One ascent along mean_k [grad log P(tokens_k) (R_k - b)], b the moving average (equation 4).

        Of "earlier" rounds there are none in the first one, and its own mean reward stands in. Where no advantage is
        more than rounding and there is no entropy bonus, policy and optimiser stay as they are, and the average alone
        moves. Metrics: "mean reward",
        "baseline" (the one subtracted), "entropy" (of the policy before the step, mean over samples, nats).
        """
        chex.assert_equal_shape_prefix([tokens, rewards], 1)
        rewards = jnp.asarray(rewards, jnp.float32)
        baseline, average = self._baseline(state, rewards.mean())
        advantage = advantages(rewards, baseline)

        def loss(parameters):
            walks = self._policy.score(state.decisions, parameters, tokens)
            gain = (walks.log_prob * advantage).mean()
            return -gain - self.entropy_weight * walks.entropy.mean(), walks.entropy.mean()

        gradient, entropy = jax.grad(loss, has_aux=True)(state.parameters)
        steps, optimiser = self._adam.update(gradient, state.optimiser, state.parameters)
        acts = (advantage != 0).any() | (self.entropy_weight > 0)
        parameters = stepped(acts, optax.apply_updates(state.parameters, steps), state.parameters)
        optimiser = stepped(acts, optimiser, state.optimiser)
        metrics = {"mean reward": rewards.mean(), "baseline": baseline, "entropy": entropy}
        return PolicyState(parameters, optimiser, average, state.rounds + 1, state.decisions), metrics

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

    def _baseline(self, state: PolicyState, mean: Float[Array, ""]) -> tuple[Array, Array]:
        """What to subtract in this round, and the average to keep: one of equal numbers is that number, bit for bit."""
        first, step = state.rounds == 0, 1 - self.baseline_decay
        baseline = jnp.where(first, mean, state.baseline)
        if self.baseline == "present":  # Adam's corrected average, without the uncorrected one
            step = step / (1 - self.baseline_decay ** (state.rounds + 1))
            baseline = baseline + step * (mean - baseline)
            return baseline, baseline
        return baseline, baseline + step * (mean - baseline)
