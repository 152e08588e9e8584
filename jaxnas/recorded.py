"""What has been recorded of a search, to go on from: its experiment, its best trial; and what is made of a trial, by
commands and from Python alike.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxnas import report, setup
from jaxnas.experiment import Experiment
from jaxnas.final import NOTHING, finished, train_final
from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial
from jaxnas.record import check_same, record_final


@contextlib.contextmanager
def recorded(
    ledger: Ledger, workdir: Path, overrides: Sequence[str] = (), start: Callable[[], None] = setup.start
) -> Iterator[Experiment]:
    """The experiment that a ledger records; inside, the config's relative paths mean what they meant.

    Args:
        ledger: of the directory.
        workdir: the directory, absolute.
        overrides: of the command line.
        start: what to do before JAX computes anything.

    Raises:
        ValueError: nothing was to be trained in this search, it records no config, or one that is another experiment by
            now, as where something that it imports has changed.
    """
    check_trains(ledger)
    origin = ledger.facts().get("origin")
    if origin is None:
        raise ValueError(
            f"{workdir} records no config: its search was called from Python, or has not begun. Give the experiment "
            "there: jaxnas.Found(workdir, experiment).final(), and likewise export and predict"
        )
    start()
    experiment = setup.restore(origin["source"], Path(origin["config"]), [*origin["overrides"], *overrides])
    check_same(experiment, ledger)
    setup.use(experiment, workdir)
    begun = origin["directory"]
    with contextlib.chdir(begun if Path(begun).is_dir() else "."):
        yield experiment


def check_trains(ledger: Ledger) -> None:
    """Raises ValueError where a search has no task."""
    if ledger.facts().get("configuration", {}).get("task", ...) is None:
        raise ValueError(NOTHING)


def chosen(ledger: Ledger, trial_id: int | None) -> Trial:
    """The trial of that id; None: the best."""
    if trial_id is not None:
        return ledger.trial(trial_id)
    best = ledger.top(1)
    if not best:
        found = f"{len(ledger)} trials, all failed or infeasible" if len(ledger) else "no trial yet"
        raise ValueError(f"no trial has a score yet ({found}): let the search run on, or name one by --trial N")
    return best[0]


def trained(ledger: Ledger, experiment: Experiment, trial_id: int | None, quiet: bool = False) -> dict:
    """The `FinalResult` of a trial (None: the best) as a dict, after its final training unless it has been done. The
    directory must be held. ``quiet``: nothing is printed.
    """
    trial = chosen(ledger, trial_id)
    workdir, final = ledger.path.parent, experiment.final
    say = (lambda words: None) if quiet else (lambda words: print(words, flush=True))
    result = finished(experiment, workdir, trial)
    if result is not None:
        say("This trial has had its final training; the test score is read only once. Recorded:")
    elif quiet:
        result = train_final(experiment, workdir, trial)
    else:
        seeds = f", {final.seeds} seeds together" if final.seeds > 1 else ""
        say(f"Final training of trial {trial.trial_id}: {final.train.epochs} epochs on all training data{seeds}")
        with report.final_report_on(report.console(), final.seeds) as callback:
            result = train_final(experiment, workdir, trial, callback.progress)
    record_final(ledger, result)
    say(report.final_lines(result))
    return result
