"""What a search has come to, from Python.

Letters: N trials.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxnas import setup
from jaxnas.experiment import Experiment
from jaxnas.export import Exported, Predictor, check_exportable, export
from jaxnas.final import Final
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.numerics import pinned
from jaxnas.outcome import Trial
from jaxnas.record import check_settings
from jaxnas.recorded import check_trains, chosen, recorded, trained
from jaxnas.report import pretty
from jaxnas.trained import load_trained

FIXED = ("trial", "round", "status", "score", "reward", "parameters", "multiply_adds", "seconds")
"""Columns of every frame."""
MORE = ("architecture", "reason", "copied_from")
"""Those that some have."""


@dataclass(frozen=True)
class Curve:
    """How a search has come to its best.

    Attributes:
        trials: how many were done, ``[N]``: 1, 2, ...
        seconds: that all of these took together, each by itself, compilation apart, ``[N]``.
        best: score of the best of these, as `Trial.score` has it; NaN while there is none, ``[N]``.
    """

    trials: Int[np.ndarray, " N"]
    seconds: Float[np.ndarray, " N"]
    best: Float[np.ndarray, " N"]


@dataclass(frozen=True, init=False)
class Found:
    """What a search has come to, read from its directory whenever it is asked.

    Args:
        workdir: the search's directory.
        experiment: what was searched there. None: the one that the directory records, where a command searched or a
            script that calls its experiment `experiment`. Only `final`, `export` and `predict` need it.

    Raises:
        ValueError: no search there, or another experiment's.
    """

    workdir: Path
    experiment: Experiment | None

    def __init__(self, workdir: str | PathLike, experiment: Experiment | None = None):
        object.__setattr__(self, "workdir", Path(workdir).absolute())
        object.__setattr__(self, "experiment", experiment)
        with self._ledger() as ledger:
            if experiment is not None:
                check_settings(experiment, ledger)

    @property
    def trials(self) -> list[Trial]:
        """All that are done, in their order."""
        with self._ledger() as ledger:
            return ledger.trials()

    @property
    def best(self) -> Trial | None:
        """The one with the greatest reward; None: no child has one."""
        with self._ledger() as ledger:
            return next(iter(ledger.top(1)), None)

    def curve(self) -> Curve:
        """The score of the best so far, after each trial."""
        trials, best, scores = self.trials, None, []
        for trial in trials:
            if trial.ranked and (best is None or trial.rank < best.rank):
                best = trial
            scores.append(np.nan if best is None else best.score)
        seconds = np.cumsum(np.array([trial.seconds for trial in trials], np.float64))
        return Curve(np.arange(1, len(trials) + 1), seconds, np.array(scores, np.float64))

    def frame(self) -> Any:
        """All trials as a pandas.DataFrame: a row each, with a column for each value that was searched, where
        architectures are such values, else one for the architecture in words; and for each figure that was found
        beside; and why children failed, and whose result was copied, where there are such. A name that there is
        already has "values." or "figures." before it.

        Raises:
            ValueError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ValueError("frame() needs pandas: pip install pandas") from error
        rows = _rows(self.trials)
        return pandas.DataFrame(rows, columns=None if rows else list(FIXED))

    def final(self, trial: int | None = None, settings: Final | None = None, quiet: bool = False) -> dict:
        """Train a network from scratch on all training data and read its test score, once: `python -m jaxnas final`.

        Args:
            trial: its number; None: the best.
            settings: how; None: the experiment's.
            quiet: print nothing.

        Returns:
            The recorded result, a `jaxnas.final.FinalResult` as a dict, such as ``["test_score"]`` (None: diverged).

        Raises:
            ValueError: no task, no such trial, a final training with other settings, or as `train_final`.
        """
        with locked(self.workdir), self._ledger(write=True) as ledger:
            ledger.check()
            with self._experiment(ledger) as experiment:
                experiment = experiment if settings is None else replace(experiment, final=settings)
                return trained(ledger, experiment, trial, quiet)

    def export(self, out: str | PathLike, trial: int | None = None) -> Exported:
        """Write a finally trained network into a new directory, as files that need no jaxnas.

        Args:
            out: the directory, which must not exist.
            trial: its number; None: the best.

        Raises:
            ValueError: as `jaxnas.export.export`; nothing is finally trained.
        """
        out = Path(out).absolute()
        with self._ledger() as ledger:
            ledger.check()
            one = chosen(ledger, trial)
            check_exportable(one, self.workdir)
            with self._experiment(ledger) as experiment, pinned():
                return export(load_trained(experiment, self.workdir, one), out)

    def predict(self, x: Any, trial: int | None = None) -> np.ndarray:
        """What a finally trained network says of new inputs.

        Args:
            x: images ``[M, H, W, C]`` in the units of the training images (uint8, not divided by anything): they are
                normalised inside. Of text: a str, a list of them of equal length, or numbers of symbols ``[M, T]``. Of
                `Tabular`: a data frame, dictionaries or one of them, by the columns' names, or rows ``[M, C]`` in their
                order, cells as in the table. Of `Ratings`: pairs ``[M, 2]``, user and item. Of `TextClassification`: a
                list of texts, or one.
            trial: its number; None: the best.

        Returns:
            Of images, classes of rows and of texts the probability of each class, float32 ``[M, K]``, in the order of
            ``experiment.task.final_data(0).class_names``; of regressions and ratings numbers ``[M]`` in the target's
            unit; of text the log-probability, in nats, of each symbol after each, ``[M, T, K]``.

        Raises:
            ValueError: nothing is finally trained; inputs of another kind than the network has learnt from.
        """
        with self._ledger() as ledger:
            check_trains(ledger)
            one = chosen(ledger, trial)
            known = ledger.facts().get(f"final:{one.trial_id}")
            with pinned():
                if known is None or self._predictors.get(one.trial_id, (None,))[0] != known:
                    with self._experiment(ledger) as experiment:
                        made = Predictor(load_trained(experiment, self.workdir, one))
                    self._predictors[one.trial_id] = (known, made)
                return self._predictors[one.trial_id][1](x)

    @cached_property
    def _predictors(self) -> dict[int, tuple[dict | None, Predictor]]:
        """By trial: the recorded final training, and its network."""
        return {}

    @contextmanager
    def _ledger(self, write: bool = False) -> Iterator[Ledger]:
        Ledger(self.workdir).close()  # says so, and makes nothing, where there is no search
        with closing(Ledger(self.workdir, write)) as ledger:
            yield ledger

    @contextmanager
    def _experiment(self, ledger: Ledger) -> Iterator[Experiment]:
        """The one given, or else recorded."""
        if self.experiment is None:
            with recorded(ledger, self.workdir, start=setup.begin) as experiment:
                yield experiment
        else:
            check_trains(ledger)
            setup.prepare(self.experiment, self.workdir)
            yield self.experiment


def _rows(trials: list[Trial]) -> list[dict[str, Any]]:
    """Of a frame. A name has the same column in all of them."""
    values = [_values(trial) for trial in trials]
    taken = {*FIXED, *MORE}
    named = taken.union(*values)
    return [
        _row(trial) | _named("values", own, taken) | _named("figures", trial.figures, named)
        for trial, own in zip(trials, values, strict=True)
    ]


def _row(trial: Trial) -> dict[str, Any]:
    """What every search has."""
    numbers = (trial.status, trial.score, trial.reward, trial.parameters, trial.multiply_adds, trial.seconds)
    row = dict(zip(FIXED, (trial.trial_id, trial.round, *numbers), strict=True))
    if not isinstance(trial.architecture.get("values"), dict):
        row["architecture"] = pretty(trial.architecture)
    if trial.reason:
        row["reason"] = trial.reason
    return row if trial.copied_from is None else row | {"copied_from": trial.copied_from}


def _values(trial: Trial) -> dict[str, Any]:
    try:
        return trial.values
    except ValueError:
        return {}


def _named(kind: str, found: Mapping[str, Any], taken: Set[str]) -> dict[str, Any]:
    return {f"{kind}.{name}" if name in taken else name: value for name, value in found.items()}
