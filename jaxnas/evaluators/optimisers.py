"""Optimisers of children as settings: what each becomes in optax, for a training of known length."""

import math
from itertools import pairwise
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import optax

from jaxnas.ranges import LearningRate, Norm, Part, Range, Share, Weight
from jaxnas.settings import settings


@runtime_checkable
class Optimiser(Protocol):
    """A frozen dataclass of settings with this function; see `SGD`. Where it has a ``learning_rate``, a child that
    decides its own rate is trained with that.
    """

    def transformation(self, steps: int, epochs: int) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs."""


@settings
class SGD:
    """Stochastic gradient descent with Nesterov momentum; the defaults are those of Zoph & Le, section 4.1.

    Attributes:
        learning_rate: at the start.
        momentum: in [0, 1); 0: none.
        weight_decay: added to the gradient, times the parameter; all parameters decay.
        schedule: "cosine": step k of K, from 0, has (1 + cos(pi k / K)) / 2 of the rate, which would be 0 one step
            after the last (https://arxiv.org/abs/1608.03983, as optax and PyTorch have it); "step" divides the rate by
            ten from the first step on before which a share of ``drops`` is done, never at the first one; "decay"
            multiplies it by ``decay`` at each epoch after the first ``hold``; "constant" keeps it.
        drops: shares of the training, ascending; the defaults are those of He et al. on CIFAR-10
            (https://arxiv.org/abs/1512.03385) and of DenseNet (https://arxiv.org/abs/1608.06993).
        hold: epochs at the first rate, 1 or more.
        decay: in (0, 1]; the defaults of both are the medium model's in Zaremba et al., 2014
            (https://arxiv.org/abs/1409.2329).
        clip: greatest norm of a child's gradient, which is scaled down to it; None: any.
    """

    learning_rate: LearningRate = 0.1
    momentum: Share = 0.9
    weight_decay: Weight = 1e-4
    schedule: Literal["cosine", "step", "decay", "constant"] = "cosine"
    drops: tuple[Part, ...] = (0.5, 0.75)
    hold: Annotated[int, Range(1, 10**6)] = 6
    decay: Annotated[float, Range(0, 1, "(]")] = 1 / 1.2
    clip: Norm | None = None

    def __post_init__(self):
        if not all(a < b for a, b in pairwise((0.0, *self.drops, 1.0))):
            raise ValueError(f"drops={self.drops}: give ascending shares of the training between 0 and 1")

    def transformation(self, steps: int, epochs: int) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs."""
        sgd = optax.sgd(self._rate(steps, epochs), self.momentum or None, nesterov=self.momentum > 0)
        return optax.chain(*_clipped(self.clip), optax.add_decayed_weights(self.weight_decay), sgd)

    def _rate(self, steps: int, epochs: int):
        match self.schedule:
            case "cosine":
                return optax.cosine_decay_schedule(self.learning_rate, steps * epochs)
            case "step":
                # rounded first: 0.7 * 10 is a little more than 7
                starts = np.array([math.ceil(round(share * steps * epochs, 6)) for share in self.drops])
                return lambda count: self.learning_rate * 0.1 ** (count >= starts).sum()
            case "decay":
                held = (self.hold - 1) * steps  # the first epoch after those that are held is one step down
                return optax.exponential_decay(self.learning_rate, steps, self.decay, held, staircase=True)
            case "constant":
                return self.learning_rate


@settings
class Adam:
    """Adam with decoupled weight decay.

    Attributes:
        learning_rate: at the start.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: that of their squares.
        weight_decay: times rate and parameter; all parameters decay.
        schedule: "cosine", as that of `SGD`; "constant" keeps the rate.
        clip: greatest norm of a child's gradient, which is scaled down to it; None: any.

    References:
        Kingma & Ba, 2015 (https://arxiv.org/abs/1412.6980); Loshchilov & Hutter, 2019
        (https://arxiv.org/abs/1711.05101).
    """

    learning_rate: LearningRate = 0.001
    beta1: Share = 0.9
    beta2: Share = 0.999
    weight_decay: Weight = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: Norm | None = None

    def transformation(self, steps: int, epochs: int) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs."""
        falling = optax.cosine_decay_schedule(self.learning_rate, steps * epochs)
        rate = falling if self.schedule == "cosine" else self.learning_rate
        return optax.chain(
            *_clipped(self.clip), optax.adamw(rate, self.beta1, self.beta2, weight_decay=self.weight_decay)
        )


def _clipped(norm: float | None) -> list[optax.GradientTransformation]:
    return [] if norm is None else [optax.clip_by_global_norm(norm)]
