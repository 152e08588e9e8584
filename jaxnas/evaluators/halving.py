"""Early stopping: at rungs the worst part of a round stops, the rest trains on."""

import math
from collections.abc import Mapping
from itertools import pairwise

from jaxnas.ranges import Epochs, Part
from jaxnas.settings import settings


@settings
class SuccessiveHalving:
    """Successive halving within a round. Survivors end as they would have without it.

    Attributes:
        rungs: after how many epochs some stop, ascending; each less than the epochs of training. Empty: nobody stops.
        keep: the share of children that goes on at each rung; one child always does.

    References:
        Jamieson & Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016, algorithm 1
        (https://arxiv.org/abs/1502.07943).
    """

    rungs: tuple[Epochs, ...] = ()
    keep: Part = 0.5

    def __post_init__(self):
        if any(b <= a for a, b in pairwise((0, *self.rungs))):
            raise ValueError(f"rungs={self.rungs}: give ascending numbers of epochs from 1")

    def survivors(self, rung: int, children: int, ranks: Mapping[int, tuple[float, float]]) -> set[int]:
        """Who goes on: the first in the order of trials, by what they have come to at the rung.

        Args:
            rung: its number, from 0.
            children: of the whole round.
            ranks: reward and score, by row, of all that have reached the rung. Of equal ones the earlier goes on.
        """
        count = max(1, math.ceil(children * self.keep ** (rung + 1)))
        ranked = sorted(ranks, key=lambda row: (-ranks[row][0], -ranks[row][1], row))
        return set(ranked[:count])
