#!/usr/bin/env python3
"""Does the controller learn? The search of a config with its own strategy and with random search, over several seeds.

    python benchmarks/controller_against_random.py CONFIG [--seeds 5] [--SETTING VALUE ...]

Prints, for each seed and strategy: the best validation score, the mean reward of all children, and that of the first
and the last quarter of the rounds; then means over the seeds and the wins in pairs. Both train as many children.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxnas import setup
from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.strategies import Random

HEADER = f"{'seed':>4}  {'strategy':<12}{'best':>8}{'mean':>9}{'first 1/4':>11}{'last 1/4':>10}"


def figures(experiment) -> np.ndarray:
    """Best score; mean reward of all children, of the first and of the last quarter of the rounds: ``[4]``."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder), write=True)
        search(experiment, ledger, Silent())
        rewards = np.array([t.reward for t in ledger.trials()]).reshape(experiment.rounds, -1)
        best = ledger.top(1)[0].score
        ledger.close()
    quarter = max(1, experiment.rounds // 4)
    return np.array([best, rewards.mean(), rewards[:quarter].mean(), rewards[-quarter:].mean()])


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options, overrides = parser.parse_known_args()
    setup.use_all_cores()
    experiment, _ = setup.load(options.config, overrides)
    rows = {}
    print(
        f"{options.config}, {experiment.rounds} rounds of {experiment.children}: {experiment.strategy}\n{HEADER}",
        flush=True,
    )
    for seed in range(options.seeds):
        for strategy in (experiment.strategy, Random()):
            name = type(strategy).__name__
            rows[seed, name] = found = figures(replace(experiment, seed=seed, strategy=strategy))
            print(
                f"{seed:>4}  {name:<12}{found[0]:>8.4f}{found[1]:>9.4f}{found[2]:>11.4f}{found[3]:>10.4f}", flush=True
            )
    mine, control = (np.array([v for (_, n), v in rows.items() if (n == "Random") is r]) for r in (False, True))
    for name, table in (("own", mine), ("Random", control)):
        print(f"mean  {name:<12}" + "".join(f"{v:>9.4f}" for v in table.mean(0)))
    wins = lambda column: f"{(mine[:, column] > control[:, column]).sum()} of {options.seeds}"
    print(f"better than Random: best score {wins(0)}, mean reward {wins(1)}")


if __name__ == "__main__":
    sys.exit(main())
