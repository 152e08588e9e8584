"""Evaluation by training: decode, plan, train group after group.

Letters: N children, n of them, T decisions, E epochs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from itertools import pairwise
from operator import attrgetter
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxnas.children import alone
from jaxnas.evaluators import memory
from jaxnas.evaluators.groups import Group, Plan, Workload
from jaxnas.evaluators.halving import SuccessiveHalving
from jaxnas.evaluators.memory import DoesNotFitError, fitting
from jaxnas.evaluators.plan import PROGRAMS, EngineName, Planner
from jaxnas.evaluators.rounds import Paused, Round
from jaxnas.evaluators.scoring import kept_bytes
from jaxnas.evaluators.train import Result, Train, Trainer
from jaxnas.evaluators.trainings import check_trainings
from jaxnas.fingerprint import of_data
from jaxnas.outcome import Outcome, Progress, Status, Trial
from jaxnas.ranges import ChildCount, Range
from jaxnas.rewards import INFEASIBLE, Reward, told
from jaxnas.settings import settings
from jaxnas.tasks import HeldOut, notes_of

MANY = 500
"""So many children take seconds to plan: it is said before."""


@settings
class Population:
    """Train every child of a round, many at a time.

    Attributes:
        train: how a child is trained.
        group_size: the greatest number of children that train together in one program (rounded up to a multiple of
            the devices); None: as many as memory allows, and on CPU as two minutes can train.
        engine: how different convolutions run in one program: "padded" (all do the work of the largest), "branching"
            (each its own), "ragged" (each its own, in one kernel; for GPUs), or "auto": the one whose predicted time
            for a search is least (`Planner`); `python -m jaxnas plan` shows it.
        halving: early stopping of a round's worst children; by default all are trained to the end, as in the paper.
        memory: GiB that a group may take on one device; None: most of a GPU's, its share of half of a computer's.
        programs: how many a round may need: children whose static values differ cannot share one.
    """

    train: Train = field(default_factory=Train)
    group_size: ChildCount | None = None
    engine: EngineName = "auto"
    halving: SuccessiveHalving = field(default_factory=SuccessiveHalving)
    memory: Annotated[float, Range(0, 1e6, "(]")] | None = None
    programs: Annotated[int, Range(1, 10_000)] = PROGRAMS

    def __post_init__(self):
        if max(self.halving.rungs, default=0) >= self.train.epochs:
            raise ValueError(f"rungs={self.halving.rungs}: each must be less than the {self.train.epochs} epochs")

    def bind(self, space, task, seed: int, trials: int) -> "PopulationEvaluator":
        """Read the data and put it on the device."""
        del trials  # rounds may be added later: how many there are must not change a child
        return PopulationEvaluator(self, space, task, seed)


class PopulationEvaluator:
    """The function that `Population.bind` gives; it keeps the data, the compiled programs and what it planned."""

    def __init__(self, settings: Population, space, task, seed: int):
        data, train = task.search_data(seed), settings.train
        self.settings, self.space, self.reward = settings, space, attrgetter("score")
        self._fingerprint, self._about, self.notes = of_data(data), data.facts(), notes_of(data)
        self.children = space.children(data.input_shape, data.classes, train.dtype)
        check_trainings(space, self.children, data, train, settings.halving)
        devices = jax.local_devices()[: settings.group_size]
        self.images = data.seen(train.batch_size) * train.epochs  # that a child sees, all epochs together
        budget = memory.budget(devices) if settings.memory is None else int(settings.memory * 2**30)
        self.trainer = Trainer(self.children, task, data, train, seed, len(devices), threads=False, budget=budget)
        settled = self.images, train.batch_size, devices[0].platform, len(devices), budget, train.epochs
        work = Workload(*settled, kept_bytes(task, data))
        self.planner = Planner(self.children, work, settings.engine, settings.group_size, settings.programs)

    def __call__(
        self,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Mapping[int, Trial] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome]]:
        """Train the children that are not finished; yields rows and outcome of those that are done."""
        yield from self._run(self._round(tokens, trial_ids, finished, on_progress))

    def tested(
        self,
        examples: HeldOut,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Mapping[int, Trial] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome, Float[np.ndarray, " n"]]]:
        """As a call, with each child's score on further examples after its last epoch, ``[n]``: NaN where it failed or
        was stopped. For tables: a search has no test examples to give.
        """
        this = self._round(tokens, trial_ids, finished, on_progress)
        this.examples = examples
        for rows, outcome in self._run(this):
            yield rows, outcome, np.array([this.scores.get(row, np.nan) for row in rows])

    def _round(self, tokens, trial_ids, finished, on_progress) -> Round:
        row_of, finished = {int(trial): row for row, trial in enumerate(trial_ids)}, finished or {}
        done = {row_of[trial]: finished[trial] for trial in finished}
        this = Round([self.space.decode(row) for row in tokens], list(map(int, trial_ids)), done, on_progress)
        this.places = {row: trial.places for row, trial in done.items()}
        this.seconds.update({row: trial.seconds for row, trial in done.items()})
        return this

    def _run(self, this: Round) -> Iterator[tuple[list[int], Outcome]]:
        """Plan a round, train it, and remember what came of the plan."""
        if len(this.architectures) >= MANY:
            this.tell(self._progress("planning", len(this.architectures), 0, self.settings.train.epochs))
        plan, done = self.planner.plan(this.architectures), this.finished
        groups = [group.without(done) for group in plan.groups]
        for rung, epochs in enumerate(self._spans()):
            for group in groups:
                yield from self._train(group, this, self._own_span(group.inside, epochs))
            if epochs.stop < self.settings.train.epochs:
                yield from self._stop(rung, epochs.stop, this)
                groups = self._packed(this)
        self.planner.learn(plan, this.places)

    def plan(self, tokens: Int[np.ndarray, "N T"]) -> Plan:
        """How a round would be cut next; nothing is remembered."""
        return self.planner.plan([self.space.decode(row) for row in tokens])

    def fingerprint(self) -> dict[str, str]:
        """That of training and validation data."""
        return self._fingerprint

    def about(self) -> dict:
        """What is said of both."""
        return self._about

    def rank_by(self, reward: Reward) -> None:
        """What decides who is stopped early; without it the score does."""
        self.reward = reward

    def describe(self, tokens: Int[np.ndarray, " T"]) -> dict:
        """The architecture that tokens mean, as JSON values."""
        return self.children.describe(self.space.decode(tokens))

    def _spans(self) -> list[range]:
        """The epochs from the start to the first rung, from there to the next, and on to the end."""
        ends = (0, *self.settings.halving.rungs, self.settings.train.epochs)
        return [range(*pair) for pair in pairwise(ends)]

    def _own_span(self, inside, epochs: range) -> range:
        """These epochs, or all that the children of an envelope have where they decide how many."""
        own = self.trainer.of(inside).train.epochs
        return epochs if own == self.settings.train.epochs else range(own)  # and then there is no early stopping

    def _train(self, group: Group, this: Round, epochs: range) -> Iterator[tuple[list[int], Outcome]]:
        """Train a group through some epochs; where memory does not suffice, its halves one after the other.

        Yields outcomes after the last epoch, and of those who do not fit even into the smallest group.
        """
        if not group.rows:
            return
        size, result = len(group.places), self._result(group, this, epochs)
        half, rows = self.planner.halved(size), list(group.rows)
        if result is None and half:
            for at in range(0, len(rows), half):
                part = self.planner.group(rows[at : at + half], group.inside, half, this.architectures)
                yield from self._train(part, this, epochs)
            return
        if epochs.start == 0:  # later programs are smaller where few go on, not for lack of memory
            this.places |= dict.fromkeys(rows, size)
        if result is None:
            nothing = np.full((len(rows), epochs.stop), np.nan)
            yield rows, self._outcome(rows, np.full(len(rows), Status.OUT_OF_MEMORY), nothing, this)
            return
        taken = [place for place, row in enumerate(group.places) if row is not None]
        for row in rows:
            this.seconds[row] += result.seconds / len(rows)
        if epochs.stop < self.trainer.of(group.inside).train.epochs:
            ones = (Paused(group.inside, size, result.one(place)) for place in taken)
            this.paused |= dict(zip(rows, ones, strict=True))
        else:
            status = np.where(result.alive[taken], Status.OK, Status.DIVERGED)
            yield rows, self._outcome(rows, status, result.curve[taken], this)

    def _result(self, group: Group, this: Round, epochs: range) -> Result | None:
        """What training gives; None: there was not enough memory."""
        genes = [self.children.place(this.architectures[row], group.inside) for row in group.filled]
        since = [this.paused[row].result for row in group.filled] if epochs.start else None
        trainer = self.trainer.of(group.inside)
        tell = lambda doing, epoch: this.tell(self._progress(doing, len(group.rows), epoch, trainer.train.epochs))
        trial_ids = [this.trial_ids[row] for row in group.filled]
        last = this.examples is not None and epochs.stop == trainer.train.epochs
        try:
            with fitting():
                result = trainer.run(group.inside, genes, trial_ids, tell, None, group.live, epochs, since)
                scores = trainer.score(group.inside, genes, trial_ids, result, this.examples) if last else []
        except DoesNotFitError:
            return None
        if last:
            this.scores |= {row: scores[place] for place, row in enumerate(group.places) if row is not None}
        return result

    def _stop(self, rung: int, epochs: int, this: Round) -> Iterator[tuple[list[int], Outcome]]:
        """End those of the paused that do not go on from a rung. What finished earlier counts in the ranking, so that
        a resumed round stops the same ones.
        """
        going = self.settings.halving.survivors(rung, len(this.architectures), self._ranks(epochs, this))
        rows = [row for row in this.paused if row not in going]
        if rows:
            results = [this.paused.pop(row).result for row in rows]
            status = np.array([Status.STOPPED if result.alive else Status.DIVERGED for result in results])
            yield rows, self._outcome(rows, status, np.stack([result.curve for result in results]), this)

    def _ranks(self, epochs: int, this: Round) -> dict[int, tuple[float, float]]:
        """Reward and score at a rung, by row, of the children of the round that have not failed by then; a reward of
        `INFEASIBLE` stays, and is the least.
        """
        curves = {row: paused.result.curve for row, paused in this.paused.items()}
        curves |= {row: np.array(trial.curve, np.float64) for row, trial in this.finished.items()}
        rows = [row for row, curve in curves.items() if not np.isnan(curve[epochs - 1])]
        if not rows:
            return {}
        so_far = np.array([np.where(np.arange(len(curves[row])) < epochs, curves[row], np.nan) for row in rows])
        outcome = self._outcome(rows, np.full(len(rows), Status.OK), so_far, this)
        rewards, infeasible = told(self.reward, replace(outcome, score=so_far[:, epochs - 1]))
        ranks = zip(np.where(infeasible, INFEASIBLE, rewards).tolist(), so_far[:, epochs - 1].tolist(), strict=True)
        return dict(zip(rows, ranks, strict=True))

    def _packed(self, this: Round) -> list[Group]:
        """The survivors in as few programs as hold them, each in the envelope it began in."""
        programs = defaultdict(list)
        for row, paused in this.paused.items():
            programs[paused.inside, paused.places].append(row)
        return [
            group
            for (inside, size), rows in programs.items()
            for group in self.planner.packed(rows, inside, size, this.architectures)
        ]

    def _progress(self, doing: str, children: int, epoch: int, epochs: int) -> Progress:
        programs, seconds = len(self.trainer.programs), self.trainer.compile_seconds
        return Progress(doing, children, epoch, epochs, programs, seconds)

    def _outcome(self, rows: list[int], status, curve, this: Round) -> Outcome:
        """The outcome of some rows, from their status ``[n]`` and curves ``[n, E]``."""
        architectures = [this.architectures[row] for row in rows]
        costs = [alone(self.children, a) for a in architectures]
        failed = np.array([Status(s).failed for s in status])
        return Outcome(
            status=status.astype(np.int32),
            score=np.where(failed, np.nan, [self._score(values) for values in curve]),
            curve=curve,
            seconds=np.array([this.seconds[row] for row in rows]),
            places=np.array([this.places[row] for row in rows]),
            parameters=np.array([c.parameters for c in costs]),
            multiply_adds=np.array([c.multiply_adds for c in costs]),
            architectures=tuple(self.children.describe(a) for a in architectures),
        )

    def _score(self, curve) -> float:
        """The best of the last scores of one child; NaN where it has none."""
        known = curve[~np.isnan(curve)]
        return known[-self.settings.train.best_of_last :].max() if len(known) else np.nan
