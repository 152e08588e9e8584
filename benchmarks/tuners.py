#!/usr/bin/env python3
"""Which strategy tunes best? Whole searches of tuning problems by every contestant, over many seeds, in one process.

    python benchmarks/tuners.py [PROBLEM ...] [--only NAME ...] [--seeds 20] [--first 0] [--trials 500] [--children 10]
        [--noise 0.0]

Prints for each problem and contestant, after 50, 100, 200 and 500 trials: the regret of the best setting so far (the
score of the best setting of all less its own; where that is not known, the figure itself), mean and standard deviation
over the seeds; after 200 trials (or the last mark before the end) the share of all settings that are better, in
millionths (the median), and the two-sided paired Wilcoxon test of the regrets against random search of the same seeds.
``--noise`` is the standard deviation of what is added to the scores that strategies see; regrets are of the true ones.

Problems: "valley", a closed-form response of a network's accuracy to nine hyper-parameters (1,105,920 settings);
"many", 16 decisions of which four matter (2.6 * 10^14 settings); "categories", nine choices of five values, each of
which matters together with two others (1,953,125 settings); "wine" and "digits", the networks of configs/tune_wine.py
and configs/tune_digits.py, trained, and "cancer", those of the first on breast cancers, which are harder to tell: all
seeds have the same held-out examples, and their children train together. A further problem is an entry of `PROBLEMS`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import jax
import numpy as np
import workloads
from scipy.stats import wilcoxon

from jaxnas import setup
from jaxnas.decisions import Choice, Decisions, Ordinal
from jaxnas.numerics import pinned
from jaxnas.outcome import Measure
from jaxnas.rewards import Lessons
from jaxnas.rng import key_for
from jaxnas.strategies import (
    PPO,
    Bayes,
    Evolution,
    LocalSearch,
    Optuna,
    QTuner,
    Random,
    Reinforce,
    Strategy,
    is_jittable,
)

CONTESTANTS = {
    "Random": Random(),
    "QTuner": QTuner(),
    "QTuner, no replay": QTuner(replay=0),
    "QTuner, no Q": QTuner(epsilon=((1.0, 1),)),
    "QTuner, discount 0.5": QTuner(discount=0.5),
    "QTuner, 1 walker": QTuner(walkers=1),
    "Reinforce, LSTM": Reinforce(learning_rate=0.02, baseline_decay=0.7),
    "Reinforce, table": Reinforce(learning_rate=0.1, baseline_decay=0.7, policy="table"),
    "PPO, LSTM": PPO(learning_rate=0.01, baseline_decay=0.7),
    "Evolution": Evolution(population=20, sample=5),
    "LocalSearch": LocalSearch(),
    "Bayes": Bayes(),
    "Optuna, TPE": Optuna(),
}
MARKS = (50, 100, 200, 500)
"""Numbers of trials."""


@dataclass(frozen=True)
class Problem:
    """What is tuned.

    Attributes:
        decisions: of the space.
        evaluate: of a round of S searches, tokens int32 ``[S, N, T]``, their seeds and the round's number -> scores
            ``[S, N]``, higher is better, NaN where a child failed.
        scores: those of all settings (or of as many of each score), ascending; None: they are not known.
        measure: what scores are.
    """

    decisions: Decisions
    evaluate: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    scores: np.ndarray | None = None
    measure: Measure = Measure.SCORE


VALLEY = Decisions(
    (
        Choice("optimiser", "optimiser", 3),  # SGD, with momentum, Adam
        Ordinal("rate", "rate", 16),  # 1e-5 to 1, as are all but the last two on a logarithmic scale
        Ordinal("momentum", "momentum", 6, when=((0, (1,)),)),
        Ordinal("beta2", "beta2", 3, when=((0, (2,)),)),
        Ordinal("batch", "batch", 6),  # 16 to 512
        Ordinal("decay", "decay", 8),  # 1e-6 to 0.1
        Ordinal("width", "width", 8),  # 16 to 2,048
        Ordinal("dropout", "dropout", 6),  # 0 to 0.75
        Choice("activation", "activation", 3),
    )
)


def valley(tokens: np.ndarray) -> np.ndarray:
    """Accuracy, 0.1 to 0.98: a narrow valley in the logarithm of the rate, which moves with optimiser, momentum, batch
    size and width, and falls more steeply where the rate is too high; and one in decay, dropout and width.
    """
    optimiser, rate, momentum, beta2, batch, decay, width, dropout, activation = tokens.T
    momentum = np.where(momentum < 0, 0.0, 0.5 + 0.49 * momentum / 5)
    batch, width = 4.0 + batch, 4.0 + width  # powers of two
    best = np.where(optimiser == 2, -3.2 + 0.15 * (batch - 6), -0.9 + 0.3 * (batch - 6)) - 0.1 * (width - 8)
    off = -5 + rate / 3 - np.log10(1 - np.where(optimiser == 1, momentum, 0.5)) * (optimiser == 1) - best
    fits = -0.5 * (off / np.where(off < 0, 0.8, 0.4)) ** 2
    held = (-6 + 5 * decay / 7 + 4) / 1.5 + (0.15 * dropout - 0.3) / 0.25 - (width - 8) / 1.5
    quality = np.exp(fits - 0.25 * held**2 - 0.03 * (width - 9) ** 2 - 0.02 * (batch - 6) ** 2)
    quality *= np.array([1.0, 0.96, 0.9])[activation] * np.array([0.95, 1.0, 0.97])[optimiser]
    return 0.1 + 0.88 * quality * np.where(optimiser == 2, 1 - 0.03 * np.abs(beta2 - 2), 1.0)


MANY = Decisions(
    (
        *(Choice(f"choice {i}", f"choice {i}", 4) for i in range(4)),
        *(Ordinal(f"number {i}", f"number {i}", 10) for i in range(12)),
    )
)
MATTER = [1, 5, 9, 13]


def many(tokens: np.ndarray) -> np.ndarray:
    """A ridge in two of twelve numbers, and a third whose weight depends on one of four choices."""
    choice, (a, b, c) = tokens[:, MATTER[0]], tokens[:, MATTER[1:]].T / 9
    bowl = 0.8 * (a + b - 1.1) ** 2 + 0.3 * (a - 0.7) ** 2 + 0.5 * (c - 0.2) ** 2 * (1 + (choice == 2))
    return 0.9 - np.array([0.2, 0.12, 0.0, 0.3])[choice] - bowl


CATEGORIES = Decisions(tuple(Choice(f"choice {i}", f"choice {i}", 5) for i in range(9)))


def categories(tokens: np.ndarray) -> np.ndarray:
    """Kauffman's NK landscape: the mean of what nine choices contribute, each by its own value and two others'."""
    table, i = np.random.default_rng(5).random((9, 5, 5, 5)), np.arange(9)
    return table[i, tokens, tokens[:, (i + 1) % 9], tokens[:, (i + 4) % 9]].mean(1)


def _closed(decisions: Decisions, score: Callable, noise: float, every: np.ndarray) -> Problem:
    def one(tokens: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, *tokens.ravel().astype(np.uint32).tolist()])
        return score(tokens) + noise * rng.standard_normal(len(tokens))

    def evaluate(tokens: np.ndarray, seeds: np.ndarray, round: int) -> np.ndarray:
        return np.stack([one(rows, seed) for rows, seed in zip(tokens, seeds, strict=True)])

    return Problem(decisions, evaluate, np.sort(score(every)))


def _many_of_each() -> np.ndarray:
    """A setting for each combination of what matters: every one stands for as many."""
    tokens = np.zeros((4 * 10**3, 16), np.int32)
    tokens[:, MATTER] = np.indices((4, 10, 10, 10)).reshape(4, -1).T
    return tokens


CANCER = ["--task.source", "breast-cancer", "--evaluator.train.batch-size", "52", "--evaluator.train.epochs", "50"]


def _trained(config: str, overrides: list[str], noise: float) -> Problem:
    """The networks of a config; training has noise of its own."""
    if noise:
        raise ValueError(f"--noise {noise:g}: only scores of functions get noise; leave it out for {config}")
    found, _ = setup.load(workloads.CONFIGS / f"{config}.py", overrides)
    ask = found.evaluator.bind(found.space, found.task, found.seed, 10_000)

    def evaluate(tokens: np.ndarray, seeds: np.ndarray, round: int) -> np.ndarray:
        searches, n = tokens.shape[:2]
        ids = (100_000 * seeds[:, None] + round * n + np.arange(n)).ravel()  # a child's own randomness
        scores = np.full(searches * n, np.nan)
        for rows, outcome in ask(tokens.reshape(searches * n, -1), ids):
            scores[rows] = outcome.score
        return scores.reshape(searches, n)

    return Problem(found.space.decisions, evaluate, measure=found.task.measure)


PROBLEMS = {
    "valley": lambda noise: _closed(VALLEY, valley, noise, VALLEY.every(2_000_000)),
    "many": lambda noise: _closed(MANY, many, noise, _many_of_each()),
    "categories": lambda noise: _closed(CATEGORIES, categories, noise, CATEGORIES.every(2_000_000)),
    "wine": partial(_trained, "tune_wine", []),
    "cancer": partial(_trained, "tune_wine", CANCER),
    "digits": partial(_trained, "tune_digits", []),
}
TRUTH = {"valley": valley, "many": many, "categories": categories}
"""Of problems with noise, what a setting is worth."""


@cache
def _functions(strategy):
    if not is_jittable(strategy):
        return strategy.propose, strategy.update
    return jax.jit(strategy.propose, static_argnames="n"), jax.jit(strategy.update)


def searches(
    strategy: Strategy, problem: Problem, truth: Callable | None, seeds: np.ndarray, rounds: int, n: int
) -> np.ndarray:
    """True scores of all trials of a search for each seed ``[S, M]``, -inf where a child failed."""
    (propose, update), found = _functions(strategy), []
    states = [strategy.init(problem.decisions, key_for(seed, "strategy")) for seed in seeds]
    lessons = [Lessons(problem.measure) for _ in seeds]
    for r in range(rounds):
        pairs = zip(states, seeds, strict=True)
        tokens = np.stack([np.asarray(propose(state, key_for(seed, "propose", r), n=n)) for state, seed in pairs])
        seen = problem.evaluate(tokens, seeds, r)
        found.append(np.stack([truth(rows) for rows in tokens]) if truth else np.nan_to_num(seen, nan=-np.inf))
        for i, scores in enumerate(seen):
            lesson = lessons[i].of(np.nan_to_num(scores), np.isfinite(scores))
            if lesson is not None:
                states[i], _ = update(states[i], tokens[i], np.float32(lesson))
    return np.concatenate(found, axis=1)


def marks_of(trials: int) -> list[int]:
    """After how many of so many trials results are shown."""
    return [mark for mark in MARKS if mark <= trials] or [trials]


def row(name: str, scores: np.ndarray, control: np.ndarray, problem: Problem, seconds: float) -> str:
    """A line of the table. ``scores``, ``control``: of the trials ``[S, M]``, this contestant's and random search's."""
    marks = marks_of(scores.shape[1])
    best = np.maximum.accumulate(scores, axis=1)[:, np.array(marks) - 1]
    other = np.maximum.accumulate(control, axis=1)[:, np.array(marks) - 1]
    at, rank = marks.index(200) if 200 in marks else len(marks) - 1, ""
    shown = problem.measure.number(best) if problem.scores is None else problem.scores[-1] - best
    if problem.scores is not None:
        better = len(problem.scores) - np.searchsorted(problem.scores, best[:, at] + 1e-12)
        rank = f"{1e6 * np.median(better) / len(problem.scores):,.0f}"
    same = (best[:, at] == other[:, at]).all()
    p = "" if same else f"{wilcoxon(best[:, at], other[:, at]).pvalue:.1g}"
    cells = [f"{mean:.4f} ± {std:.4f}" for mean, std in zip(shown.mean(0), shown.std(0), strict=True)]
    return f"| {name} | {' | '.join(cells)} | {rank} | {p} | {seconds:.0f} |"


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", default=[*PROBLEMS], help="default: all")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*CONTESTANTS], help="besides Random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--children", type=int, default=10, help="of a round")
    parser.add_argument("--noise", type=float, default=0.0)
    options = parser.parse_args()
    rounds = options.trials // options.children
    names = ["Random", *(name for name in options.only or CONTESTANTS if name != "Random")]
    print(f"{workloads.machine()}; seeds from {options.first}, rounds of {options.children}, noise {options.noise}")
    for of in options.problems:
        problem, control = PROBLEMS[of](options.noise), None
        marks = " | ".join(f"{mark} trials" for mark in marks_of(rounds * options.children))
        print(f"\n{of}: {problem.decisions.count:,} settings\n\n| | {marks} | ppm better | p | seconds |", flush=True)
        for name in names:
            began = time.perf_counter()
            seeds = np.arange(options.first, options.first + options.seeds)
            with pinned():
                scores = searches(CONTESTANTS[name], problem, TRUTH.get(of), seeds, rounds, options.children)
            control = scores if control is None else control
            print(row(name, scores, control, problem, time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    setup.use_all_cores()
    sys.exit(main())
