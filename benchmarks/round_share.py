#!/usr/bin/env python3
"""Where the time of a search's rounds goes: proposing, planning, training, recording, learning.

    python benchmarks/round_share.py configs/digits.py [--SETTING VALUE ...]

Runs the search in a temporary directory and prints each part's share of the rounds after the first, in which all is
compiled. Controller and bookkeeping are everything but training.
"""

import argparse
import collections
import tempfile
import time
from pathlib import Path

from jaxnas import search as loop
from jaxnas import setup
from jaxnas.evaluators.plan import Planner
from jaxnas.evaluators.train import Trainer
from jaxnas.ledger import Ledger


class Clock(loop.Silent):
    """A callback of a search: adds up the seconds spent in some functions, for each round."""

    def __init__(self):
        self.parts, self.rounds, self.begun = collections.Counter(), [], time.perf_counter()

    def time(self, owner, name: str, part: str) -> None:
        """Measure every call of ``owner.name``."""
        original = getattr(owner, name)

        def timed(*args, **kwargs):
            began = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.parts[part] += time.perf_counter() - began

        setattr(owner, name, timed)

    def round_done(self, round: int, metrics: dict) -> None:
        now = time.perf_counter()
        self.rounds.append(dict(self.parts) | {"whole": now - self.begun})
        self.parts, self.begun = collections.Counter(), now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    options, overrides = parser.parse_known_args()
    setup.use_all_cores()
    experiment, _ = setup.load(options.config, overrides)
    clock = Clock()
    clock.time(Trainer, "run", "training")
    clock.time(Planner, "plan", "planning")
    clock.time(Ledger, "append", "recording")
    with tempfile.TemporaryDirectory() as folder:
        loop.search(experiment, Ledger(Path(folder), write=True), clock)
    sums = collections.Counter()
    for one in clock.rounds[1:]:
        sums.update(one)
    print(f"{len(clock.rounds) - 1} rounds of {experiment.children} children: {sums['whole']:.2f} s")
    for part in ("training", "planning", "recording"):
        print(f"{part:12} {sums[part] / sums['whole']:7.2%}")
    rest = sums["whole"] - sums["training"]
    print(f"all but training: {rest / sums['whole']:.2%} ({1000 * rest / (len(clock.rounds) - 1):.0f} ms a round)")


if __name__ == "__main__":
    main()
