"""An experiment: everything that decides a search, in one frozen dataclass of frozen dataclasses."""

from dataclasses import field
from typing import Annotated

from jaxnas.evaluators import Evaluator, Objective, Population, Table
from jaxnas.final import Final
from jaxnas.outcome import Measure
from jaxnas.ranges import ChildCount, Range, Seed, Such
from jaxnas.repeats import Repeats
from jaxnas.rewards import Accuracy, Checks, Reward
from jaxnas.settings import describe, differing, flatten, settings
from jaxnas.spaces import Space
from jaxnas.stopping import Stop
from jaxnas.strategies import Reinforce, Strategy
from jaxnas.tasks import Task, measure_of


@settings
class Experiment:
    """A search, from its seed to its final training.

    Attributes:
        space: what may be built.
        task: what children learn; None: nothing is trained, as with an `Objective`.
        strategy: how architectures are proposed.
        reward: what the strategy is told of an outcome.
        evaluator: how a round's children are scored.
        final: how the winner is trained.
        rounds: propose-evaluate-update rounds. It may be raised later: more rounds continue the same search.
        children: architectures a round (the paper's m).
        seed: of everything random, from 0 to 2**31 - 1.
        deterministic: ask XLA for deterministic operations on GPU; on CPU they always are.
        stop: limits that end a search before its rounds are over; they may be changed later, like the rounds.
        start_from: known architectures that the first round begins with, the best first: of the directory of another
            search of this space, or of a JSON file with a list of architectures, as the ledger writes them, or of lists
            of tokens. The rest of the round is the strategy's own proposal, and it learns from all of them.
        repeats: of an architecture that is proposed again: "train" trains it again, as the papers do; "reuse" copies
            the result of the first trial that has it; "forbid" proposes again until all of a round are new, and ends
            the search where there is no other.

    Raises:
        ValueError: a number out of its range, a reward that does not go with the task's scores, or children to be
            trained without a task.
    """

    space: Annotated[Space, Such("ChainCNN()")]
    task: Annotated[Task, Such("Digits()", none=True)] = None
    strategy: Annotated[Strategy, Such("Reinforce()")] = field(default_factory=Reinforce)
    reward: Annotated[Reward, Such("Accuracy()")] = field(default_factory=Accuracy)
    evaluator: Annotated[Evaluator, Such("Population()")] = field(default_factory=Population)
    final: Final = field(default_factory=Final)
    rounds: Annotated[int, Range(1, 10**9)] = 10
    children: ChildCount = 16
    seed: Seed = 0
    deterministic: bool = True
    stop: Stop = field(default_factory=Stop)
    start_from: str | None = None
    repeats: Repeats = "train"

    def __post_init__(self):
        if self.rounds * self.children >= 2**31:
            raise ValueError(f"rounds={self.rounds}: with {self.children} children each these are 2**31 trials or more")
        if self.task is None and isinstance(self.evaluator, Population):
            raise ValueError(
                "task=None: the evaluator Population trains children, so give a task, such as Digits(); or give "
                "evaluator=Objective(fn), which asks a function of yours instead"
            )
        own_measure = isinstance(self.evaluator, Table)  # which is read later
        if isinstance(self.reward, Checks) and not own_measure:
            self.reward.check(expected_measure(self))


def expected_measure(experiment: Experiment) -> Measure:
    """How scores will be read, as far as can be said before the evaluator is bound: a table may have others."""
    return Measure.NUMBER if isinstance(experiment.evaluator, Objective) else measure_of(experiment.task)


LATER = {"repeats": "train"}
"""Settings that ledgers of earlier versions do not name, and what they were."""


def differences(recorded: dict, wanted: dict) -> list[str]:
    """One line for each setting in which two descriptions differ, except those that may change during a search."""
    free = {"rounds", "evaluator.programs"}
    if flatten(wanted).get("evaluator.type") == Objective.__qualname__:
        free.add("evaluator.processes")  # no result depends on it
    recorded = LATER | flatten(recorded)
    may_change = lambda name: name in free or name.split(".")[0] in ("final", "stop")
    return [words for name, words in differing(recorded, wanted).items() if not may_change(name)]


__all__ = ["Experiment", "describe", "differences", "expected_measure", "flatten"]
