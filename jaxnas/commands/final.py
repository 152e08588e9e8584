"""``python -m jaxnas final``."""

from dataclasses import dataclass, field

from jaxnas.called import called
from jaxnas.commands.status import FAILED, no_more
from jaxnas.final import Final
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.overrides import print_settings
from jaxnas.recorded import recorded, trained


def run(options, rest: list[str]) -> int:
    """Train a trial to the end, unless it has been done."""
    if options.help:
        return _help(options)
    if options.workdir is None:
        raise ValueError(f"final needs the directory of a search: {called()} final WORKDIR")
    no_more([name for name in rest if name.startswith("--") and not name.startswith("--final.")])
    workdir = options.workdir.absolute()
    Ledger(workdir).close()  # says so, and makes nothing, where there is no search
    with locked(workdir):
        ledger = Ledger(workdir, write=True)
        ledger.check()
        with recorded(ledger, workdir, rest) as experiment:
            return train(ledger, experiment, options.trial)


def train(ledger: Ledger, experiment, trial_id: int | None) -> int:
    """Final training of a trial (None: the best), unless it has been done; the directory must be held."""
    result = trained(ledger, experiment, trial_id)
    return 0 if result["test_score"] is not None else FAILED


@dataclass(frozen=True)
class _Settings:
    """The settings of a final training.

    Attributes:
        final: how the winner is trained.
    """

    final: Final = field(default_factory=Final)


def _help(options) -> int:
    """The command's options, and the settings of a search or, without its directory, the defaults."""
    options.parser.print_help()
    print(flush=True)
    if options.workdir is None:
        print_settings(_Settings(), "final WORKDIR")
        return 0
    ledger = Ledger(options.workdir)
    with recorded(ledger, options.workdir.absolute()) as experiment:
        print_settings(_Settings(experiment.final), f"final {options.workdir}")
    return 0
