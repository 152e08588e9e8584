"""A round while it is trained.

Letters: N children.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxnas.evaluators.train import Result
from jaxnas.outcome import Progress, Trial
from jaxnas.tasks import HeldOut


class Paused(NamedTuple):
    """A child at a rung: the envelope it was trained in, the places of that program, and what it has come to."""

    inside: Any
    places: int
    result: Result


@dataclass
class Round:
    """What is known of a round while it is trained, by row.

    Attributes:
        architectures: all of them.
        trial_ids: likewise.
        finished: those that the ledger had.
        tell: whom to tell of progress.
        paused: those at a rung.
        seconds: each one's share of the time of its groups, compilation apart.
        places: of the program in which each one began.
        examples: further ones, on which each is scored after its last epoch; None: there are none.
        scores: on these; none where a child failed or was stopped.
    """

    architectures: list
    trial_ids: list[int]
    finished: Mapping[int, Trial]
    tell: Callable[[Progress], None]
    paused: dict[int, Paused] = field(default_factory=dict)
    seconds: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    places: dict[int, int] = field(default_factory=dict)
    examples: HeldOut | None = None
    scores: dict[int, float] = field(default_factory=dict)
