"""``python -m jaxnas trials``."""

from jaxnas import report
from jaxnas.commands.status import no_more
from jaxnas.ledger import Ledger


def run(options, rest: list[str]) -> int:
    """List trials."""
    no_more(rest)
    if options.top is not None and options.top < 1:
        raise ValueError(f"--top {options.top}: give 1 or more")
    ledger = Ledger(options.workdir)
    ledger.check()
    rows = ledger.trials() if options.top is None else ledger.top(options.top)
    title = f"{len(ledger)} trials in {options.workdir}"
    report.console(200).print(report.trial_table(rows, title, ledger.measure))
    return 0
