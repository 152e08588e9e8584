#!/usr/bin/env python3
"""Is the cell that a search found better than an LSTM and a GRU of the same size, trained in the same way?

    python benchmarks/cells_against_lstm.py CONFIG WORKDIR [--seeds 3] [--rates 0.003,0.01,0.03] [--folder DIR]
        [--trial N] [--SETTING VALUE ...]

The cell is the best trial of the search in WORKDIR, which is only read. The others have so many hidden units that their
networks come nearest to its number of parameters. Every kind is trained as the config's `final` says: once at each rate
on the search's training text, where the validation text tells which rate it keeps; then over the seeds on both texts,
and the test text is read once, at the end. No kind begins with initial weights that the search has seen. Final
trainings lie in DIR, where a killed benchmark finds them again; by default they are thrown away.

Prints, for each kind, a line for each rate (validation), and then a table: hidden units, parameters, the rate, and of
the test text bits a character (words: perplexity): mean, standard deviation, each seed; seconds of the final training.
"""

import argparse
import math
import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import workloads

from jaxnas import setup
from jaxnas.children import alone
from jaxnas.children.recurrent.architecture import Standard
from jaxnas.evaluators import Population
from jaxnas.experiment import Experiment
from jaxnas.final import train_final
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Trial
from jaxnas.spaces import RecurrentCell, StandardCell

ROW = "{:6} {:>6} {:>10} {:>8} {:>9} {:>8}  {:30} {:>8}"


def main() -> None:
    options, overrides = _arguments()
    setup.use_all_cores()
    experiment = _experiment(options, overrides)
    found = _trial(experiment, options.workdir, options.trial)
    kinds = _kinds(experiment, found)
    measure = experiment.task.measure
    print(workloads.machine())
    print(f"trial {found.trial_id} of {options.workdir}: {experiment.space.decode(np.array(found.tokens, np.int32))}")
    with tempfile.TemporaryDirectory() as thrown_away:
        folder, rows = options.folder or Path(thrown_away), []
        for name, (space, trial) in kinds.items():
            own = replace(experiment, space=space)
            rate = _best_rate(name, own, trial, options.rates)
            result = train_final(_at(own, rate), folder / name, trial)
            rows.append(row(name, space, rate, result, measure))
            print(f"{name}: final training done, test {rows[-1][4]} {measure.value}", flush=True)
    print(ROW.format("kind", "hidden", "parameters", "rate", "test", "+-", f"each seed ({measure.value})", "seconds"))
    for cells in rows:
        print(ROW.format(*cells))


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    rates = lambda text: [float(rate) for rate in text.split(",")]
    parser.add_argument("config", type=Path)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=rates, default=[0.003, 0.01, 0.03], help="separated by commas")
    parser.add_argument("--trial", type=int, help="default: the best")
    parser.add_argument("--folder", type=Path, help="keep final trainings here")
    return parser.parse_known_args()


def _experiment(options, overrides: list[str]) -> Experiment:
    """The config's, with so many seeds. Raises ValueError for what cannot be compared here."""
    experiment, _ = setup.load(options.config, overrides)
    if not isinstance(experiment.space, RecurrentCell):
        raise ValueError(f"{options.config} searches no recurrent cells")
    if experiment.final.width != 1:
        raise ValueError(f"final.width={experiment.final.width}: give the hidden units as --space.model.hidden instead")
    if options.folder and options.workdir.resolve() in [options.folder.resolve(), *options.folder.resolve().parents]:
        raise ValueError(f"{options.folder} lies in the search's directory, in which nothing is changed: give another")
    return replace(experiment, final=replace(experiment.final, seeds=options.seeds))


def _trial(experiment: Experiment, workdir: Path, number: int | None) -> Trial:
    """The trial of that number, None: the best. Raises ValueError where there is none, or one of another space."""
    ledger = Ledger(workdir)
    best = ledger.top(1) if number is None else [ledger.trial(number)]
    ledger.close()
    if not best:
        raise ValueError(f"no trial in {workdir} has a score yet: let the search run first")
    tree = experiment.space.decode(np.array(best[0].tokens, np.int32))
    if best[0].architecture["nodes"] != [list(node) for node in tree.nodes]:
        raise ValueError(f"{workdir} is of another space than the config's: give the config that it was searched with")
    return best[0]


def _kinds(experiment: Experiment, found: Trial) -> dict[str, tuple[RecurrentCell | StandardCell, Trial]]:
    """Name -> space and trial of what is compared."""
    model, data = experiment.space.model, experiment.task.search_data(experiment.seed)
    children = lambda space: space.children(data.input_shape, data.classes)

    def trial(space, tokens) -> Trial:
        cell = space.decode(np.array(tokens, np.int32))
        unseen = 2**30  # initial weights depend on the trial's number
        facts = children(space).describe(cell), "ok", None, 0.0, ()
        cost = alone(children(space), cell)
        return Trial(unseen, 0, tuple(tokens), *facts, cost.parameters, cost.multiply_adds, 0.0, 1)

    own = trial(experiment.space, found.tokens)
    spaces = {"found": experiment.space}
    for cell in ("lstm", "gru"):
        of = lambda hidden, cell=cell: StandardCell(cell, replace(model, hidden=hidden))
        size = lambda hidden, of=of, cell=cell: alone(children(of(hidden)), Standard(cell)).parameters
        above = next(hidden for hidden in count(1) if size(hidden) >= own.parameters)
        spaces[cell] = of(min(range(max(1, above - 1), above + 1), key=lambda h: abs(size(h) - own.parameters)))
    return {name: (space, own if name == "found" else trial(space, (0,))) for name, space in spaces.items()}


def _best_rate(name: str, experiment: Experiment, trial: Trial, rates: list[float]) -> float:
    """The rate with the best validation score after the last epoch."""
    scores = {}
    for rate in rates:
        train = replace(_at(experiment, rate).final.train, best_of_last=1)
        evaluate = Population(train).bind(experiment.space, experiment.task, experiment.seed, 1)
        numbers = np.array([trial.trial_id], np.int32)
        ((_, outcome),) = evaluate(np.array([trial.tokens], np.int32), numbers)
        scores[rate] = float(outcome.score[0])
        print(f"{name}: rate {rate:g}, validation {_read(experiment.task.measure, scores[rate]):.4f}", flush=True)
    good = {rate: score for rate, score in scores.items() if math.isfinite(score)}
    if not good:
        raise ValueError(f"{name} diverged at every rate of {', '.join(map(str, rates))}: give lower --rates")
    return max(good, key=good.get)


def _at(experiment: Experiment, rate: float) -> Experiment:
    """With that rate in final training."""
    train = experiment.final.train
    train = replace(train, optimiser=replace(train.optimiser, learning_rate=rate))
    return replace(experiment, final=replace(experiment.final, train=train))


def row(name: str, space, rate: float, result: dict, measure: Measure) -> list[str]:
    """One line of the table."""
    seeds = [math.nan if score is None else _read(measure, score) for score in result["test_scores"]]
    known = [value for value in seeds if math.isfinite(value)]
    spread = f"{statistics.stdev(known):.4f}" if len(known) > 1 else "-"
    mean = f"{statistics.fmean(known):.4f}" if known else "diverged"
    size = str(space.model.hidden), f"{result['parameters']:,}", f"{rate:g}"
    return [name, *size, mean, spread, ", ".join(f"{value:.4f}" for value in seeds), f"{result['seconds']:.0f}"]


def _read(measure: Measure, score: float) -> float:
    """A score, in nats with the sign turned, as the measure has it."""
    return -score / math.log(2) if measure is Measure.BITS else math.exp(-score)


if __name__ == "__main__":
    sys.exit(main())
