"""A tabular benchmark: every architecture of a space, or a sample of them, trained with several seeds.

Test data is read here, for every architecture: a benchmark is no search. Law 8, that a search never reads it, stands:
what searches the table looks up validation scores.

Letters: N architectures, T decisions.
"""

import zlib
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.decisions import Decisions
from jaxnas.evaluators import Population
from jaxnas.evaluators.population import PopulationEvaluator
from jaxnas.experiment import Experiment, describe
from jaxnas.fingerprint import digest
from jaxnas.numerics import NUMERICS, pinned
from jaxnas.outcome import Progress
from jaxnas.rng import key_for
from jaxnas.strategies import Random
from jaxnas.tabulate.table import SPEED, check_free, partial, write
from jaxnas.tabulate.working import Working, opened
from jaxnas.tasks import measure_of, notes_of

MOST = 200_000
"""Architectures of a table."""
MOST_SEEDS = 10_000
FASTEST = 1e21
"""Multiply-adds a second: no machine has so many."""
ROUND = 128
"""Architectures that are planned together. Of the plan's groups each is kept when it is done."""


@runtime_checkable
class TableCallback(Protocol):
    """Who is told how a table is made."""

    def begin(self, trainings: int, done: int) -> None: ...

    def note(self, line: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def trained(self, trainings: int) -> None: ...


def tabulate(
    experiment: Experiment,
    out: Path,
    callback: TableCallback,
    seeds: int = 1,
    sample: int | None = None,
    speed: float = SPEED,
    origin: dict | None = None,
    curves: bool = True,
) -> dict:
    """Train all architectures and write their table; killed, it goes on, to the same file byte for byte.

    Row r with seed k is what `experiment.evaluator` makes of trial r with the seed ``experiment.seed + k``: a function
    of the configuration, the number of the row and the seed alone.

    Args:
        experiment: of which space, task, evaluator and seed count.
        out: the file, ``*.csv.gz``. Beside it lie ``*.partial`` while it is made, and ``*.json``, what it came from.
        callback: told of progress.
        seeds: trainings of each architecture.
        sample: so many architectures, drawn by the experiment's seed; None: all.
        speed: multiply-adds a second, from which the column ``seconds`` is computed.
        origin: JSON values for ``*.json``: the config's text, the machine.
        curves: whether the table has the scores after each epoch, not the last alone.

    Returns:
        What ``*.json`` holds.

    Raises:
        ValueError: the file exists, another process writes it, the space is too large, what is there is another
            table's, or this evaluator trains nothing or stops children early.
        OSError: it cannot be written; what is trained is kept.
    """
    origin = origin or {}
    _check(experiment, out, seeds, speed)
    tokens = architectures(experiment.space.decisions, sample, experiment.seed)
    about = {name: describe(getattr(experiment, name)) for name in ("space", "task", "evaluator", "seed")}
    about |= {"sample": sample, "architectures": len(tokens), "tokens crc32": zlib.crc32(tokens.tobytes())}
    about |= {"numerics": NUMERICS, "measure": measure_of(experiment.task)}
    with opened(partial(out), about, origin, callback.note) as working, pinned():
        check_free(out)  # another process may have come to its end
        callback.begin(seeds * len(tokens), sum(len(working.rows(seed)) for seed in range(seeds)))
        for seed in range(seeds):
            _train(experiment, tokens, seed, working, callback)
        made = [working.rows(seed) for seed in range(seeds)]
        origin = {"configuration": about, "measure": about["measure"], **origin}
        facts = write(out, tokens, made, speed, origin, about["measure"], curves)
        working.remove()
    return facts


def architectures(decisions: Decisions, sample: int | None, seed: int) -> Int[np.ndarray, "N T"]:
    """The tokens of a table's rows, ascending; each sample of the decisions once, -1 where one does not exist.

    A sample of a space that can be listed is uniform over its architectures; that of a larger one is uniform over each
    decision, as `Random` proposes, and what was drawn before is drawn again.

    Args:
        decisions: the space's.
        sample: how many; None: all.
        seed: what draws them.

    Raises:
        ValueError: more than there are or than `MOST`, or less than one.
    """
    every = decisions.every(MOST)
    if sample is None:
        if every is None:
            raise ValueError(f"the space has more than {MOST:,} architectures: give --sample N for so many of them")
        return every
    if not 1 <= sample <= (MOST if every is None else len(every)):
        most = f"{MOST:,}" if every is None else f"the {len(every):,} architectures of the space"
        raise ValueError(f"--sample {sample}: give a number from 1 to {most}")
    if every is None:
        return _drawn(decisions, sample, seed)
    order = np.asarray(jax.random.permutation(key_for(seed, "table"), len(every)))
    return every[np.sort(order[:sample])]


def _drawn(decisions: Decisions, sample: int, seed: int) -> Int[np.ndarray, "N T"]:
    """So many different ones, ascending."""
    found, draws = set(), 0
    state = Random().init(decisions, key_for(seed, "strategy"))
    while len(found) < sample:
        some = Random().propose(state, key_for(seed, "table", draws), sample)
        for row in np.asarray(some).tolist():
            if len(found) < sample:
                found.add(tuple(row))
        draws += 1
    return np.array(sorted(found), np.int32)


def _check(experiment: Experiment, out: Path, seeds: int, speed: float) -> None:
    """Raises ValueError for what cannot be."""
    check_free(out)
    if experiment.task is None:
        raise ValueError(
            f"{type(experiment.evaluator).__name__} trains nothing: give evaluator=Population(...) and a task"
        )
    if not (1 <= seeds <= MOST_SEEDS and experiment.seed + seeds <= 2**31):
        raise ValueError(f"--seeds {seeds}: give 1 to {MOST_SEEDS:,}, so that seed + seeds is at most 2**31")
    if not 0 < speed <= FASTEST:
        raise ValueError(f"--speed {speed}: give multiply-adds a second, more than 0 and {FASTEST:.0e} at most")
    if isinstance(experiment.evaluator, Population) and experiment.evaluator.halving.rungs:
        rungs = experiment.evaluator.halving.rungs
        raise ValueError(f"evaluator.halving.rungs={rungs}: a table holds whole trainings, leave it empty")


def _train(experiment: Experiment, tokens, seed: int, working: Working, callback: TableCallback) -> None:
    """Train what is missing of one seed. Finished rounds are gone through too: plans depend on those before."""
    if len(working.rows(seed)) == len(tokens):
        return
    number = experiment.seed + seed
    evaluate = experiment.evaluator.bind(experiment.space, experiment.task, number, len(tokens))
    if not isinstance(evaluate, PopulationEvaluator):
        raise ValueError(f"{type(experiment.evaluator).__name__} trains nothing: give evaluator=Population(...)")
    for line in notes_of(evaluate) if seed == 0 else ():
        callback.note(line)
    examples = experiment.task.final_data(number).held_out
    working.check_data(seed, evaluate.fingerprint() | {"test data": digest(examples)})
    for at in range(0, len(tokens), ROUND):
        some = tokens[at : at + ROUND]
        ids = np.arange(at, at + len(some))
        for rows, outcome, tests in evaluate.tested(examples, some, ids, working.trials(seed, ids), callback.progress):
            working.append(seed, ids[rows], outcome, tests, evaluate.images)
            callback.trained(len(rows))


__all__ = ["MOST", "ROUND", "SPEED", "TableCallback", "architectures", "tabulate"]
