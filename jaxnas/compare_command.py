"""``python -m jaxnas compare``."""

import json
from pathlib import Path

from rich.console import Console

from jaxnas import report, setup
from jaxnas.compare import Comparison, compare
from jaxnas.ledger import locked
from jaxnas.machine import machine
from jaxnas.settings import describe


def add(commands) -> None:
    """Put the command among the others."""
    usage = "python -m jaxnas compare [CONFIG] [--out DIR] [--SETTING VALUE ...]"
    help = "compare strategies on tabular benchmarks: whole searches over many seeds"
    parser = commands.add_parser("compare", help=help, add_help=False, allow_abbrev=False, usage=usage)
    parser.add_argument(
        "config", type=Path, nargs="?", help="a Python file that sets `comparison`; without one: on the shipped table"
    )
    parser.add_argument("--out", type=Path, help="directory for CSV files and plot; default: runs/compare-NAME")
    parser.set_defaults(run=_compare)


def _compare(options, overrides: list[str]) -> int:
    config = options.config or setup.SHIPPED_COMPARISON
    comparison, source = setup.load(config, overrides, Comparison)
    out = options.out or Path("runs") / f"compare-{config.stem}"
    if (out / report.COMPARISON_FILES[0]).exists():
        raise ValueError(f"{out} holds a comparison already: give another --out, or move it away")
    tables = comparison.tables()
    with locked(out):
        console, standings = Console(), []
        console = console if console.is_terminal else Console(width=120)
        print(f"{comparison.seeds} searches of each strategy on each table.", flush=True)
        for standing in compare(comparison, tables):
            standings.append(standing)
            test = f"{100 * standing.test.mean():.2f}% test"
            print(f"{standing.contender} on {standing.problem}: {test}, {standing.seconds:.1f} s", flush=True)
        print()
        report.print_comparison(console, standings, tables)
        budgets = {name: problem.budget for name, problem in comparison.problems.items()}
        files = report.write_comparison(out, standings, budgets, comparison.seed)
        origin = {"configuration": describe(comparison), "source": source, "overrides": overrides, **machine()}
        (out / "comparison.json").write_text(json.dumps(origin, indent=1))
    no_plot = "" if len(files) == len(report.COMPARISON_FILES) else " (no plot: `pip install matplotlib` first)"
    print(f"In {out}: {', '.join(files)}{no_plot}")
    return 0
