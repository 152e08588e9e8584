"""An experiment: everything that decides a search, in one frozen dataclass of frozen dataclasses."""

from dataclasses import dataclass, field

from jaxnas.evaluators import Evaluator, Population, Table
from jaxnas.final import Final
from jaxnas.rewards import Accuracy, Checks, Reward
from jaxnas.settings import describe, differing, flatten
from jaxnas.spaces import Space
from jaxnas.strategies import Reinforce, Strategy
from jaxnas.tasks import Task, measure_of


@dataclass(frozen=True)
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

    space: Space
    task: Task
    strategy: Strategy = field(default_factory=Reinforce)
    reward: Reward = field(default_factory=Accuracy)
    evaluator: Evaluator = field(default_factory=Population)
    final: Final = field(default_factory=Final)
    rounds: int = 10
    children: int = 16
    seed: int = 0
    deterministic: bool = True

    def __post_init__(self):
        for name in ("rounds", "children"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give 1 or more")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed={self.seed}: give an integer from 0 to {2**31 - 1}")
        if isinstance(self.reward, Checks) and not isinstance(
            self.evaluator, Table
        ):  # a table has a measure of its own
            self.reward.check(measure_of(self.task))


def differences(recorded: dict, wanted: dict) -> list[str]:
    """One line for each setting in which two descriptions differ, except those that may change during a search."""
    may_change = lambda name: name == "rounds" or name.split(".")[0] == "final"
    return [words for name, words in differing(recorded, wanted).items() if not may_change(name)]


__all__ = ["Experiment", "describe", "differences", "flatten"]
