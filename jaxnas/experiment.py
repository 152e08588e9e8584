"""An experiment: everything that decides a search, in one frozen dataclass of frozen dataclasses."""

from dataclasses import field
from typing import Annotated

from jaxnas.evaluators import Evaluator, Population, Table
from jaxnas.final import Final
from jaxnas.ranges import ChildCount, Range, Seed, Such
from jaxnas.rewards import Accuracy, Checks, Reward
from jaxnas.settings import describe, differing, flatten, settings
from jaxnas.spaces import Space
from jaxnas.strategies import Reinforce, Strategy
from jaxnas.tasks import Task, measure_of


@settings
class Experiment:
    """A search, from its seed to its final training.

    Attributes:
        space: what may be built.
        task: what children learn.
        strategy: how architectures are proposed.
        reward: what the strategy is told of an outcome.
        evaluator: how a round's children are scored.
        final: how the winner is trained.
        rounds: propose-evaluate-update rounds. It may be raised later: more rounds continue the same search.
        children: architectures a round (the paper's m).
        seed: of everything random, from 0 to 2**31 - 1.
        deterministic: ask XLA for deterministic operations on GPU; on CPU they always are.

    Raises:
        ValueError: a number out of its range, or a reward that does not go with the task's scores.
    """

    space: Annotated[Space, Such("ChainCNN()")]
    task: Annotated[Task, Such("Digits()")]
    strategy: Annotated[Strategy, Such("Reinforce()")] = field(default_factory=Reinforce)
    reward: Annotated[Reward, Such("Accuracy()")] = field(default_factory=Accuracy)
    evaluator: Annotated[Evaluator, Such("Population()")] = field(default_factory=Population)
    final: Final = field(default_factory=Final)
    rounds: Annotated[int, Range(1, 10**9)] = 10
    children: ChildCount = 16
    seed: Seed = 0
    deterministic: bool = True

    def __post_init__(self):
        if self.rounds * self.children >= 2**31:
            raise ValueError(f"rounds={self.rounds}: with {self.children} children each these are 2**31 trials or more")
        own_measure = isinstance(self.evaluator, Table)  # which is read later
        if isinstance(self.reward, Checks) and not own_measure:
            self.reward.check(measure_of(self.task))


def differences(recorded: dict, wanted: dict) -> list[str]:
    """One line for each setting in which two descriptions differ, except those that may change during a search."""
    may_change = lambda name: name in ("rounds", "evaluator.programs") or name.split(".")[0] == "final"
    return [words for name, words in differing(recorded, wanted).items() if not may_change(name)]


__all__ = ["Experiment", "describe", "differences", "flatten"]
