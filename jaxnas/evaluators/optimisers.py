"""Optimisers of children as settings: what each becomes in optax, for a training of known length."""

import math
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from typing import Annotated, Literal, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxnas.ranges import LearningRate, Norm, Part, Range, Share, Weight
from jaxnas.settings import settings


@runtime_checkable
class Optimiser(Protocol):
    """A frozen dataclass of settings with this function; see `SGD`. For children that decide settings themselves it
    takes a third argument, ``own``.
    """

    def transformation(self, steps: int, epochs: int) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs."""


@runtime_checkable
class Adjusts(Protocol):
    """An `Optimiser` that a child can adjust."""

    def own(self) -> Collection[str]:
        """Names of the settings that a child may decide itself."""

    def transformation(
        self, steps: int, epochs: int, own: Mapping[str, ArrayLike] = {}
    ) -> optax.GradientTransformation:
        """As that of `Optimiser`; ``own``: a child's settings ``[]``, which may be traced, NaN where it has none."""


def of_child(optimiser: Optimiser, steps: int, epochs: int) -> Callable[[Mapping], optax.GradientTransformation]:
    """The function of a child's own settings that gives its optimiser; it may be called while it is traced.

    `optax.inject_hyperparams` would do it too, with a copy of each number in the state.
    """

    def transformation(own: Mapping[str, ArrayLike]) -> optax.GradientTransformation:
        if not own:
            return optimiser.transformation(steps, epochs)
        known = optimiser.own() if isinstance(optimiser, Adjusts) else ()
        for name in own:
            if name not in known:
                raise ValueError(
                    f"the children decide {name!r} themselves, but {type(optimiser).__name__} cannot be told: it "
                    f"can be {', '.join(known) or 'nothing'}. Give the optimiser `own` and a third argument of "
                    "`transformation` (see jaxnas.evaluators.Adjusts), or take SGD or Adam"
                )
        return optimiser.transformation(steps, epochs, own)

    return transformation


def _decided(own: Mapping[str, ArrayLike], **settings: float) -> list[ArrayLike]:
    """These settings in their order; a child's own where it has one."""
    mine = lambda name, value: jnp.where(jnp.isnan(own[name]), value, own[name]) if name in own else value
    return [mine(name, value) for name, value in settings.items()]


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

    def own(self) -> tuple[str, ...]:
        """What a child may decide itself; a momentum only where the settings have one."""
        return ("learning_rate", "weight_decay", "clip", *(["momentum"] if self.momentum else []))

    def transformation(
        self, steps: int, epochs: int, own: Mapping[str, ArrayLike] = {}
    ) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs; see `Adjusts`."""
        rate, momentum, decay = _decided(
            own, learning_rate=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        sgd = optax.sgd(self._rate(rate, steps, epochs), momentum if self.momentum else None, self.momentum > 0)
        return optax.chain(*_clipped(self.clip, own), optax.add_decayed_weights(decay), sgd)

    def _rate(self, rate: ArrayLike, steps: int, epochs: int):
        match self.schedule:
            case "cosine":
                return optax.cosine_decay_schedule(rate, steps * epochs)
            case "step":
                # rounded first: 0.7 * 10 is a little more than 7
                starts = np.array([math.ceil(round(share * steps * epochs, 6)) for share in self.drops])
                return lambda count: rate * 0.1 ** (count >= starts).sum()
            case "decay":
                held = (self.hold - 1) * steps  # the first epoch after those that are held is one step down
                return optax.exponential_decay(rate, steps, self.decay, held, staircase=True)
            case "constant":
                return rate


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

    def own(self) -> tuple[str, ...]:
        """What a child may decide itself."""
        return "learning_rate", "weight_decay", "clip", "beta1", "beta2"

    def transformation(
        self, steps: int, epochs: int, own: Mapping[str, ArrayLike] = {}
    ) -> optax.GradientTransformation:
        """The optax optimiser for so many steps an epoch and so many epochs; see `Adjusts`."""
        rate, decay = _decided(own, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        beta1, beta2 = _decided(own, beta1=self.beta1, beta2=self.beta2)
        rate = optax.cosine_decay_schedule(rate, steps * epochs) if self.schedule == "cosine" else rate
        return optax.chain(*_clipped(self.clip, own), optax.adamw(rate, beta1, beta2, weight_decay=decay))


def _clipped(norm: float | None, own: Mapping[str, ArrayLike]) -> list[optax.GradientTransformation]:
    """By a child's own norm where it has one."""
    if "clip" in own:
        [norm] = _decided(own, clip=math.inf if norm is None else norm)
    return [] if norm is None else [optax.clip_by_global_norm(norm)]


OPTIMISERS = {"sgd": SGD, "adam": Adam}
"""By the names under which a child may choose one."""


def named(name: str, settings: Optimiser) -> Optimiser:
    """The optimiser of a name: these settings where they are of its kind, else its defaults.

    Raises:
        ValueError: there is none.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser={name!r}: give {' or '.join(map(repr, OPTIMISERS))}")
    return settings if isinstance(settings, OPTIMISERS[name]) else OPTIMISERS[name]()
