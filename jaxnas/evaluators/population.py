"""Evaluation by training: decode, plan, train group after group.

Letters: N children, T decisions, E epochs.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.evaluators.plan import Group, plan
from jaxnas.evaluators.train import Result, Train, Trainer
from jaxnas.outcome import Outcome, Progress, Status


@dataclass(frozen=True)
class Population:
    """Train every child of a round, many at a time.

    Attributes:
        train: how a child is trained.
        group_size: the greatest number of children that train together in one program (rounded up to a multiple of
            the devices); more need more memory.
    """

    train: Train = field(default_factory=Train)
    group_size: int = 16

    def __post_init__(self):
        if self.group_size < 1:
            raise ValueError(f"group_size={self.group_size}: give 1 or more children")

    def bind(self, space, task, seed: int) -> "PopulationEvaluator":
        """Read the data and put it on the device."""
        return PopulationEvaluator(self, space, task, seed)


class PopulationEvaluator:
    """The function that `Population.bind` gives; it keeps the data and the compiled programs."""

    def __init__(self, settings: Population, space, task, seed: int):
        data = task.search_data(seed)
        self.settings, self.space = settings, space
        self.children = space.children(data.input_shape, data.classes)
        devices = min(jax.local_device_count(), settings.group_size)
        self.trainer = Trainer(self.children, task, data, settings.train, seed, devices)

    def __call__(
        self,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Collection[int] = (),
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome]]:
        """Train the children that are not finished; yields a group's rows and outcome when it is done."""
        architectures = [self.space.decode(row) for row in tokens]
        for group in plan(architectures, self.children, self.settings.group_size, self.trainer.mesh.size):
            rows = [r for r in group.rows if trial_ids[r] not in finished]
            if rows:
                yield from self._train(group, rows, architectures, trial_ids, on_progress)

    def describe(self, tokens: Int[np.ndarray, " T"]) -> dict:
        """The architecture that tokens mean, as JSON values."""
        return self.children.describe(self.space.decode(tokens))

    def _train(self, group: Group, rows, architectures, trial_ids, on_progress) -> Iterator[tuple[list[int], Outcome]]:
        """Train these rows of a group; where memory does not suffice, its halves, one after the other."""
        filled = rows + rows[-1:] * (group.size - len(rows))
        genes = [self.children.place(architectures[r], group.inside) for r in filled]
        tell = lambda doing, epoch: on_progress(self._progress(doing, len(rows), epoch))
        try:
            result = self.trainer.run(group.inside, genes, [int(trial_ids[r]) for r in filled], tell)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            result = None  # not retried here: the failed group's arrays live as long as the exception
        if result is not None:
            yield rows, self._outcome([architectures[r] for r in rows], result)
        elif group.size <= self.trainer.mesh.size:
            yield rows, self._outcome([architectures[r] for r in rows], None)
        else:
            half = Group(
                group.rows, group.inside, -(-group.size // 2 // self.trainer.mesh.size) * self.trainer.mesh.size
            )
            for part in (rows[: half.size], rows[half.size :]):
                if part:
                    yield from self._train(half, part, architectures, trial_ids, on_progress)

    def _progress(self, doing: str, children: int, epoch: int) -> Progress:
        trainer = self.trainer
        epochs = self.settings.train.epochs
        return Progress(doing, children, epoch, epochs, len(trainer.programs), trainer.compile_seconds)

    def _outcome(self, architectures, result: Result | None) -> Outcome:
        """The outcome of so many leading children of a group's result; None: they did not fit into memory."""
        n = len(architectures)
        costs = [self.children.cost(a) for a in architectures]
        if result is None:
            curve = np.full((n, self.settings.train.epochs), np.nan)
            status, seconds = np.full(n, Status.OUT_OF_MEMORY, np.int32), 0.0
        else:
            curve, seconds = result.curve[:n], result.seconds / n
            status = np.where(result.alive[:n], Status.OK, Status.DIVERGED).astype(np.int32)
        last = np.where(np.isnan(curve), -np.inf, curve)[:, -self.settings.train.best_of_last :].max(1)
        return Outcome(
            status=status,
            score=np.where(status == Status.OK, last, np.nan),
            curve=curve,
            seconds=np.full(n, seconds),
            parameters=np.array([c.parameters for c in costs]),
            multiply_adds=np.array([c.multiply_adds for c in costs]),
            architectures=tuple(self.children.describe(a) for a in architectures),
        )
