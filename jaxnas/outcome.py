"""What an evaluation gives, and how far it has come.

Letters: N children, E epochs.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
from jaxtyping import Float, Int


class Status(IntEnum):
    """How the evaluation of one child ended. An `OK` and a `STOPPED` child have a score, an `INFEASIBLE` one may."""

    OK = 0
    DIVERGED = 1
    """NaN or Inf came up in its loss, its parameters or its statistics; it was frozen at that step."""
    OUT_OF_MEMORY = 2
    """It does not fit even in the smallest group, one child a device."""
    STOPPED = 3
    """It was among the worst of its round at a rung of early stopping; its score is that of its last epochs."""
    INFEASIBLE = 4
    """The reward does not allow it (`jaxnas.rewards.INFEASIBLE`), whatever its score; no evaluator answers this."""
    FAILED = 5
    """An objective raised an exception, crashed, took too long or gave no finite number; `Trial.reason` says which."""

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def failed(self) -> bool:
        return self in (Status.DIVERGED, Status.OUT_OF_MEMORY, Status.FAILED)


class Measure(StrEnum):
    """What the score of a task is, and in what form people read it. The score itself is always higher for better: where
    people read an error, it is minus that.
    """

    SCORE = "score"
    """A share of 1, such as an accuracy."""
    F1 = "F1"
    """Mean of the classes' F1 (macro), a share of 1."""
    AUC = "AUC"
    """Area under the ROC curve, a share of 1."""
    NDCG = "NDCG@10"
    """Normalised discounted cumulative gain of the first ten, a share of 1."""
    R2 = "R2"
    """Coefficient of determination: 1 at best, 0 for the mean, below without end."""
    LOG_LOSS = "log loss"
    """The score is minus the mean cross-entropy of a label, in nats."""
    RMSE = "RMSE"
    """The score is minus the root of the mean squared error, in units of the target."""
    MAE = "MAE"
    """The score is minus the mean absolute error, in units of the target."""
    PERPLEXITY = "perplexity"
    """The score is the mean log-probability of a symbol, in nats: minus the logarithm of this."""
    BITS = "bits a character"
    """The score is the same: minus this, in nats."""
    NUMBER = "number"
    """Any number, as an objective or a user's own score gives it."""

    @property
    def logarithmic(self) -> bool:
        """Whether scores are log-probabilities of symbols in nats, 0 at most."""
        return self in (Measure.PERPLEXITY, Measure.BITS)

    @property
    def error(self) -> bool:
        """Whether the score is minus what people read."""
        return self in (Measure.LOG_LOSS, Measure.RMSE, Measure.MAE)

    @property
    def falls(self) -> bool:
        """Whether what people read is better where it is lower."""
        return self.error or self.logarithmic

    @property
    def share(self) -> bool:
        """Whether scores are shares of 1."""
        return self in (Measure.SCORE, Measure.F1, Measure.AUC, Measure.NDCG)

    @property
    def named(self) -> bool:
        """Whether its name stands before a number, as in "RMSE 3.2"."""
        return not self.logarithmic and self not in (Measure.SCORE, Measure.NUMBER)

    @property
    def examples(self) -> str:
        """What a score is a mean over."""
        return "symbols" if self.logarithmic else "examples"

    def words(self, score: float, unknown: float = 0.0) -> str:
        """A score as it is read. ``unknown``: the share of the text that is <unk>, which a score of words hides."""
        if not self.logarithmic:
            return f"{self} " * self.named + self.figure(self.number(score))
        read = self.figure(self.number(score))
        read = f"perplexity {read}" if self == Measure.PERPLEXITY else f"{read} bits a character"
        return f"{score:.4f} ({read}{self.hidden(unknown)})"

    def hidden(self, unknown: float) -> str:
        """What is said beside a number of which a share of the symbols is <unk>."""
        return f", {100 * unknown:.3g}% of the text is <unk>" if unknown and self.logarithmic else ""

    def figure(self, number: float) -> str:
        """A `number`, or a deviation of several: what is no share of 1 and no number of bits has five digits, however
        great it is.
        """
        return f"{number:.4f}" if self.share or self in (Measure.BITS, Measure.R2) else f"{number:.5g}"

    def number(self, score: float) -> float:
        """What this is for a score."""
        if self == Measure.PERPLEXITY:
            return math.exp(min(-score, MOST_NATS))
        if self == Measure.BITS:
            return -score / math.log(2)
        return -score if self.error else score


MOST_NATS = 700.0
"""Beyond it a perplexity would be no float any more."""


@dataclass(frozen=True)
class Outcome:
    """What an evaluator answers, one row a child.

    Attributes:
        status: values of `Status`, ``[N]``.
        score: the task's score, higher is better, ``[N]``; NaN where a child failed.
        curve: score after each epoch, ``[N, E]``; NaN from the epoch on in which a child failed or was stopped.
        seconds: a child's share of its group's training time, compilation apart, ``[N]``.
        places: of the program that it was trained in; fewer than were planned where memory did not suffice, ``[N]``.
        parameters: trainable numbers of the unpadded child, ``[N]``.
        multiply_adds: for one example (of text: one symbol) through the unpadded child, forward, ``[N]``.
        architectures: the children as JSON values, one dict each.
        figures: what else was found of each child, finite numbers by name; (): nothing of any.
        reasons: why each failed, in words, "" where it did not; (): nothing is said.
    """

    status: Int[np.ndarray, " N"]
    score: Float[np.ndarray, " N"]
    curve: Float[np.ndarray, "N E"]
    seconds: Float[np.ndarray, " N"]
    places: Int[np.ndarray, " N"]
    parameters: Int[np.ndarray, " N"]
    multiply_adds: Int[np.ndarray, " N"]
    architectures: tuple[dict, ...]
    figures: tuple[dict[str, float], ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One evaluated sample, as the ledger keeps it. `score` is None where the child failed; `curve` likewise. Of one
    that was not evaluated, `copied_from` is the trial of the same architecture whose result it has.

    There is one order of trials, and "the best" means its first: by reward, of equal rewards by score, of equal scores
    the earlier. Trials that failed or that the reward does not allow are not in it.
    """

    trial_id: int
    round: int
    tokens: tuple[int, ...]
    architecture: dict
    status: str
    score: float | None
    reward: float
    curve: tuple[float | None, ...]
    parameters: int
    multiply_adds: int
    seconds: float
    places: int
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    copied_from: int | None = None

    @property
    def values(self) -> dict[str, str | int | float | bool | None]:
        """What was decided by name: values of a `Choices` or a `ModuleSpace`, settings of a `Tuned`, with "training."
        before one whose name is among the values. Raises ValueError where nothing has a name.
        """
        named, settings = (self.architecture.get(part) for part in ("values", "training"))
        if not isinstance(named, dict) and not isinstance(settings, dict):
            raise ValueError(f"trial {self.trial_id} has no values by name: `architecture` has what was built")
        named, settings = (part if isinstance(part, dict) else {} for part in (named, settings))
        return named | {f"training.{name}" if name in named else name: value for name, value in settings.items()}

    @property
    def ranked(self) -> bool:
        """Whether it is in the order of trials: it neither failed nor is it infeasible."""
        return self.status in RANKED

    @property
    def rank(self) -> tuple[float, float, int]:
        """Where a ranked trial stands: less is better."""
        return -self.reward, -self.score, self.trial_id


RANKED = (Status.OK.label, Status.STOPPED.label)
"""Status of the trials that have a rank."""


@dataclass(frozen=True)
class Progress:
    """A sign of life from an evaluator.

    Attributes:
        doing: what begins now, such as "planning", "compiling" or "training".
        children: how many children the present group holds.
        epoch: epochs of the group that are done, of ``epochs``.
        programs: (envelope, group size) pairs compiled so far in this process.
        compile_seconds: seconds spent in compiling them.
    """

    doing: str
    children: int
    epoch: int
    epochs: int
    programs: int
    compile_seconds: float
