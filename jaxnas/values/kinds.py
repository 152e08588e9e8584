"""What a value may be: a number within a range, or one of several."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import tyro

from jaxnas.ranges import Range
from jaxnas.settings import settings

Scalar = str | int | float | bool | None
Number = Annotated[float, Range(-1e20, 1e20)]
Whole = Annotated[int, Range(-(2**53), 2**53)]
Levels = Annotated[int, Range(2, 1024)]
Condition = Annotated[tuple[Any, ...], tyro.conf.Fixed]
"""``(name, value)``, ``(name, (value, value))``, or several of these: a value exists only where those named are one of
what is listed. (No setting of the command line.)"""
MOST_LEVELS = 1024
FEW = 8
LOG_LEVELS = 64
"""Of whole numbers on a logarithmic scale."""


def conditions(when: tuple) -> list[tuple[str, tuple]]:
    """A condition as pairs of another's name and the values it may have. Raises ValueError: written otherwise."""
    pairs = (when,) if when and isinstance(when[0], str) else when
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f'when={when!r}: give ("optimiser", "sgd"), ("depth", (2, 3)) or several of these')
    return [(other, tuple(v) if isinstance(v, tuple | list) else (v,)) for other, v in pairs]


def _settle_condition(value: Any) -> None:
    """Lists as tuples, so that it can be hashed."""
    object.__setattr__(value, "when", tuple(conditions(value.when)))


@settings
class Float:
    """A number from ``low`` to ``high``, in levels.

    Attributes:
        low: the least.
        high: the greatest.
        log: whether neighbouring levels have the same ratio, not the same difference.
        levels: how many there are; both ends are among them.
        static: whether a network gets it as a Python number: then each level that is met is a program of its own.
        when: see `Condition`.

    Raises:
        ValueError: a range without two numbers, or one with 0 or less on a logarithmic scale.
    """

    low: Number
    high: Number
    log: bool = False
    levels: Levels = 256
    static: bool = False
    when: Condition = ()

    def __post_init__(self):
        _settle_condition(self)
        _check_range(self)

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.levels

    @property
    def ordered(self) -> bool:
        """Whether neighbours are alike."""
        return True

    @property
    def words(self) -> str:
        """What it may be, in words."""
        return _words(self, f"{self.low:g} to {self.high:g}{' (logarithmic)' * self.log}, {self.size} levels")

    def value(self, token: int) -> float:
        """What a token means."""
        return _floats(self.low, self.high, self.log, self.levels)[token]

    def token(self, value: Any) -> int:
        """The level next to a number. Raises ValueError where it is none from low to high."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r}: give a number from {self.low:g} to {self.high:g}")
        scale = math.log if self.log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return round(share * (self.levels - 1))


@settings
class Int:
    """A whole number from ``low`` to ``high``.

    There are at most 1,024 levels, on a logarithmic scale 64; of more numbers than that as many, evenly spaced.

    Attributes:
        low: the least.
        high: the greatest; where a step does not hit it, the last before it.
        log: whether neighbouring levels have about the same ratio, not the same difference.
        step: between two numbers.
        static: whether a network gets it as a Python number: then each that is met is a program of its own. False: as
            a `jaxnas.elastic.Size`, and all share one program.
        when: see `Condition`.

    Raises:
        ValueError: a range without two numbers, or one with 0 or less on a logarithmic scale.
    """

    low: Whole
    high: Whole
    log: bool = False
    step: Annotated[int, Range(1, 2**53)] = 1
    static: bool = True
    when: Condition = ()

    def __post_init__(self):
        _settle_condition(self)
        _check_range(self)
        if self.low + self.step > self.high:
            raise ValueError(f"step={self.step}: from {self.low} to {self.high} no step fits: lower it")

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.levels)

    @property
    def ordered(self) -> bool:
        """Whether neighbours are alike."""
        return True

    @property
    def words(self) -> str:
        """What it may be, in words."""
        shown = ", ".join(map(str, self.levels)) if self.size <= FEW else f"{self.size} of them"
        return _words(self, f"{self.low} to {self.levels[-1]}{' (logarithmic)' * self.log}: {shown}")

    @property
    def levels(self) -> tuple[int, ...]:
        """All values, ascending."""
        return _levels(self.low, self.high, self.log, self.step)

    def value(self, token: int) -> int:
        """What a token means."""
        return self.levels[token]

    def token(self, value: Any) -> int:
        """The level of a number. Raises ValueError where it is none of them."""
        if isinstance(value, bool) or value not in self.levels:
            few = self.levels if self.size <= FEW else (*self.levels[:3], "...", self.levels[-1])
            raise ValueError(f"{value!r}: give one of {', '.join(map(str, few))}")
        return self.levels.index(value)


OneOf = None | bool | Whole | Number | str


@settings
class Categorical:
    """One of several values, of which none is nearer to another than a third: ``Categorical("tree", "linear")``.

    Attributes:
        values: numbers, strings, True, False or None, each once.
        static: whether a network gets it as it is; False, for numbers alone: as an array, and all share a program.
        when: see `Condition`.

    Raises:
        ValueError: no value, or one twice; ``static=False`` with something else than numbers.
    """

    values: tuple[OneOf, ...]
    static: bool = True
    when: Condition = ()

    def __init__(self, *given: Scalar, values: Sequence[Scalar] = (), static: bool = True, when: tuple = ()):
        for name, value in (("values", given or values), ("static", static), ("when", when)):
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self):
        _settle_condition(self)
        if not self.values or len({(type(v), v) for v in self.values}) < len(self.values):
            raise ValueError(f"Categorical{self.values}: give one or more values, each once")
        numbers = [v for v in self.values if isinstance(v, int | float) and not isinstance(v, bool)]
        if not self.static and len(numbers) < len(self.values):
            raise ValueError(f"Categorical{self.values}: static=False is for numbers alone")

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def ordered(self) -> bool:
        """Whether neighbours are alike."""
        return False

    @property
    def words(self) -> str:
        """What it may be, in words."""
        return _words(self, ", ".join(map(repr, self.values)))

    def value(self, token: int) -> Scalar:
        """What a token means."""
        return self.values[token]

    def token(self, value: Any) -> int:
        """Raises ValueError where it is none of the values."""
        for token, own in enumerate(self.values):
            if type(own) is type(value) and own == value:
                return token
        raise ValueError(f"{value!r}: give one of {', '.join(map(repr, self.values))}")


Value = Float | Int | Categorical


@lru_cache
def _floats(low: float, high: float, log: bool, levels: int) -> tuple[float, ...]:
    """Both ends, and what lies between to six digits, where that keeps them apart."""
    scale = np.geomspace if log else np.linspace
    exact = (low, *scale(low, high, levels)[1:-1].tolist(), high)
    short = (low, *(float(f"{value:.6g}") for value in exact[1:-1]), high)
    return short if all(a < b for a, b in pairwise(short)) else exact


@lru_cache
def _levels(low: int, high: int, log: bool, step: int) -> tuple[int, ...]:
    last = (high - low) // step
    if log:
        steps = (np.geomspace(low, low + last * step, min(last + 1, LOG_LEVELS)) - low) / step
    else:
        steps = np.linspace(0, last, min(last + 1, MOST_LEVELS))
    return tuple(low + step * int(number) for number in np.unique(np.rint(steps)))


def _words(value: Value, may_be: str) -> str:
    when = [f"{other} is {' or '.join(map(repr, values))}" for other, values in value.when]
    return f"{may_be}{', where ' if when else ''}{' and '.join(when)}"


def _check_range(value: Float | Int) -> None:
    if not value.low < value.high:
        raise ValueError(f"low={value.low:g}, high={value.high:g}: low has to be less than high")
    if value.log and value.low <= 0:
        raise ValueError(f"low={value.low:g}, log=True: a logarithm needs numbers above 0: raise low, or leave log out")
