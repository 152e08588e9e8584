"""What the commands on the directory of a search have in common."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxnas import setup
from jaxnas.experiment import Experiment
from jaxnas.final import NOTHING
from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial


@contextlib.contextmanager
def recorded(ledger: Ledger, workdir: Path, overrides: Sequence[str] = ()) -> Iterator[Experiment]:
    """The experiment that a ledger records; inside, the config's relative paths mean what they meant."""
    facts = ledger.facts()
    if facts.get("configuration", {}).get("task", ...) is None:
        raise ValueError(NOTHING)
    origin = facts.get("origin")
    if origin is None:
        raise ValueError(
            f"{workdir} records no config: its search was called from Python, or has not begun. Call "
            "jaxnas.final.train_final(experiment, workdir, trial) and jaxnas.export.export from there"
        )
    setup.start()
    experiment = setup.restore(origin["source"], Path(origin["config"]), [*origin["overrides"], *overrides])
    setup.use(experiment, workdir)
    begun = origin["directory"]
    with contextlib.chdir(begun if Path(begun).is_dir() else "."):
        yield experiment


def chosen(ledger: Ledger, trial_id: int | None) -> Trial:
    """The trial of that id; None: the best."""
    if trial_id is not None:
        return ledger.trial(trial_id)
    best = ledger.top(1)
    if not best:
        found = f"{len(ledger)} trials, all failed or infeasible" if len(ledger) else "no trial yet"
        raise ValueError(f"no trial has a score yet ({found}): let the search run on, or name one by --trial N")
    return best[0]
