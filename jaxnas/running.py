"""A search from Python, as ``python -m jaxnas search`` runs it."""

import sys
from contextlib import closing
from os import PathLike
from pathlib import Path

from jaxnas import report, setup
from jaxnas.experiment import Experiment, expected_measure
from jaxnas.found import Found
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.record import check_settings, is_finished
from jaxnas.search import Silent, search
from jaxnas.spaces import Space
from jaxnas.spaces.named import NamedValues

WORKER = "jaxnas_worker"
"""A module of every process that calls an objective."""
BELOW = 'call it below `if __name__ == "__main__":`'


def run(experiment: Experiment, workdir: str | PathLike, quiet: bool = False, kept: bool = True) -> Found:
    """Search, or go on with a search that was left: the same experiment and directory continue it, to the same numbers.

    Ctrl-C (of a notebook: "interrupt") raises KeyboardInterrupt; the same call goes on from there.

    `final` and `export` take the directory where a script calls the experiment `experiment`, as a config does.
    A script calls this below ``if __name__ == "__main__":``: commands, and processes of an objective, read it as well.
    In a notebook there is no need of that.

    Args:
        experiment: what to search.
        workdir: where everything is kept.
        quiet: print nothing.
        kept: say at the end where all is kept, and what may come next.

    Raises:
        ValueError: unusable data or settings; a directory that holds another search, or that another process works in.
    """
    check_not_read("jaxnas.run")
    workdir = Path(workdir)
    setup.prepare(experiment, workdir)
    with locked(workdir):
        ledger = Ledger(workdir, write=True)
    with closing(ledger):
        check_settings(experiment, ledger)
        if not is_finished(experiment, ledger):
            _search(experiment, ledger, quiet)
        if not quiet:
            print(report.summary(ledger, workdir, kept))
    return Found(workdir, experiment)


def check_not_read(name: str) -> None:
    """Raises ValueError where the file that calls a function of that name is only read, by a command or a worker."""
    if setup.BEING_READ:
        raise ValueError(f"{name}: a command reads this file for its experiment: {BELOW}")
    if WORKER in sys.modules:
        raise ValueError(f"{name}: a process of the objective reads this file for its function: {BELOW}")


def _search(experiment: Experiment, ledger: Ledger, quiet: bool) -> None:
    origin = _script(experiment)
    try:
        if quiet:
            search(experiment, ledger, Silent(), origin)
        else:
            told(experiment, ledger, origin)
    except KeyboardInterrupt:
        if not quiet:
            print(
                f"jaxnas: interrupted, {len(ledger)} trials are kept: the same call goes on from here", file=sys.stderr
            )
        raise


def _script(experiment: Experiment) -> dict | None:
    """The running script as the config that the commands go on with, where it calls this experiment `experiment`."""
    main = vars(sys.modules["__main__"])
    if main.get("experiment") is not experiment or not Path(main.get("__file__") or "").is_file():
        return None
    file = Path(main["__file__"]).absolute()
    return {"config": str(file), "directory": str(Path.cwd()), "source": setup.text_of(file), "overrides": []}


def told(experiment: Experiment, ledger: Ledger, origin: dict | None) -> None:
    """Search, and say how it goes; ``origin`` as in `jaxnas.search.search`."""
    total, done = experiment.rounds * experiment.children, len(ledger)
    print("\n".join(space_lines(experiment.space)))
    if done:
        print(f"Continuing {ledger.path.parent}: {done} of {total} trials are done.")
    best, measure = next(iter(ledger.top(1)), None), expected_measure(experiment)
    with report.report_on(report.console(), experiment.rounds, total, done, best, measure) as callback:
        search(experiment, ledger, callback, origin)


def space_lines(space: Space) -> list[str]:
    """How many architectures there are, and of named values each one."""
    count = space.decisions.count
    many = f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"
    return [f"{type(space).__name__}: {many} architecture{'s' * (count != 1)}", *_value_lines(space)]


def _value_lines(space: object) -> list[str]:
    """Of the values that a user has named, and of those in the space that they tune."""
    if not isinstance(space, NamedValues):
        return []
    within = [line for name, _ in space.own for line in _value_lines(getattr(space, name))]
    own = [f"  {name}: {value.words}{', traced' * space.traced(name)}" for name, value in space.values.values.items()]
    return [*own, *within]
