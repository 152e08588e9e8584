"""REINFORCE: policy gradient over an LSTM controller or a table of logits, with an exponential moving average as the
baseline.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.2
    (https://arxiv.org/abs/1611.01578); Williams, Simple Statistical Gradient-Following Algorithms, 1992;
    Dong et al., NATS-Bench, 2021 (https://arxiv.org/abs/2009.00437), for the table and its baseline.

Letters: N samples (the paper's m).
"""

from typing import Literal

from jaxtyping import Array, Float

from jaxnas.decisions import Tokens
from jaxnas.settings import settings
from jaxnas.strategies.gradient import PolicyGradient, PolicyState


@settings
class Reinforce(PolicyGradient):
    """The strategy of Zoph & Le; the defaults are theirs, where the paper gives them.

    A round is one ascent along mean_k [grad log P(tokens_k) (R_k - b)], b the moving average (equation 4).

    Attributes:
        baseline: what is averaged. "earlier": the rounds before the present one (Zoph & Le, section 3.2); "present":
            the present one too, with Adam's correction of the bias towards 0 (NATS-Bench).

    The others are those of `PolicyGradient`.

    Raises:
        ValueError: a value out of its range.
    """

    baseline: Literal["earlier", "present"] = "earlier"

    def _learn(self, state: PolicyState, tokens: Tokens, advantage: Float[Array, " N"]) -> tuple[tuple, dict]:
        def loss(parameters):
            walks = self._policy.score(state.decisions, parameters, tokens)
            gain = (walks.log_prob * advantage).mean()
            return -gain - self.entropy_weight * walks.entropy.mean(), walks.entropy.mean()

        learnt, entropy = self._step((state.parameters, state.optimiser), loss)
        return learnt, {"entropy": entropy}

    def _baseline(self, state: PolicyState, mean: Float[Array, ""]) -> tuple[Array, Array]:
        baseline, average = super()._baseline(state, mean)
        if self.baseline == "earlier":
            return baseline, average
        # Adam's corrected average, without the uncorrected one
        step = (1 - self.baseline_decay) / (1 - self.baseline_decay ** (state.rounds + 1))
        present = baseline + step * (mean - baseline)
        return present, present
