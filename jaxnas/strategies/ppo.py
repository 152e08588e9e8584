"""PPO: proximal policy optimisation over the same policies as REINFORCE, with a clipped surrogate objective.

References:
    Schulman et al., Proximal Policy Optimization Algorithms, 2017, section 3 (https://arxiv.org/abs/1707.06347);
    for architectures: Zoph et al., Learning Transferable Architectures, 2018, appendix A.2
    (https://arxiv.org/abs/1707.07012).

Letters: N samples.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnas.decisions import Tokens
from jaxnas.ranges import Range, Weight
from jaxnas.settings import settings
from jaxnas.strategies.gradient import PolicyGradient, PolicyState, normalised


@settings
class PPO(PolicyGradient):
    """Several steps a round along the clipped surrogate; an architecture is one action, its baseline a moving average
    of the rounds before.

    A round is so many ascents along mean_k min(ratio_k A_k, clipped ratio_k A_k) + entropy (equation 7), A_k = R_k - b.
    There is no value head: an episode begins in one and the same state, so that its value is a single number, which
    the moving average estimates.

    Attributes:
        entropy_weight: as in `PolicyGradient`, as are those that are not named here.
        epochs: steps on the samples of one round.
        clip: the ratio of new to old probability counts only within [1 - clip, 1 + clip].
        normalise: divide a round's advantages by the standard deviation of its rewards, but by nothing smaller than
            the distance of their mean from the baseline (rounds of more than one sample). Of equal rewards they are 0.

    Raises:
        ValueError: a value out of its range.
    """

    entropy_weight: Weight = 0.01
    epochs: Annotated[int, Range(1, 10_000)] = 4
    clip: Annotated[float, Range(0, 1e6, "(]")] = 0.2
    normalise: bool = False

    def _learn(self, state: PolicyState, tokens: Tokens, advantage: Float[Array, " N"]) -> tuple[tuple, dict]:
        """One more figure: "clipped", the share of ratios outside the bounds at the last step."""
        before = self._policy.score(state.decisions, state.parameters, tokens)

        def loss(parameters):
            walks = self._policy.score(state.decisions, parameters, tokens)
            gain, outside = self._surrogate(walks.log_prob - before.log_prob, advantage)
            return -gain - self.entropy_weight * walks.entropy.mean(), outside

        step = lambda learnt, _: self._step(learnt, loss)
        learnt, outside = jax.lax.scan(step, (state.parameters, state.optimiser), length=self.epochs)
        return learnt, {"entropy": before.entropy.mean(), "clipped": outside[-1]}

    def _advantages(self, rewards: Float[Array, " N"], baseline: Float[Array, ""]) -> Float[Array, " N"]:
        advantage = super()._advantages(rewards, baseline)
        return normalised(advantage, rewards) if self.normalise else advantage

    def _surrogate(self, log_ratio: Float[Array, " N"], advantage: Float[Array, " N"]) -> tuple[Array, Array]:
        """The clipped objective, and the share of ratios outside the bounds."""
        ratio = jnp.exp(log_ratio)
        kept = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        return jnp.minimum(ratio * advantage, kept * advantage).mean(), (ratio != kept).mean()
