"""Final training: the chosen architecture from scratch on all training data, then the test score, once."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import jax
import numpy as np

from jaxnas import fingerprint
from jaxnas.checkpoint import MOVE, Checkpoints
from jaxnas.children import alone, own_training, unpadded, widened
from jaxnas.children.normalised import check_normalised
from jaxnas.evaluators.memory import DoesNotFitError, budget, fitting
from jaxnas.evaluators.programs import ChildState
from jaxnas.evaluators.train import Result, Train, Trainer, trained_by
from jaxnas.final_data import check_final_data
from jaxnas.named_trial import named_trial
from jaxnas.numerics import NUMERICS, pinned
from jaxnas.outcome import Progress, Status, Trial
from jaxnas.ranges import Epochs, Limit, Range, Share
from jaxnas.settings import describe, differing, settings
from jaxnas.tasks import learnt, measure_of
from jaxnas.tasks.classification import Augment

FOLDER = "final"
NOTHING = (
    "this search has no task, so there is nothing to train or to export: `python -m jaxnas show` has what was found"
)


@settings
class Final:
    """How the winner is trained; nothing of it changes the search.

    Attributes:
        train: epochs, batch size and optimiser; `best_of_last` is not used, the test score is that of the last epoch.
        augment: changes of the training batches; None: the task's own.
        label_smoothing: share of a label that the loss spreads over all classes; None: the task's own.
        limit: learn from so many training examples only; None: the task's own limit. More than there are: all of them.
        width: so many times the filters in every layer (the "more filters" of Zoph & Le, section 4.1), or the hidden
            units of recurrent cells.
        seeds: trainings that differ in initial weights, order of batches, augmentation and dropout, all together in one
            program; the first has the trial's own.
        save_every: epochs between checkpoints, from which a killed training goes on.
    """

    train: Train = field(default_factory=lambda: Train(epochs=30))
    augment: Augment | None = None
    label_smoothing: Share | None = None
    limit: Limit | None = None
    width: Annotated[float, Range(0, 1000, "(]")] = 1.0
    seeds: Annotated[int, Range(1, 1000)] = 1
    save_every: Epochs = 1

    def task(self, own):
        """The experiment's task, changed for final training. Raises ValueError where it is None or lacks a setting."""
        if own is None:
            raise ValueError(NOTHING)
        wanted = {name: getattr(self, name) for name in ("augment", "label_smoothing", "limit")}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        has = {f.name for f in dataclasses.fields(own)} if dataclasses.is_dataclass(own) else set()
        for name in wanted.keys() - has:
            raise ValueError(
                f"final.{name}={wanted[name]}: the task {type(own).__name__} has no field {name} to be replaced: "
                f"give it one, or leave final.{name} at None"
            )
        return dataclasses.replace(own, **wanted) if wanted else own


@dataclass(frozen=True)
class FinalResult:
    """What the ledger keeps of a final training.

    Attributes:
        status: "ok", or "diverged" where all seeds did.
        test_score: mean over the seeds; None where all diverged.
        test_std: its standard deviation (n - 1); None for fewer than two scores.
        test_scores: one a seed, None where it diverged.
        test_examples: how many.
        measure: how the scores are read.
        settings: the `Final` it came from.
        architecture: as it was trained, widened.
        parameters: of one network; multiply_adds: for one example (of text: one symbol), forward.
        seconds: of training all seeds, compilation apart.
        data: its fingerprint.
        unknown: share of the test text that is <unk>.
    """

    trial_id: int
    status: str
    test_score: float | None
    test_std: float | None
    test_scores: list[float | None]
    test_examples: int
    train_examples: int
    epochs: int
    measure: str
    settings: dict
    architecture: dict
    parameters: int
    multiply_adds: int
    seconds: float
    data: dict
    unknown: float


def train_final(
    experiment, workdir: Path, trial: Trial | int, on_progress: Callable[[Progress], None] = lambda progress: None
) -> dict:
    """Train a trial's architecture in its own tight envelope: the ordinary, unpadded network.

    Checkpoints lie in ``workdir/final/TRIAL``: a killed training goes on from the newest, to the same numbers; a
    finished one is not trained again. The last one keeps the networks, see `jaxnas.trained`.

    Args:
        experiment: the search's; its ``final`` settings hold.
        workdir: the search's directory.
        trial: which architecture, or its number; its id and the seed give the initial weights.
        on_progress: told what begins and how many epochs are done; ``children`` are the seeds that have not diverged.

    Returns:
        `FinalResult` as a dict. The test data is scored after the last epoch, once for each seed.

    Raises:
        ValueError: a trial that diverged, checkpoints of something else or damaged, not enough memory.
        OSError: a checkpoint cannot be written.
    """
    trial = named_trial(workdir, trial)
    known = finished(experiment, workdir, trial)
    if known is not None:
        return known
    with pinned():
        return _Training(experiment, workdir, trial, on_progress).run()


def finished(experiment, workdir: Path, trial: Trial) -> dict | None:
    """The result of a trial's final training; None where it has not come to its end.

    Raises:
        ValueError: no task, a trial that diverged, checkpoints of other settings or another architecture, or damaged.
    """
    experiment.final.task(experiment.task)
    if trial.status == Status.DIVERGED.label:
        raise ValueError(
            f"trial {trial.trial_id} diverged in the search: choose one that has a score, "
            f"`python -m jaxnas trials {workdir}` lists them"
        )
    kept = checkpoints(workdir, trial)
    facts = kept.facts()
    if facts is None:
        return None
    check_same(kept, facts, "settings", settings(experiment, trial))
    return facts["result"]


def checkpoints(workdir: Path, trial: Trial) -> Checkpoints:
    """Where a trial's final training is kept."""
    return Checkpoints(Path(workdir) / FOLDER / str(trial.trial_id))


def settings(experiment, trial: Trial) -> dict:
    """All that decides a final training but the data, as JSON values."""
    own = describe(experiment.final)
    del own["save_every"]
    return {
        "trial": trial.trial_id,
        "architecture": trial.architecture,
        "seed": experiment.seed,
        "numerics": NUMERICS,
        "space": describe(experiment.space),
        "task": describe(experiment.final.task(experiment.task)),
        "final": own,
    }


def check_same(kept: Checkpoints, facts: dict, part: str, wanted: dict) -> None:
    """Raises ValueError where a part of a checkpoint's facts is not what is wanted."""
    changed = differing(facts[part], wanted)
    if any(name.startswith("architecture.") for name in changed):
        raise ValueError(f"{kept.folder} holds a training of another architecture: {MOVE}")
    if changed:
        lines, known = "\n  ".join(changed.values()), facts["result"]
        what = "a training" if known is None else "a finished training"
        raise ValueError(f"{kept.folder} holds {what} with other {part}:\n  {lines}\ngive these again, or {MOVE}")


class _Training:
    """The seeds of one architecture as a group that can be left after any epoch."""

    def __init__(self, experiment, workdir: Path, trial: Trial, on_progress: Callable[[Progress], None]):
        self.final, self.trial, self.on_progress = experiment.final, trial, on_progress
        seeds = self.final.seeds
        task = self.final.task(experiment.task)
        self.data = task.final_data(experiment.seed)
        self.fingerprint = fingerprint.of_data(self.data)
        check_final_data(experiment, workdir, self.fingerprint)
        children = experiment.space.children(self.data.input_shape, self.data.classes, self.final.train.dtype)
        architecture = experiment.space.decode(np.array(trial.tokens, np.int32))
        self.children, self.architecture = widened(children, architecture, self.final.width)
        devices = jax.local_devices()[:seeds]
        self.inside = unpadded(self.children, self.architecture, devices[0].platform)
        train = trained_by(self.final.train, own_training(self.inside), epochs=False)
        check_normalised(self.children, train.batch_size, self.architecture)
        more = {"own_batches": True, "budget": budget(devices)}
        self.trainer = Trainer(self.children, task, self.data, train, experiment.seed, len(devices), **more)
        self.live = [seed < seeds for seed in range(-(-seeds // len(devices)) * len(devices))]
        self.genes = [self.children.place(self.architecture, self.inside)] * len(self.live)
        self.kept = checkpoints(workdir, trial)
        self.facts = {
            "settings": settings(experiment, trial),
            "data": self.data.facts() | {"fingerprint": self.fingerprint},
            "seconds": 0.0,
            "result": None,
        }

    def run(self) -> dict:
        """From the newest checkpoint to the end."""
        total, every, since = self.final.train.epochs, self.final.save_every, self._restored()
        alive = np.array(self.live if since is None else [one.alive for one in since])
        done = self.kept.epochs() or 0
        while done < total and alive.any():
            epochs = range(done, min(total, done + every))
            result = self._train(epochs, since, alive)
            done, alive = epochs.stop, result.alive
            self.facts["seconds"] += result.seconds
            if done < total:
                since = [result.one(i) for i in range(len(alive))]
                self._save(done, result.states)
            self._tell("training", done, alive)
        if not alive.any():
            self.kept.remove()  # there is no network to keep
            return self._result([None] * self.final.seeds)
        scores = [float(row[-1]) if good else None for row, good in zip(result.curve, alive, strict=True)]
        self.facts["result"] = self._result(scores[: self.final.seeds])
        self._save(total, self._kept(result.states))
        return self.facts["result"]

    def _kept(self, states: ChildState) -> ChildState:
        learner = self.trainer.learner(self.inside, self.genes[0])
        return states._replace(learnt=learner.kept(states.learnt))

    def _train(self, epochs: range, since: Sequence[Result] | None, alive) -> Result:
        last, names = self.final.train.epochs - 1, [(self.trial.trial_id, seed) for seed in range(len(self.live))]
        tell = lambda doing, epoch: self._tell(doing, epoch, alive)
        try:
            with fitting():
                return self.trainer.run(self.inside, self.genes, names, tell, {last}, self.live, epochs, since)
        except DoesNotFitError as error:
            raise ValueError(
                f"{self.final.seeds} networks of {alone(self.children, self.architecture).parameters:,} parameters do "
                "not fit into memory together: lower --final.seeds or --final.train.batch-size"
            ) from error

    def _restored(self) -> list[Result] | None:
        """Where the newest checkpoint left each place of the group; None: there is none."""
        facts = self.kept.facts()
        if facts is None:
            return None
        check_same(self.kept, facts, "data", self.facts["data"])
        seeds = self.final.seeds
        states = self.kept.restore(self.trainer.shapes(self.inside, self.genes[:seeds]))
        self.facts["seconds"] = facts["seconds"]
        result = Result(np.full((seeds, self.final.train.epochs), np.nan), states.alive, facts["seconds"], states)
        ones = [result.one(i) for i in range(seeds)]
        return ones + [ones[0]._replace(alive=np.False_)] * (len(self.live) - seeds)

    def _save(self, epochs: int, states) -> None:
        seeds = jax.tree.map(lambda a: np.asarray(a)[: self.final.seeds], states)
        self.kept.save(epochs, seeds, self.facts)

    def _tell(self, doing: str, epoch: int, alive) -> None:
        trainer, epochs = self.trainer, self.final.train.epochs
        programs = len(trainer.programs)
        self.on_progress(Progress(doing, int(np.sum(alive)), epoch, epochs, programs, trainer.compile_seconds))

    def _result(self, scores: list[float | None]) -> dict:
        cost, known = alone(self.children, self.architecture), [score for score in scores if score is not None]
        result = FinalResult(
            trial_id=self.trial.trial_id,
            status=(Status.OK if known else Status.DIVERGED).label,
            test_score=statistics.fmean(known) if known else None,
            test_std=statistics.stdev(known) if len(known) > 1 else None,
            test_scores=scores,
            test_examples=len(self.data.held_out),
            train_examples=learnt(self.data, self.trainer.train.batch_size),
            epochs=self.final.train.epochs,
            measure=measure_of(self.trainer.task),
            settings=describe(self.final),
            architecture=self.children.describe(self.architecture),
            parameters=cost.parameters,
            multiply_adds=cost.multiply_adds,
            seconds=self.facts["seconds"],
            data=self.fingerprint,
            unknown=self.facts["data"].get("unknown", 0.0),
        )
        return dataclasses.asdict(result)
