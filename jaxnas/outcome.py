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
    """What the score of a task is, and in what form people read it. The score itself is always higher for better."""

    SCORE = "score"
    """A share of 1, such as an accuracy."""
    PERPLEXITY = "perplexity"
    """The score is the mean log-probability of a symbol, in nats: minus the logarithm of this."""
    BITS = "bits a character"
    """The score is the same: minus this, in nats."""
    NUMBER = "number"
    """Any number, as an objective gives it."""

    @property
    def logarithmic(self) -> bool:
        """Whether scores are log-probabilities in nats, 0 at most, and no shares of 1."""
        return self in (Measure.PERPLEXITY, Measure.BITS)

    @property
    def examples(self) -> str:
        """What a score is a mean over."""
        return "symbols" if self.logarithmic else "examples"

    def words(self, score: float, unknown: float = 0.0) -> str:
        """A score as it is read. ``unknown``: the share of the text that is <unk>, which a score of words hides."""
        if not self.logarithmic:
            return self.figure(score)
        read = self.figure(self.number(score))
        read = f"perplexity {read}" if self == Measure.PERPLEXITY else f"{read} bits a character"
        return f"{score:.4f} ({read}{self.hidden(unknown)})"

    def hidden(self, unknown: float) -> str:
        """What is said beside a number of which a share of the symbols is <unk>."""
        return f", {100 * unknown:.3g}% of the text is <unk>" if unknown and self.logarithmic else ""

    def figure(self, number: float) -> str:
        """A `number`, or a deviation of several: a perplexity has five digits, however great it is, and so has what may
        be any number.
        """
        return f"{number:.5g}" if self in (Measure.PERPLEXITY, Measure.NUMBER) else f"{number:.4f}"

    def number(self, score: float) -> float:
        """What this is for a score."""
        match self:
            case Measure.SCORE | Measure.NUMBER:
                return score
            case Measure.PERPLEXITY:
                return math.exp(min(-score, MOST_NATS))
            case Measure.BITS:
                return -score / math.log(2)


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
    """One evaluated sample, as the ledger keeps it. `score` is None where the child failed; `curve` likewise.

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
