"""``python -m jaxnas tabulate``."""

from pathlib import Path

from rich.console import Console

from jaxnas import report, setup
from jaxnas.machine import machine
from jaxnas.tabulate import SPEED, tabulate


def add(commands) -> None:
    """Put the command among the others."""
    options = "[--seeds K] [--sample N] [--speed S] [--SETTING VALUE ...]"
    usage = f"python -m jaxnas tabulate CONFIG OUT.csv.gz {options}"
    help = "train every architecture of a space, and write a table of their scores; killed, it goes on"
    table = commands.add_parser("tabulate", help=help, add_help=False, allow_abbrev=False, usage=usage)
    table.add_argument("config", type=Path, help="a Python file that sets `experiment`")
    table.add_argument("out", type=Path, help="the table, a name that ends in .csv.gz; it must not exist")
    table.add_argument("--seeds", type=int, default=1, help="trainings of each architecture")
    table.add_argument("--sample", type=int, help="only so many architectures, drawn by the seed; default: all")
    table.add_argument("--speed", type=float, default=SPEED, help="multiply-adds a second, for the column `seconds`")
    table.set_defaults(run=_tabulate)


def _tabulate(options, overrides: list[str]) -> int:
    experiment, source = setup.load(options.config, overrides)
    setup.set_flags(experiment)
    origin = {"source": source, "overrides": overrides, **machine()}
    with report.table_report_on(Console()) as watch:
        made = tabulate(experiment, options.out, watch, options.seeds, options.sample, options.speed, origin)
    failed = f", {made['failed']:,} trainings failed" if made["failed"] else ""
    what = f"{made['rows']:,} architectures, {made['seeds']} seed{'s' * (made['seeds'] > 1)}"
    print(f"{options.out}: {what}, {made['epochs']} epochs{failed}; md5 {made['md5']}")
    return 0
