"""Rewards: what a strategy is told of an outcome. One number a child, higher is better; the best child is the one with
the highest.

A failed child gets the floor, which no child that learnt anything can fall below.
"""

from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from jaxnas.outcome import Measure, Outcome, Status
from jaxnas.ranges import Floor, Range
from jaxnas.settings import settings

INFEASIBLE = -np.inf
"""What a reward gives a child that is not allowed, such as one that is too large. It is recorded as infeasible, with
its score, and is never the best; the strategy is told the reward's ``floor``, or 0 where it has none."""


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
    """The score itself, such as an accuracy in [0, 1]; ``floor`` where a child failed: below all scores, also those of
    an objective.
    """

    floor: Floor = 0.0

    def __call__(self, outcome: Outcome) -> Float[np.ndarray, " N"]:
        return _power(outcome, 1, self.floor)

    def check(self, measure: Measure) -> None:
        """Raises ValueError where a failed child would be better off than any other."""
        _check_floor(self, measure)


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

    def check(self, measure: Measure) -> None:
        """Raises ValueError where a failed child would be better off than any other."""
        _check_floor(self, measure)


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


def told(
    reward: Reward, outcome: Outcome, measure: Measure = Measure.SCORE
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """What the strategy is told of each child, finite, and which children are infeasible.

    Raises:
        ValueError: not one number a child, or one that is neither finite nor `INFEASIBLE`; or a floor that would make
            an infeasible child better off than another; of scores that may be any number (``measure``), a floor that
            would make a failed child better off.
    """
    found, n, name = np.asarray(reward(outcome), np.float64), len(outcome.score), type(reward).__name__
    if found.shape != (n,):
        raise ValueError(f"reward {name} gave an array of shape {found.shape} for {n} children: one number each, [N]")
    infeasible = found == INFEASIBLE
    if not (np.isfinite(found) | infeasible).all():
        raise ValueError(f"reward {name} gave {found}: finite numbers are needed, or rewards.INFEASIBLE (-inf)")
    floor = float(reward.floor) if isinstance(reward, Floored) else 0.0
    if infeasible.any() and found[~infeasible].min(initial=floor) < floor:
        raise ValueError(
            f"reward {name} gave {found[~infeasible].min():.4g}, which is less than what an infeasible child is worth, "
            f"{floor:.4g}: give it a field `floor` that is below every other reward"
        )
    below = _scored(outcome) & ~infeasible & (found < floor)
    if measure == Measure.NUMBER and isinstance(reward, Floored) and below.any():
        raise ValueError(
            f"reward {name} gave {found[below][0]:.4g}, less than the {floor:.4g} that a failed child is worth: give "
            f"it a floor just below every score, as reward={name}(floor=-10.0) or --reward.floor -10 (in another "
            "directory where trials are recorded already)"
        )
    return np.where(infeasible, floor, found), infeasible


def _check_floor(reward: Accuracy | CubedAccuracy, measure: Measure) -> None:
    if measure.logarithmic and reward.floor >= 0:
        raise ValueError(
            f"reward {type(reward).__name__}: the task's scores are log-probabilities, so that a failed child, with "
            f"floor={reward.floor}, would be the best: take Perplexity, or give a floor below every score"
        )


def _scored(outcome: Outcome) -> np.ndarray:
    return np.array([not Status(s).failed for s in outcome.status])


def _power(outcome: Outcome, exponent: int, floor: float) -> Float[np.ndarray, " N"]:
    scored = _scored(outcome)
    return np.where(scored, np.where(scored, outcome.score, 0.0) ** exponent, floor)


REWARDS = {"Accuracy": Accuracy, "CubedAccuracy": CubedAccuracy, "Perplexity": Perplexity}
"""Every reward of the library by name; the laws are tested over this table."""
