"""``python -m jaxnas search``."""

from pathlib import Path

from jaxnas import report, setup
from jaxnas.commands.final import train
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.record import check_settings, why_finished
from jaxnas.running import told
from jaxnas.tasks import ChecksFinal


def run(options, overrides: list[str]) -> int:
    """Search, or go on, and say what came of it."""
    setup.start()
    experiment, source = setup.load(options.config, overrides)
    workdir = options.workdir or Path("runs") / options.config.stem
    setup.use(experiment, workdir)
    if options.final:
        task = experiment.final.task(experiment.task)  # what cannot be trained is said before the search
        if isinstance(task, ChecksFinal):
            task.check_final()
    with locked(workdir):
        ledger = Ledger(workdir, write=True)
    check_settings(experiment, ledger)  # `search` does so too, but not where all is done, nor before anything is said
    why = why_finished(experiment, ledger)
    if why:
        print(f"This search is finished: {len(ledger)} trials in {workdir}, {why}")
    else:
        origin = {"config": str(options.config.absolute()), "directory": str(Path.cwd())}
        told(experiment, ledger, origin | {"source": source, "overrides": overrides})
    print(report.summary(ledger, workdir))
    if not options.final:
        return 0
    with locked(workdir):
        return train(ledger, experiment, None)
