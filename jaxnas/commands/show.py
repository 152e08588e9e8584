"""``python -m jaxnas show``."""

from jaxnas import report
from jaxnas.commands.status import no_more
from jaxnas.ledger import Ledger


def run(options, rest: list[str]) -> int:
    """Draw one architecture."""
    no_more(rest)
    ledger = Ledger(options.workdir)
    ledger.check()
    trial = ledger.trial(options.trial)
    score, cost = report.introduced(trial, ledger.measure, ledger.unknown), report.costs(trial)
    if options.out is not None:
        title = f"trial {trial.trial_id}: {score}\n{cost.removeprefix(', ')}"
        report.picture(trial.architecture, title, options.out)
    print(f"Trial {trial.trial_id} of round {trial.round}: {score}{cost}")
    print()
    print(report.draw(trial.architecture))
    if trial.copied_from is not None:
        print(f"\nIts result is that of {report.copied_from(trial)}, which has the same architecture.")
    if trial.figures:
        print(f"\nFigures: {report.figures(trial)}")
    if trial.reason:
        print(f"\nIt failed: {trial.reason}")
    if trial.curve:
        curve = ", ".join("-" if v is None else f"{v:.4f}" for v in trial.curve)
        print(f"\nValidation score after each epoch: {curve}")
    if options.out is not None:
        print(f"Picture: {options.out}")
    return 0
