"""Rewards: what a strategy is told of an outcome. One number a child, higher is better; the best child is the one with
the highest.

A failed child gets the floor; where others have fallen below that, the strategy is told less (`Lessons`).
"""

from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from jaxnas.outcome import Measure, Outcome, Status
from jaxnas.ranges import Floor, Range
from jaxnas.settings import settings

INFEASIBLE = -np.inf
"""What a reward gives a child that is not allowed, such as one that is too large. It is recorded as infeasible, with
its score, and is never the best; the strategy is told the reward's ``floor``, or 0 where it has none, or less
(`Lessons`)."""


@runtime_checkable
class Reward(Protocol):
    """outcome -> one float64 a child, ``[N]``, finite or `INFEASIBLE`."""

    def __call__(self, outcome: Outcome) -> Float[np.ndarray, " N"]: ...


@runtime_checkable
class Checks(Protocol):
    """A reward that cannot read every `Measure`."""

    def check(self, measure: Measure) -> None:
        """Raises ValueError for scores that it cannot read; called before anything is trained."""


@runtime_checkable
class Floored(Protocol):
    """A reward that says what a failed or an infeasible child is worth."""

    floor: float


@settings
class Accuracy:
    """The score itself, such as an accuracy in [0, 1], or minus an error; ``floor`` where a child failed."""

    floor: Floor = 0.0

    def __call__(self, outcome: Outcome) -> Float[np.ndarray, " N"]:
        return _power(outcome, 1, self.floor)


@settings
class CubedAccuracy:
    """The score's cube, which spreads the good children apart; ``floor`` where a child failed.

    References:
        Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 4.1
        (https://arxiv.org/abs/1611.01578).
    """

    floor: Floor = 0.0

    def __call__(self, outcome: Outcome) -> Float[np.ndarray, " N"]:
        return _power(outcome, 3, self.floor)


@settings
class Perplexity:
    """``c`` over the square of the perplexity, of a score that is minus its logarithm; ``floor`` where a child failed.

    Raises:
        ValueError: a score greater than 0, which no log-probability is.

    References:
        Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 4.2
        (https://arxiv.org/abs/1611.01578).
    """

    c: Annotated[float, Range(0, 1e9, "(]")] = 80.0
    floor: Floor = 0.0

    def __call__(self, outcome: Outcome) -> Float[np.ndarray, " N"]:
        scored = _scored(outcome)
        nats = np.where(scored, outcome.score, 0.0)
        if nats.max() > 0:
            raise ValueError(
                f"a score of {nats.max():.4g} is no log-probability: the reward Perplexity is for the task Text"
            )
        return np.where(scored, self.c * np.exp(2 * nats), self.floor)

    def check(self, measure: Measure) -> None:
        """Raises ValueError for scores that are no log-probabilities."""
        if not measure.logarithmic:
            raise ValueError("reward Perplexity reads log-probabilities, which the task Text has: take Accuracy")


def told(reward: Reward, outcome: Outcome) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """What is recorded as the reward of each child, finite, and which children are infeasible.

    Raises:
        ValueError: not one number a child, or one that is neither finite nor `INFEASIBLE`.
    """
    found, n, name = np.asarray(reward(outcome), np.float64), len(outcome.score), type(reward).__name__
    if found.shape != (n,):
        raise ValueError(f"reward {name} gave an array of shape {found.shape} for {n} children: one number each, [N]")
    infeasible = found == INFEASIBLE
    if not (np.isfinite(found) | infeasible).all():
        raise ValueError(f"reward {name} gave {found}: finite numbers are needed, or rewards.INFEASIBLE (-inf)")
    floor = float(reward.floor) if isinstance(reward, Floored) else 0.0
    return np.where(infeasible, floor, found), infeasible


class Lessons:
    """What a strategy is told of the rounds of a search, one after the other: a child that failed or is infeasible is
    never better off than another.

    Where its reward, the floor, is above the least of those that had one so far, it is told to be as far below that as
    the best of them lies above it, and by 1 where all are equal.

    Args:
        measure: what scores are. Where they may lie below any floor, rounds in which all failed teach nothing as long
            as no child has had a score.
    """

    def __init__(self, measure: Measure):
        self.measure, self._least, self._best = measure, np.inf, -np.inf

    def of(self, rewards: Float[np.ndarray, " N"], ranked: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"] | None:
        """Of the next round; None: nothing.

        Args:
            rewards: as they are recorded.
            ranked: which children have a place in the order of trials.
        """
        self._least = min(self._least, rewards[ranked].min(initial=np.inf))
        self._best = max(self._best, rewards[ranked].max(initial=-np.inf))
        if ranked.all():
            return rewards
        if self._best == -np.inf:
            return rewards if self.measure.share else None
        below = 2 * self._least - self._best - (self._least == self._best)
        return np.where(~ranked & (rewards > self._least), below, rewards)


def _scored(outcome: Outcome) -> np.ndarray:
    return np.array([not Status(s).failed for s in outcome.status])


def _power(outcome: Outcome, exponent: int, floor: float) -> Float[np.ndarray, " N"]:
    scored = _scored(outcome)
    return np.where(scored, np.where(scored, outcome.score, 0.0) ** exponent, floor)


REWARDS = {"Accuracy": Accuracy, "CubedAccuracy": CubedAccuracy, "Perplexity": Perplexity}
"""Every reward of the library by name; the laws are tested over this table."""
