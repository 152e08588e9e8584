"""``python -m jaxnas compare``."""

import json
from pathlib import Path

from jaxnas import report, setup
from jaxnas.compare import Comparison, compare
from jaxnas.locks import locked
from jaxnas.machine import machine
from jaxnas.settings import describe


def run(options, overrides: list[str]) -> int:
    """Run every contender on every problem, and write tables and plot."""
    setup.start()
    config = options.config or setup.SHIPPED_COMPARISON
    comparison, source = setup.load(config, overrides, Comparison)
    out = options.out or Path("runs") / f"compare-{config.stem}"
    if (out / report.COMPARISON_FILES[0]).exists():
        raise ValueError(f"{out} holds a comparison already: give another --out, or move it away")
    tables = comparison.tables()
    with locked(out):
        standings = []
        print(f"{comparison.seeds} searches of each strategy on each table.", flush=True)
        for standing in compare(comparison, tables):
            standings.append(standing)
            test = f"{100 * standing.test.mean():.2f}% test"
            print(f"{standing.contender} on {standing.problem}: {test}, {standing.seconds:.1f} s", flush=True)
        print()
        report.print_comparison(report.console(120), standings, tables)
        budgets = {name: problem.budget for name, problem in comparison.problems.items()}
        files = report.write_comparison(out, standings, budgets, comparison.seed)
        origin = {"configuration": describe(comparison), "source": source, "overrides": overrides, **machine()}
        (out / "comparison.json").write_text(json.dumps(origin, indent=1))
    no_plot = "" if len(files) == len(report.COMPARISON_FILES) else " (no plot: `pip install matplotlib` first)"
    print(f"In {out}: {', '.join(files)}{no_plot}")
    return 0
