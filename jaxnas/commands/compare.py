"""``python -m jaxnas compare``."""

import json
from pathlib import Path

from jaxnas import journal, report, setup
from jaxnas.compare import Comparison, about, as_json, compare, of_json
from jaxnas.locks import locked
from jaxnas.machine import machine

DONE = "standings.jsonl"
"""Where each result is kept as soon as it is there; a killed comparison goes on from it."""


def run(options, overrides: list[str]) -> int:
    """Run every contender on every problem, and write tables and plot."""
    setup.start()
    config = options.config or setup.SHIPPED_COMPARISON
    comparison, source = setup.load(config, overrides, Comparison)
    setup.check_devices()
    out = options.out or Path("runs") / f"compare-{config.stem}"
    if (out / report.COMPARISON_FILES[0]).exists():
        raise ValueError(f"{out} holds a comparison already: give another --out, or move it away")
    tables = comparison.tables()
    with locked(out):
        print(f"{comparison.seeds} searches of each strategy on each table.", flush=True)
        standings = _standings(comparison, tables, out / DONE)
        origin = {**about(comparison, tables), "source": source, "overrides": overrides, **machine()}
        (out / "comparison.json").write_text(json.dumps(origin, indent=1), encoding="utf-8")
        budgets = {name: problem.budget for name, problem in comparison.problems.items()}
        files = report.write_comparison(out, standings, budgets, comparison.seed, tables)
        print()
        report.print_comparison(report.console(120), standings, tables)
    no_plot = "" if len(files) == len(report.COMPARISON_FILES) else " (no plot: `pip install matplotlib` first)"
    print(f"In {out}: {', '.join(files)}{no_plot}")
    return 0


def _standings(comparison: Comparison, tables: dict, path: Path) -> list:
    with journal.opened(path, "comparison", about(comparison, tables), of_json) as kept:
        done, standings = [of_json(values) for values in kept.results], []
        if done:
            print(f"Going on: {len(done)} results are there.", flush=True)
        for number, standing in enumerate(compare(comparison, tables, done)):
            standings.append(standing)
            if number >= len(done):
                kept.append(as_json(standing))
            test = report.test_words(tables[standing.problem].measure, standing.test)
            print(f"{standing.contender} on {standing.problem}: {test}, {standing.seconds:.1f} s", flush=True)
    return standings
