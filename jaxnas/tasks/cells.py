"""One cell of a table as people write it: a text, a number, or nothing. Training and predictions read alike."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

MISSING = frozenset({"", "na", "n/a", "nan", "nat", "<na>", "null", "none", "?", "-"})
"""What stands in cells that are empty, in small letters."""
UNTOLD = frozenset({"", "nan", "nat", "<na>"})
"""Likewise of a target, which may have classes called "none" or "-"."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
TRUTH = {"true": "1", "false": "0"}


@runtime_checkable
class Frame(Protocol):
    """A table whose columns have names, such as pandas' or polars' DataFrame."""

    columns: Any

    def to_numpy(self) -> np.ndarray:
        """Its cells, ``[M, C]``."""


def plain(x: Any) -> np.ndarray:
    """An array, in which dates are objects: numpy would list nanoseconds as numbers."""
    array = np.asarray(x)
    return array.astype(f"{array.dtype.kind}8[us]").astype(object) if array.dtype.kind in "mM" else array


def names_of(frame: Frame, what: str) -> tuple[str, ...]:
    """Of its columns. Raises ValueError where two are called the same; ``what``: the frame in that message."""
    names = tuple(map(str, frame.columns))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: two columns are called {twice[0]!r}: give each its own name")
    return names


def text_of(cell: Any, empty: Collection[str] = MISSING) -> str | None:
    """A cell as the name of a category or class; None: there is nothing (None, NaN, NaT, pandas' NA, or a text that is
    ``empty``). A whole number has no point, however it is stored: 1, 1.0, "1.0" and True are all "1".
    """
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer()):
        cell = int(cell)
    text = (cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else str(cell)).strip()
    if text.endswith(".0") and text[:-2].lstrip("+-").isdecimal():
        text = text[:-2]
    return None if cell is None or text.lower() in empty else text


def number_of(cell: Any, empty: Collection[str] = MISSING) -> float | None:
    """A cell as a number, NaN where there is nothing; None: it is none, as "3,5", whose comma may part thousands."""
    if isinstance(cell, float | np.floating):
        return float(cell)
    text = text_of(cell, empty)
    if text is None:
        return np.nan
    return float(text) if NUMBER.fullmatch(text) else None


def is_infinite(numbers: Any) -> Any:
    """Where numbers are too large for float32; NaN is not."""
    return np.abs(numbers) > np.finfo(np.float32).max


def places(values: Sequence[str]) -> dict[str, int]:
    """The place of each value among those of a category, by `text_of` of a cell: True finds "TRUE", too."""
    truths = {TRUTH[value.lower()]: i for i, value in enumerate(values) if value.lower() in TRUTH}
    return truths | {value: i for i, value in enumerate(values)}
