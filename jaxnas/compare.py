"""Strategies against each other on tabular benchmarks: whole searches over many seeds, random search always among them.

References:
    The protocol: Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, 2021,
    section 4 (https://arxiv.org/abs/2009.00437).

Letters: S seeds, G points of a curve.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxnas.compiled_search import CompiledSearch, Searches
from jaxnas.evaluators import Table
from jaxnas.fingerprint import digest
from jaxnas.numerics import NUMERICS, pinned
from jaxnas.ranges import ChildCount, Range, Seed, Such
from jaxnas.settings import describe, settings
from jaxnas.spaces import Space
from jaxnas.strategies import Random, Strategy, has_branches, is_jittable
from jaxnas.tables import Records

POINTS = 201
CACHE_BYTES = 2**20
"""As many seeds run side by side on a device as have their states in about so much: more leave its cache."""
CONTROL = "random"
ARRAYS = ("score", "valid", "test", "trials", "curve", "band")
"""Fields of a standing that are arrays."""


@settings
class Problem:
    """A table and what may be spent on it.

    Attributes:
        table: where results are looked up.
        budget: seconds of the table's; a search ends with the first trial whose sum reaches it.
    """

    table: Table
    budget: Annotated[float, Range(0, 1e12, "(]")]


@settings
class Contender:
    """A strategy and how many architectures it proposes at a time."""

    strategy: Annotated[Strategy, Such("Reinforce()")]
    children: ChildCount = 1


@settings
class Comparison:
    """Every contender on every problem, on the same seeds.

    Attributes:
        space: of all problems.
        problems: by name.
        contenders: by name; "random" is added where there is none.
        seeds: how many searches of each.
        seed: the first one's; the others follow.
        file: the file of every table, in place of their own; "": their own.

    Raises:
        ValueError: no problem, a number out of its range, or a "random" that is not `Random`.
    """

    space: Annotated[Space, Such("ChainCNN()")]
    problems: dict[str, Problem]
    contenders: dict[str, Contender]
    seeds: Annotated[int, Range(2, 10_000)] = 500
    seed: Seed = 0
    file: str = ""

    def __post_init__(self):
        if not self.problems:
            raise ValueError("problems={}: give one table or more")
        for name in (*self.problems, *self.contenders):
            if not name.strip() or not name.isprintable():
                raise ValueError(f"{name!r} names a problem or contender: give one line of letters and other signs")
        if self.seed >= 2**31 - self.seeds:
            raise ValueError(f"seed={self.seed}: give an integer from 0, so that the last seed is below 2**31")
        control = self.contenders.get(CONTROL, Contender(Random())).strategy
        if not isinstance(control, Random):
            raise ValueError(
                f"the contender {CONTROL!r} is {type(control).__name__}: this name is for the control, Random"
            )

    def tables(self) -> dict[str, Records]:
        """Every problem's table, read. Raises ValueError where one cannot be."""
        own = lambda table: replace(table, file=self.file) if self.file else table
        return {name: own(problem.table).read(self.space) for name, problem in self.problems.items()}


@dataclass(frozen=True)
class Standing:
    """How one contender did on one problem. Scores are final ones of the winner: the trial with the best search score.

    Attributes:
        contender: its name.
        problem: likewise.
        score: the winner's search score, ``[S]``.
        valid: its final validation score, ``[S]``.
        test: its final test score, ``[S]``.
        trials: how many were made, ``[S]``.
        curve: mean over seeds of the incumbent's test score at equal steps from 0 to the budget; NaN before every
            search has a trial, ``[G]``.
        band: half the width of its 95% confidence interval (normal), ``[G]``.
        p_value: of a two-sided paired Wilcoxon test of the winners' test scores against the control's of the same
            seeds; None for the control itself.
        seconds: real time, compilation included.
    """

    contender: str
    problem: str
    score: Float[np.ndarray, " S"]
    valid: Float[np.ndarray, " S"]
    test: Float[np.ndarray, " S"]
    trials: Int[np.ndarray, " S"]
    curve: Float[np.ndarray, " G"]
    band: Float[np.ndarray, " G"]
    p_value: float | None
    seconds: float


def compare(comparison: Comparison, tables: dict[str, Records], done: Sequence[Standing] = ()) -> Iterator[Standing]:
    """Run everything, the control first; each contender's problems one after the other, which share its program.

    ``done``: standings of an earlier run of the same, which are given again instead of being run.
    """
    contenders = {CONTROL: Contender(Random())} | comparison.contenders
    seeds, control = range(comparison.seed, comparison.seed + comparison.seeds), {}
    known_ones = {(standing.contender, standing.problem): standing for standing in done}
    for name in sorted(contenders, key=lambda name: name != CONTROL):
        entry = contenders[name]
        search = CompiledSearch(entry.strategy, entry.children, _block(entry.strategy, comparison.space))
        for problem, known in tables.items():
            standing = known_ones.get((name, problem))
            if standing is None:
                budget, began = comparison.problems[problem].budget, time.perf_counter()
                with pinned():
                    found = search.run(known, budget, seeds)
                standing = _standing(name, problem, known, found, budget, time.perf_counter() - began)
            control.setdefault(problem, standing.test)
            yield standing if name == CONTROL else replace(standing, p_value=_p_value(standing.test, control[problem]))


def as_json(standing: Standing) -> dict:
    """A standing as JSON values, but for the comparison with the control."""
    arrays = {name: getattr(standing, name).tolist() for name in ARRAYS}
    return {"contender": standing.contender, "problem": standing.problem, **arrays, "seconds": standing.seconds}


def of_json(values: dict) -> Standing:
    """The same standing, bit for bit. Raises ValueError where it is none."""
    try:
        arrays = {name: np.array(values[name]) for name in ARRAYS}
        return Standing(values["contender"], values["problem"], **arrays, p_value=None, seconds=values["seconds"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a result of a comparison lacks {error}: move that directory away") from error


def about(comparison: Comparison, tables: dict[str, Records]) -> dict:
    """What decides the results of a comparison, as JSON values."""
    digests = {
        name: digest((known.tokens, known.reward, known.valid, known.test, known.seconds))
        for name, known in tables.items()
    }
    return {"configuration": describe(comparison), "tables": digests, "numerics": NUMERICS}


def _block(strategy: Strategy, space: Space) -> int:
    """How many seeds run side by side. (Side by side, branches are computed all; and batched factorisations of two CPU
    devices have been seen to wait for each other for ever.)
    """
    if has_branches(strategy) or not is_jittable(strategy):
        return 1
    state = jax.eval_shape(lambda key: strategy.init(space.decisions, key), jax.random.key(0))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return max(1, min(256, CACHE_BYTES // max(1, size)))


def _standing(name: str, problem: str, known: Records, found: Searches, budget: float, seconds: float) -> Standing:
    score = np.where(found.rows < 0, -np.inf, np.nan_to_num(known.score, nan=-np.inf)[found.rows])
    best = np.maximum.accumulate(score, axis=1)
    first = np.where(np.arange(score.shape[1]) == 0, True, score > np.roll(best, 1, axis=1))
    at = np.maximum.accumulate(np.where(first, np.arange(score.shape[1]), 0), axis=1)
    incumbents = np.take_along_axis(found.rows, at, axis=1)
    winner = incumbents[:, -1]
    curve, band = _curve(known.test[incumbents], found.spent, budget)
    finals = known.score[winner], known.valid[winner], known.test[winner]
    return Standing(name, problem, *finals, found.trials, curve, band, None, seconds)


def _curve(test: np.ndarray, spent: np.ndarray, budget: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds, and half of its 95% interval, of the incumbents' test scores ``[S, M]`` along the budget."""
    costs = np.linspace(0, budget, POINTS)
    done = np.stack([np.searchsorted(row, costs, side="right") for row in spent])  # trials that are over by then
    values = np.take_along_axis(test, np.clip(done - 1, 0, test.shape[1] - 1), axis=1)
    values = np.where((done > 0).all(0), values, np.nan)
    return values.mean(0), 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))


def _p_value(mine: np.ndarray, control: np.ndarray) -> float:
    from scipy.stats import wilcoxon  # no search has to wait for it: it takes long to import

    return 1.0 if (mine == control).all() else float(wilcoxon(mine, control).pvalue)
