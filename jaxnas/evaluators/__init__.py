"""Evaluators: where tokens become outcomes.

Letters: N children, T decisions.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from jaxnas.evaluators.halving import SuccessiveHalving
from jaxnas.evaluators.objective import Objective
from jaxnas.evaluators.optimisers import SGD, Adam, Optimiser
from jaxnas.evaluators.population import Population
from jaxnas.evaluators.table import Table
from jaxnas.evaluators.train import Train
from jaxnas.outcome import Measure, Outcome, Progress, Trial
from jaxnas.rewards import Reward


@runtime_checkable
class Evaluate(Protocol):
    """One round's children in, outcomes out, a group at a time as they are done."""

    def __call__(
        self,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Mapping[int, Trial] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome]]:
        """Yields rows of ``tokens`` and their outcome; trials in ``finished`` are left out, all others come once.

        Rounds come in order, finished ones too, so that what an evaluator remembers of them is the same after a resume.
        """

    def describe(self, tokens: Int[np.ndarray, " T"]) -> dict:
        """The architecture that tokens mean, as JSON values."""


@runtime_checkable
class Reads(Protocol):
    """An `Evaluate` that has read data: it tells them from others."""

    def fingerprint(self) -> dict[str, str]:
        """Digests by name of what was read; see `jaxnas.fingerprint`."""

    def about(self) -> dict:
        """What else is to be said of it, as JSON values."""


@runtime_checkable
class Plans(Protocol):
    """An `Evaluate` that cuts rounds into groups before it trains them."""

    def plan(self, tokens: Int[np.ndarray, "N T"]):
        """How a round would be cut; nothing is remembered."""


@runtime_checkable
class Measured(Protocol):
    """An `Evaluate` whose scores are not the task's, as those of a table."""

    measure: Measure


@runtime_checkable
class StopsEarly(Protocol):
    """An `Evaluate` that ranks the children of a round before they are done."""

    def rank_by(self, reward: Reward) -> None:
        """What decides who goes on; called once, before the first round."""


@runtime_checkable
class Closes(Protocol):
    """An `Evaluate` that holds processes or the like."""

    def close(self) -> None:
        """Called once, after the last round or when the search stops."""


@runtime_checkable
class Evaluator(Protocol):
    """A frozen dataclass of settings; `bind` reads the data and gives the function that evaluates."""

    def bind(self, space, task, seed: int, trials: int) -> Evaluate:
        """``task``: None where the experiment has none; ``trials``: how many the whole search is going to evaluate."""


__all__ = [
    "SGD",
    "Adam",
    "Closes",
    "Evaluate",
    "Evaluator",
    "SuccessiveHalving",
    "Measured",
    "Objective",
    "Optimiser",
    "Plans",
    "Population",
    "Reads",
    "StopsEarly",
    "Table",
    "Train",
]
