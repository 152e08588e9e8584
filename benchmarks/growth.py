#!/usr/bin/env python3
"""How time and memory grow with the size of a search: children of a round, layers of a child, choices of a space,
trials in the ledger.

    python benchmarks/growth.py children|layers|choices|trials [--out DIR]

Each size runs in a process of its own, so that its peak memory is its own. Prints a table, and writes a plot,
growth-WHAT.png, into DIR (default: here). In brackets: the slope in a log-log plot, from the size before: 1 is linear.

    children: of configs/digits.py in one round, one epoch; seconds to compile, and to train them
    layers:   of 8 such children; likewise
    choices:  of each of 8 decisions; milliseconds that a strategy takes for a round of 8: propose and update
    trials:   in a ledger, each answered at once: a trial of the search, to go on with it, for the best 5 and
              for the summary
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import workloads

from jaxnas import report, setup
from jaxnas.decisions import Choice, Decisions
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Outcome, Status
from jaxnas.rng import key_for
from jaxnas.search import Silent, search
from jaxnas.strategies import Evolution, QLearning, Random, Reinforce, is_jittable

DIGITS = workloads.CONFIGS / "digits.py"
STRATEGIES = {"random": Random(), "reinforce": Reinforce(), "evolution": Evolution(), "q-learning": QLearning()}
REPEATS = 20
ROUND = 100
"""Children of a round of the search whose trials are counted."""


def children(n: int) -> dict[str, float]:
    return trained(n, [])


def layers(n: int) -> dict[str, float]:
    return trained(8, [f"--space.layers={n}"])


def trained(n: int, overrides: list[str]) -> dict[str, float]:
    """Of n random children."""
    found, _ = setup.load(DIGITS, ["--evaluator.train.epochs=1", *overrides])
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, n)
    tokens, began = workloads.sample(found, n), time.perf_counter()
    for _ in evaluate(tokens, np.arange(n)):
        pass
    compiling = evaluate.trainer.compile_seconds
    return {"compile s": compiling, "train s": time.perf_counter() - began - compiling}


def choices(n: int) -> dict[str, float]:
    """Of a strategy, with each of 8 decisions among n."""
    decisions = Decisions(tuple(Choice(f"decision {i}", f"kind {i}", n) for i in range(8)))
    return {f"{name} ms": 1000 * round_of(strategy, decisions) for name, strategy in STRATEGIES.items()}


def round_of(strategy, decisions: Decisions) -> float:
    """Seconds that a round of 8 takes."""
    propose, update = strategy.propose, strategy.update
    if is_jittable(strategy):
        propose, update = jax.jit(propose, static_argnames="n"), jax.jit(update)
    state, seconds = strategy.init(decisions, key_for(0, "strategy")), []
    for r in range(REPEATS + 2):  # the first compile
        began = time.perf_counter()
        tokens = np.asarray(propose(state, key_for(0, "propose", r), n=8))
        state = jax.block_until_ready(update(state, tokens, np.linspace(0, 1, 8, dtype=np.float32))[0])
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[2:]))


class Instant:
    """Answers at once: the share of decisions that are 0."""

    def bind(self, space, task, seed: int, trials: int) -> "Instant":
        return self

    def __call__(self, tokens, trial_ids, finished=None, on_progress=None):
        rows = [row for row, trial in enumerate(trial_ids) if trial not in (finished or {})]
        if rows:
            yield rows, outcome((tokens[rows] == 0).mean(1))

    def describe(self, tokens) -> dict:
        return {"row": int(tokens[0])}


def outcome(scores: np.ndarray) -> Outcome:
    n, whole = len(scores), np.ones(len(scores), int)
    return Outcome(
        status=np.full(n, Status.OK, np.int32), score=scores, curve=scores[:, None], seconds=np.ones(n), places=whole,
        parameters=whole, multiply_adds=whole, architectures=tuple({"row": i} for i in range(n)),
    )  # fmt: skip


def trials(n: int) -> dict[str, float]:
    """In a ledger. To go on: a search of one round more, by each strategy."""
    found, _ = setup.load(DIGITS, [])
    rounds, seconds = max(1, n // ROUND), {}
    for name in ("random", "reinforce", "evolution"):
        one = replace(found, evaluator=Instant(), strategy=STRATEGIES[name], children=ROUND, rounds=rounds)
        with tempfile.TemporaryDirectory() as folder:
            written = timed(lambda: begun(one, Path(folder)))  # noqa: B023 - called here
            more = replace(one, rounds=rounds + 1)
            seconds[f"{name}, go on s"] = timed(lambda: begun(more, Path(folder)))  # noqa: B023
            ledger = Ledger(Path(folder))
            if name == "random":
                read = {"best 5 ms": 1000 * timed(lambda: ledger.top(5))}  # noqa: B023
                read |= {"summary s": timed(lambda: report.summary(ledger, Path(folder)))}  # noqa: B023
                seconds = {"a trial ms": 1000 * written / n} | read | seconds
            ledger.close()
    return seconds


def begun(experiment: Experiment, folder: Path) -> None:
    ledger = Ledger(folder, write=True)
    search(experiment, ledger, Silent())
    ledger.close()


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


SIZES = {
    children: (1, 4, 16, 64, 256, 1024, 4096),
    layers: (2, 5, 10, 15, 20),
    choices: (2, 8, 32, 128, 512),
    trials: (1_000, 10_000, 100_000),
}
NAMES = {measure.__name__: measure for measure in SIZES}


def of_one(name: str, n: int) -> None:
    """Measure one size, and print it as JSON."""
    setup.use_all_cores()
    found = NAMES[name](n)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(found | {"peak GiB": peak}))


def measured(name: str, n: int) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, __file__, name, "--one", str(n)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def slope(before: float, after: float, ratio: float) -> str:
    return f"{math.log(max(after, 1e-9) / max(before, 1e-9)) / math.log(ratio):.2f}"


def plot(name: str, sizes: list[int], rows: list[dict[str, float]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for column in rows[0]:
        axes.loglog(sizes, [row[column] for row in rows], "o-", label=column)
    axes.set(xlabel=name, title=f"Growth with {name}; a slope of 1 is linear")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / f"growth-{name}.png", dpi=120)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("what", choices=NAMES)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--most", type=int, help="leave larger sizes out")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        return of_one(options.what, options.one)
    sizes = [n for n in SIZES[NAMES[options.what]] if options.most is None or n <= options.most]
    rows: list[dict[str, float]] = []
    for n in sizes:
        row = measured(options.what, n)
        if not rows:
            print("|", options.what, "|", " | ".join(row), "|\n|", "--- | " * (len(row) + 1), flush=True)
        slopes = [slope(rows[-1][c], row[c], n / sizes[len(rows) - 1]) if rows else "" for c in row]
        cells = [f"{row[c]:.3g} ({s})" if s else f"{row[c]:.3g}" for c, s in zip(row, slopes, strict=True)]
        print(f"| {n:,} |", " | ".join(cells), "|", flush=True)
        rows.append(row)
    plot(options.what, sizes, rows, options.out)


if __name__ == "__main__":
    main()
