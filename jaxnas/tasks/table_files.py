"""Reading tables: files, sets that come with scikit-learn, and arrays; and their cells as numbers.

Letters: M rows, C columns.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int32

from jaxnas import archive
from jaxnas.fingerprint import digest
from jaxnas.plain import shown
from jaxnas.tasks.cells import UNTOLD, Frame, names_of, number_of, places, text_of
from jaxnas.tasks.columns import Column, offset
from jaxnas.tasks.sheet import RawTable, Sheet, of_csv

EMBEDDED = {"wine": "load_wine", "breast-cancer": "load_breast_cancer", "diabetes": "load_diabetes"}
"""By name: the function of `sklearn.datasets`."""
PAIRS = (("x", "y"), ("x_train", "y_train"), ("x_test", "y_test"))
TOLD = "target"
"""What y is called beside arrays x."""
COARSE = 0.01
"""Of a target's deviation: what rounding to float32 may take away."""
MOST_VALUES = 256
"""Of a category: more are names of single rows."""


class InMemory:
    """Arrays x ``[M, C]`` and y ``[M]`` among the settings, which are recorded by their digest. x may be a `Frame`.

    Raises:
        ValueError: no pair of arrays of the same length.
    """

    def __init__(self, arrays: Any):
        try:
            own, y = arrays
            x, y = _array(own), _array(y)
        except (TypeError, ValueError) as error:
            raise ValueError(f"arrays={shown(arrays)}: give a pair (x, y), [rows, columns] and [rows]") from error
        self.names = names_of(own, "arrays: x") if isinstance(own, Frame) else ()
        self.x, self.y = x[:, None] if x.ndim == 1 else x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or not len(self.y):
            raise ValueError(f"arrays: x of shape {x.shape} and y of shape {y.shape}: [rows, columns] and [rows]")
        plain = [_bytes(a) if a.dtype.kind == "O" else a for a in (self.x, self.y)]
        self._written = f"<arrays {self.x.shape} {digest(plain, self.names)}>"

    def __repr__(self) -> str:
        return self._written

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InMemory) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(self._written)


def _array(given: Any) -> np.ndarray:
    """Of a frame, an array or lists. In lists with texts each cell stays what it is."""
    if isinstance(given, Frame):
        return np.asarray(given.to_numpy())
    rows = given if isinstance(given, list | tuple) else ()
    cells = (cell for row in rows for cell in (row if isinstance(row, list | tuple) else (row,)))
    mixed = any(isinstance(cell, str | bytes) for cell in cells)
    found = np.asarray(given, object if mixed else None)
    if found.dtype == object and any(isinstance(cell, list | tuple | np.ndarray) for cell in found.flat):
        raise ValueError("rows of unequal length")
    return found


def _bytes(array: np.ndarray) -> np.ndarray:
    """Of objects, as they are read: a digest's."""
    return np.frombuffer(repr([text_of(cell, ()) for cell in array.flat]).encode(), np.uint8)


@dataclass(frozen=True)
class Table:
    """Where a table is, and what its columns are for: settings of `jaxnas.tasks.Tabular`."""

    source: str
    arrays: InMemory | None
    target: str | None
    drop: tuple[str, ...]
    categorical: tuple[str, ...]

    def read(self) -> Sheet:
        """All rows, but for test rows that the source has apart.

        Raises:
            ValueError: nothing there, or not of a form that `jaxnas.tasks.Tabular` describes.
        """
        if self.arrays is not None:
            return self._told(self.arrays, "arrays")
        if self.source in EMBEDDED:
            import sklearn.datasets

            load = getattr(sklearn.datasets, EMBEDDED[self.source])
            found = load(**({"scaled": False} if self.source == "diabetes" else {}))
            y = found.target if self.source == "diabetes" else np.asarray(found.target_names)[found.target]
            return self._told(InMemory((found.data, y)), self.source, tuple(found.feature_names))
        if self._pairs is not None:
            return self._pair(self._pairs[0])
        if self._path.is_file():
            return of_csv(self._path).sheet(self.target, self.drop, self.categorical)
        raise ValueError(
            f"no table at {self.source!r}: give a CSV file with a heading, an .npz file with x and y, or one of "
            f"{', '.join(EMBEDDED)}"
        )

    def has_test(self) -> bool:
        """Whether the source has test rows apart; none is read."""
        return self._pairs is not None and len(self._pairs) > 1

    def read_test(self) -> Sheet:
        """These. Raises ValueError as `read` does."""
        return self._pair(("x_test", "y_test"))

    @property
    def _path(self) -> Path:
        return Path(os.path.expanduser(self.source))

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...] | None:
        """The arrays of an .npz file that are read, those to learn from first; None: it is none."""
        if self.arrays is not None or self._path.suffix != ".npz" or not self._path.is_file():
            return None
        try:
            found = archive.names(self._path)
        except archive.DAMAGED as error:
            raise ValueError(f"{self._path}: not a readable .npz file of plain arrays ({error})") from error
        parts = {name for pair in PAIRS for name in pair} & set(found)
        known = next((pairs for pairs in (PAIRS[:1], PAIRS[1:2], PAIRS[1:]) if parts == {*sum(pairs, ())}), None)
        if known is None:
            raise ValueError(
                f"{self._path}: found arrays {found}, but x and y are needed, or x_train, y_train, x_test, y_test, "
                "and no mixture of both"
            )
        return known

    def _pair(self, pair: tuple[str, str]) -> Sheet:
        try:
            arrays = archive.arrays(self._path, pair)
        except archive.DAMAGED as error:
            raise ValueError(f"{self._path}: not a readable .npz file of plain arrays ({error})") from error
        return self._told(InMemory(arrays), f"{self._path} ({pair[0]})")

    def _told(self, arrays: InMemory, source: str, names: tuple[str, ...] = ()) -> Sheet:
        """Of arrays, y is told; columns without names are called x0, x1, ..."""
        names = names or arrays.names or tuple(f"x{i}" for i in range(arrays.x.shape[1]))
        if self.target not in (None, TOLD):
            raise ValueError(f"target={self.target!r}: of {source} y is told: leave target at None")
        if TOLD in names:
            raise ValueError(
                f"{source}: x has a column {TOLD!r}, which is what y is called: leave it out, or rename it"
            )
        table = RawTable((*names, TOLD), [*arrays.x.T, arrays.y], np.arange(len(arrays.y)), source, "row")
        return table.sheet(TOLD, self.drop, self.categorical)


def columns(sheet: Sheet) -> tuple[Column, ...]:
    """Of the rows that may be learnt from: which are categories, and of what values.

    Raises:
        ValueError: a category of too many values.
    """
    found = []
    for name, cells in zip(sheet.names, sheet.columns, strict=True):
        values = () if cells.dtype != object else tuple(sorted({cell for cell in cells.tolist() if cell is not None}))
        if len(values) > MOST_VALUES:
            raise ValueError(
                f"{sheet.source}: column {name!r} has {len(values)} different texts in {len(sheet)} rows, too many to "
                f"be categories: leave it out, --task.drop {name}"
            )
        if cells.dtype == object and not values:
            raise ValueError(f"{sheet.source}: column {name!r} is empty: leave it out, --task.drop {name}")
        found.append(Column(name, values, offset=offset(cells) if cells.dtype != object else 0.0))
    return tuple(found)


def cells(sheet: Sheet, columns: tuple[Column, ...]) -> Float[np.ndarray, "M C"]:
    """A sheet's cells as `Rows` has them. Raises ValueError where the sheet has other columns."""
    if sheet.names != tuple(column.name for column in columns):
        raise ValueError(f"{sheet.source}: columns {sheet.names}, but {tuple(c.name for c in columns)} are needed")
    found = [_numbered(cell, column, sheet) for cell, column in zip(sheet.columns, columns, strict=True)]
    return np.stack(found, 1).astype(np.float32)


def _numbered(cells: np.ndarray, column: Column, sheet: Sheet) -> np.ndarray:
    """Categories by the number of their value, NaN where it is unknown."""
    if not column.values:
        if cells.dtype == object:
            raise ValueError(f"{sheet.source}: column {column.name!r} has texts, and numbers in the training data")
        return cells - column.offset
    place = places(column.values)
    return np.array([place.get(text_of(cell), np.nan) for cell in cells.tolist()], np.float64)


def numbers(sheet: Sheet) -> Float[np.ndarray, " M"]:
    """The target of a regression, float32. Raises ValueError where it is a text."""
    name, told = sheet.target_name, sheet.target
    if told.dtype == object:
        texts = [cell for cell in told.tolist() if number_of(cell) is None] or told.tolist()  # rather no "NA"
        raise ValueError(
            f"{sheet.source}: the target {name!r} is a text such as {texts[0]!r}: a regression needs numbers; leave "
            "out regression for classes"
        )
    return told.astype(np.float32)


def check_precise(sheet: Sheet) -> None:
    """Raises ValueError where the numbers of a target, to learn from, have more digits in common than float32 has."""
    told = sheet.target
    greatest, std = np.abs(told).max(), told.std()
    if np.ptp(told) > 0 and greatest * np.finfo(np.float32).eps > COARSE * std:
        raise ValueError(
            f"{sheet.source}: the target {sheet.target_name!r} goes up to {greatest:g} with a deviation of {std:g}: "
            "float32, in which networks compute, hardly tells such numbers apart: subtract "
            f"{float(np.median(told))!r} from them"
        )


def class_names(sheet: Sheet, most: int) -> tuple[str, ...]:
    """What the classes are called, in order: texts by the alphabet, numbers by size.

    Raises:
        ValueError: a single class, or numbers that are none.
    """
    known, name = sheet.target, sheet.target_name
    if known.dtype == object:
        found = sorted(set(known.tolist()))
    else:
        values = np.unique(known)
        if len(values) > 1 and ((values != np.round(values)).any() or len(values) > most):
            raise ValueError(
                f"{sheet.source}: the target {name!r} has {len(values)} different numbers, such as {values[0]:g} and "
                f"{values[1]:g}: say regression=True (--task.regression) to tell numbers, or give classes"
            )
        found = [text_of(value) for value in values.tolist()]
    if len(found) < 2:
        raise ValueError(
            f"{sheet.source}: the target {name!r} is {found[0]!r} in all {len(known)} rows: two or more classes are "
            "needed"
        )
    return tuple(found)


def classes(sheet: Sheet, names: tuple[str, ...]) -> Int32[np.ndarray, " M"]:
    """The number of each row's class. Raises ValueError for one that is not among the names."""
    number = {name: i for i, name in enumerate(names)}
    texts = [text_of(cell, UNTOLD) for cell in sheet.target.tolist()]
    unknown = [i for i, text in enumerate(texts) if text not in number]
    if unknown:
        raise ValueError(
            f"{sheet.where(unknown[0])}: the training rows have no class {texts[unknown[0]]!r}: they have "
            f"{', '.join(names)}"
        )
    return np.array([number[text] for text in texts], np.int32)
