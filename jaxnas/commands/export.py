"""``python -m jaxnas export``."""

import sys

from jaxnas.commands.status import FAILED, no_more
from jaxnas.export import FarOffError, check_exportable, check_free, export
from jaxnas.ledger import Ledger
from jaxnas.recorded import chosen, recorded
from jaxnas.trained import load_trained


def run(options, rest: list[str]) -> int:
    """Write a finally trained network as files."""
    no_more(rest)
    workdir, out = options.workdir.absolute(), options.out.absolute()
    check_free(out)
    ledger = Ledger(workdir)
    ledger.check()
    trial = chosen(ledger, options.trial)
    check_exportable(trial, options.workdir)
    try:
        with recorded(ledger, workdir) as experiment:
            written = export(load_trained(experiment, workdir, trial), out)
    except FarOffError as error:
        print(f"jaxnas: {error}", file=sys.stderr)
        return FAILED
    print(f"Trial {trial.trial_id} is in {options.out}: {', '.join(written.files)}")
    print(f"Their logits differ from the trained network's by {written.difference:.0e} of the greatest.")
    return 0
