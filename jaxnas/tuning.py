"""The two-line way to search values of a function's."""

import tempfile
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from jaxnas.evaluators import Objective
from jaxnas.evaluators.objective.named import loadable
from jaxnas.experiment import Experiment
from jaxnas.found import Found
from jaxnas.running import check_not_read, run
from jaxnas.setup import cores
from jaxnas.spaces import Choices, Space
from jaxnas.strategies import Bayes, Strategy
from jaxnas.values import Categorical, Float, Int, Value

KEPT: list[tempfile.TemporaryDirectory] = []
"""Directories of searches that were given none, until this process ends."""


def tune(
    space: Space | Mapping[str, Any],
    fn: Callable[..., Any],
    *,
    rounds: int = 15,
    children: int = 4,
    strategy: Strategy | None = None,
    workdir: str | PathLike | None = None,
    processes: int | None = None,
    timeout: float | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Found:
    """Search for the values with which a function's score is highest.

        found = jaxnas.tune({"x": Float(0.0, 1.0), "n": range(1, 9)}, lambda v, seed: -((v["x"] - 0.3) ** 2) * v["n"])
        print(found.best.score, found.best.values)

    Args:
        space: by name, what a value may be: a `Float`, `Int` or `Categorical`, a list or tuple (one of these values) or
            a range (a whole number in order); or a `Choices`, or any other space, as it is.
        fn: called with a dict of values and, where it takes two arguments, a seed, an int that depends on the trial
            alone; it gives a number, higher is better (of a loss, return the negative), or ``{"score": number, ...}``;
            see `Objective`.
        rounds: of the strategy's.
        children: calls a round: rounds x children in all.
        strategy: how values are proposed; None: `Bayes`.
        workdir: where all is kept, and from where the same call goes on, to the same numbers; a call with other
            settings or another function is refused there. None: a directory of its own for each call, which is removed
            when this process ends.
        processes: how many calls run at a time, each in a process of its own, which may crash. None: one a core, and of
            a function that no other process can load, such as a lambda or one of a notebook's cell, 0: in this one.
        timeout: seconds that a call may take, then its process is killed; not with 0 processes.
        quiet: print nothing.
        **settings: of the `Experiment`: ``seed``, ``reward`` and others.

    Raises:
        ValueError: no values, a function that cannot be called so, or as `jaxnas.run` raises it.
    """
    check_not_read("jaxnas.tune")
    processes = _processes(fn, children) if processes is None else processes
    evaluator = Objective(fn, processes=processes, timeout=timeout)
    strategy = Bayes() if strategy is None else strategy
    experiment = Experiment(
        _space(space), evaluator=evaluator, strategy=strategy, rounds=rounds, children=children, **settings
    )
    if workdir is not None:
        return run(experiment, workdir, quiet)
    KEPT.append(tempfile.TemporaryDirectory(prefix="jaxnas-tune-", ignore_cleanup_errors=True))
    return run(experiment, KEPT[-1].name, quiet, kept=False)


def _processes(fn: Callable, children: int) -> int:
    if not loadable(fn):
        return 0
    return max(1, min(cores(), children))


def _space(given: Space | Mapping[str, Any]) -> Space:
    if not isinstance(given, Mapping):
        return given
    return Choices(**{_name(name): _value(name, value) for name, value in given.items()})


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"space has the name {name!r}: give names as text, as {{'x': Float(0.0, 1.0)}}")
    return name


def _value(name: str, given: Any) -> Value:
    if isinstance(given, range) and len(given) > 1:
        ascending = given if given.step > 0 else given[::-1]
        return Int(ascending[0], ascending[-1], step=ascending.step)
    given = given.tolist() if isinstance(given, np.ndarray) else given  # of no axis a number
    if isinstance(given, list | tuple | range) and len(given):
        return Categorical(values=tuple(given))
    if isinstance(given, Float | Int | Categorical):
        return given
    raise ValueError(
        f"{name}={given!r}: give Float(low, high), Int(low, high), Categorical(...), a list of values or a range"
    )
